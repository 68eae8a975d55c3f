/* cmd/watch_verb.c - follow the changes of keys, at whichever member answers.
 *
 * The id of the last event is all that is carried from one member to the next: the next one goes on
 * behind it, so that nothing is told twice and nothing is left out. */
#include "base/check.h"
#include "client/event_stream.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WATCH_FROM = CLIENT_ROWS, WATCH_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS_WITH("give up when no member has answered for this time", "5s"),
    [WATCH_FROM] = {.name = "from",
                    .type = OPTION_INTEGER,
                    .unit = "N",
                    .meaning = "the first revision to show; without it, what comes from now on",
                    .min = 1},
};

/* A member that lives says something every ten seconds. */
#define SILENCE_MS      15000
#define PAUSE_MS        100
/* Of a revision, in decimal. */
#define REVISION_DIGITS 20

struct following {
    const struct options *options;
    struct event_stream stream;
    char target[LIMIT_URL_LINE_BYTES];
    char last_id[REVISION_DIGITS + 1]; /* empty = none yet */
    bool was_heard;                    /* by anybody */
    bool is_heard;                     /* on this connection */
    bool is_headed;                    /* the table has its heading */
};

/* --- printing --------------------------------------------------------------------------------- */

/* White space between the tokens of a text may be line breaks; what is printed is one line. */
static void append_line(struct buf *out, struct slice json)
{
    for (size_t i = 0; i < json.size; i++) {
        buf_append_byte(out, json.data[i] == '\n' ? ' ' : json.data[i]);
    }
}

static void print_line(struct buf *line)
{
    buf_append_byte(line, '\n');
    fwrite(line->data, 1, line->size, stdout);
    buf_deinit(line);
}

static struct slice member_of(struct slice object, const char *name)
{
    struct slice text;
    return json_text_member(object, name, &text) ? text : slice_of(NULL, 0);
}

static void print_row(struct following *f, struct slice revision, struct slice type,
                      struct slice item)
{
    bool is_raw = client_verb_format(f->options) == OUTPUT_RAW;
    struct buf line = {0};
    struct buf key = {0};
    struct slice value = member_of(item, "value");
    client_verb_append_member(&key, item, "key");
    if (!is_raw && !f->is_headed) {
        printf("%-9s %-7s %s\n", "REVISION", "TYPE", "KEY = VALUE");
        f->is_headed = true;
    }
    buf_printf(&line, is_raw ? "%.*s\t%.*s\t" : "%-9.*s %-7.*s ", (int)revision.size,
               (const char *)revision.data, (int)type.size, (const char *)type.data);
    if (is_raw) {
        buf_append_slice(&line, buf_slice(&key));
        buf_append_byte(&line, '\t');
        append_line(&line, value);
    } else {
        output_append_safe(&line, buf_slice(&key));
        buf_append_str(&line, value.size > 0 ? " = " : "");
        struct buf flat = {0};
        append_line(&flat, value);
        output_append_safe(&line, buf_slice(&flat));
        buf_deinit(&flat);
    }
    print_line(&line);
    buf_deinit(&key);
}

static void print_rows(struct following *f, struct slice data, const char *array)
{
    struct slice items = member_of(data, array);
    struct slice item;
    while (json_text_next(&items, &item)) {
        struct buf type = {0};
        client_verb_append_member(&type, item, "type");
        bool is_change = type.size > 0;
        print_row(f, member_of(is_change ? data : item, "revision"),
                  is_change ? buf_slice(&type) : slice_str("is"), item);
        buf_deinit(&type);
    }
}

/* As it came; of a resync also what it is. */
static void print_json(const struct stream_event *e)
{
    struct buf line = {0};
    append_line(&line, e->data);
    bool is_mark = slice_has_prefix(e->type, slice_str("resync-")) && line.size > 0;
    if (is_mark) {
        line.size--; /* the closing brace */
        buf_append_str(&line, ",\"resync\":\"");
        buf_append_slice(&line, slice_of(e->type.data + 7, e->type.size - 7));
        buf_append_str(&line, "\"}");
    }
    print_line(&line);
}

static void print_event(struct following *f, const struct stream_event *e)
{
    bool is_change = slice_equal(e->type, slice_str("change"));
    bool is_keys = slice_equal(e->type, slice_str("resync"));
    bool is_begin = slice_equal(e->type, slice_str("resync-begin"));
    if (is_begin) {
        verb_complain(f->options, "what came next is not in the history any more: all keys that "
                                  "there are follow, and then what comes");
    }
    if (client_verb_format(f->options) == OUTPUT_JSON) {
        if (is_change || slice_has_prefix(e->type, slice_str("resync"))) {
            print_json(e);
        }
    } else if (is_change) {
        print_rows(f, e->data, "events");
    } else if (is_keys) {
        print_rows(f, e->data, "keys");
    }
}

