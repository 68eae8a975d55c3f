/* cmd/health.c - whether one member is alive, for the health check of a container. */
#include "cmd/client_verb.h"
#include "cmd/verbs.h"
#include "net/url.h"

#include <stdio.h>

enum { HEALTH_READY, HEALTH_TIMEOUT, HEALTH_CACERT };

#define DEFAULT_URL "http://127.0.0.1:4000"

static const struct option rows[] = {
    [HEALTH_READY] = {.name = "ready",
                      .type = OPTION_BOOL,
                      .meaning = "whether it serves, and not only whether it lives",
                      .fallback = "false"},
    [HEALTH_TIMEOUT] = {.name = "timeout",
                        .type = OPTION_DURATION,
                        .unit = "DURATION",
                        .meaning = "give up after this time",
                        .fallback = "2s",
                        .min = 1,
                        .max = 3600000},
    CLIENT_TLS_ROWS(HEALTH_CACERT),
};

static int prepare(struct options *o)
{
    return client_verb_prepare_tls(o, HEALTH_CACERT);
}

static int run_health(struct options *o)
{
    const char *url = o->argument_count > 0 ? o->arguments[0] : DEFAULT_URL;
    const char *why = "use http://host:port";
    struct url parsed;
    if (url_parse(url, &parsed, &why) != STATUS_OK) {
        return verb_refuse(o, "\"%.100s\" is no address of a member: %s", url, why);
    }
    const struct client_request request = {
        .method = "GET", .target = options_is_on(o, HEALTH_READY) ? "/readyz?verbose" : "/livez"};
    struct client_answer a = {0};
    uint32_t timeout_ms = (uint32_t)options_number(o, HEALTH_TIMEOUT);
    enum status status = client_ask(url, &request, timeout_ms, &a);
    if (a.http_status != 0) {
        fwrite(a.body.data, 1, a.body.size, stdout);
        putchar('\n');
    } else {
        verb_complain(o, "%s does not answer: %s", url,
                      a.error[0] != '\0' ? a.error : status_text(status));
    }
    client_answer_deinit(&a);
    return status == STATUS_OK ? EXIT_DONE : EXIT_VERDICT;
}

const struct verb verb_health = {
    .name = "health",
    .summary = "ask one member whether it lives, or serves",
    .arguments = "[URL]",
    .arguments_max = 1,
    .details = "Asks " DEFAULT_URL " if there is no URL. Exit code 0: it does; 1: it does not, or\n"
               "nobody answers. A member without a leader lives, and is not ready.\n",
    .examples = "  conclave health\n"
                "  conclave health --ready http://127.0.0.1:4002\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = prepare,
    .run = run_health,
};