static bool on_event(void *context, const struct stream_event *e)
{
    struct following *f = context;
    print_event(f, e);
    if (e->id.size > 0 && e->id.size <= REVISION_DIGITS) {
        memcpy(f->last_id, e->id.data, e->id.size);
        f->last_id[e->id.size] = '\0';
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* --- following -------------------------------------------------------------------------------- */

static bool take_piece(void *context, struct slice piece)
{
    struct following *f = context;
    f->is_heard = true;
    return event_stream_take(&f->stream, piece);
}

static enum status follow_at(struct following *f, const char *url, struct client_request *request,
                             struct client_answer *a)
{
    char header[64];
    snprintf(header, sizeof(header), "Last-Event-ID: %s\r\n", f->last_id);
    const struct http_sink sink = {.take = take_piece, .context = f};
    *request = (struct client_request){.method = "GET",
                                       .target = f->target,
                                       .headers = f->last_id[0] != '\0' ? header : NULL,
                                       .sink = &sink};
    f->is_heard = false;
    event_stream_reset(&f->stream);
    enum status status = client_ask(url, request, SILENCE_MS, a);
    request->headers = NULL;
    request->sink = NULL;
    return status;
}

/* What another member, or the same one later, would say too. */
static bool is_final(enum status status)
{
    return status == STATUS_INVALID || status == STATUS_DENIED || status == STATUS_UNSUPPORTED ||
           status == STATUS_TOO_LARGE;
}

static int follow(struct following *f)
{
    uint32_t count;
    const char *const *urls = client_verb_endpoints(f->options, &count);
    CHECK(count > 0);
    uint64_t patience_ms = options_number(f->options, CLIENT_TIMEOUT);
    uint64_t heard_ms = client_now_ms();
    uint32_t refused = 0; /* before anybody was heard: when all were, there is nobody */
    for (uint32_t at = 0;; at = (at + 1) % count) {
        struct client_request request;
        struct client_answer a = {0};
        enum status status = follow_at(f, urls[at], &request, &a);
        heard_ms = f->is_heard ? client_now_ms() : heard_ms;
        refused = status == STATUS_UNREACHABLE ? refused + 1 : 0;
        bool is_over =
            client_now_ms() - heard_ms >= patience_ms || (refused >= count && !f->was_heard);
        f->was_heard = f->was_heard || f->is_heard;
        int code = EXIT_DONE;
        if (status == STATUS_IO && f->is_heard) {
            code = EXIT_VERDICT; /* nobody takes what is printed */
        } else if (!f->is_heard && (is_over || is_final(status))) {
            code = client_verb_judge(f->options, status, &request, &a);
        }
        client_answer_deinit(&a);
        if (code != EXIT_DONE) {
            return code;
        }
        if (!f->is_heard && at + 1 == count) {
            client_sleep_ms(PAUSE_MS);
        }
    }
}

/* Whoever ends it has seen enough. */
static void on_signal(int number)
{
    (void)number;
    _exit(EXIT_DONE);
}

static int run_watch(struct options *o)
{
    struct following f = {.options = o};
    struct buf target = {0};
    buf_append_str(&target, "/watch");
    client_verb_query(&target, "prefix", o->argument_count > 0 ? o->arguments[0] : "");
    if (options_is_given(o, WATCH_FROM)) {
        buf_printf(&target, "&from=%llu", (unsigned long long)options_number(o, WATCH_FROM));
    }
    bool fits = target.size < sizeof(f.target);
    if (fits) {
        memcpy(f.target, client_verb_target(&target), target.size);
    }
    buf_deinit(&target);
    if (!fits) {
        return verb_refuse(o, "a prefix is at most %d bytes", LIMIT_KEY_BYTES);
    }
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    f.stream = (struct event_stream){.on_event = on_event, .context = &f};
    int code = follow(&f);
    event_stream_deinit(&f.stream);
    return code;
}

const struct verb verb_watch = {
    .name = "watch",
    .arguments = "[PREFIX]",
    .summary = "follow what happens to keys",
    .details =
        "One change a line, as it happens, until Ctrl-C. It goes on through failovers and\n"
        "restarts at whichever member answers, leaves nothing out and tells nothing twice. After\n"
        "so long a break that the history has lost what comes next, all keys there are follow\n"
        "(TYPE is), and then what comes. -o raw: revision, type, key and value, with tabs between\n"
        "them. -o json: one object a revision, as GET /watch has them.\n",
    .examples = "  conclave watch jobs/\n"
                "  conclave watch --from 7\n"
                "  conclave watch jobs/ -o json | jq --unbuffered .events\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_max = 1,
    .prepare = client_verb_prepare,
    .run = run_watch,
};
