#include "cmd/bench_user.h"

#include "base/mem.h"
#include "client/gateway.h"
#include "client/identity.h"
#include "cmd/client_verb.h"

static enum status log_in(const struct options *o, char **token, struct client_answer *a)
{
    struct client *c = client_verb_open(o);
    enum status status = gateway_log_in(c, 0, token, a);
    client_destroy(c);
    return status;
}

static void take_token(struct bench_user *u, char *token)
{
    mem_free(u->token);
    u->token = token;
    u->plan->token = token;
    u->age_s = 0;
}

/* On a thread of its own. */
static void run_renewal(struct work *w)
{
    struct bench_user *u = w->context;
    struct client_answer a = {0};
    char *token = NULL;
    if (log_in(u->options, &token, &a) == STATUS_OK) {
        u->next = token;
    }
    client_answer_deinit(&a);
}

static void end_renewal(struct work *w)
{
    struct bench_user *u = w->context;
    u->is_renewing = false;
    if (u->next != NULL) {
        take_token(u, u->next);
        u->next = NULL;
    }
}

int bench_user_begin(struct bench_user *u, const struct options *o, struct load_plan *plan)
{
    *u = (struct bench_user){.options = o, .plan = plan};
    u->renewal = (struct work){.run = run_renewal, .done = end_renewal, .context = u};
    if (identity_name() == NULL) {
        return EXIT_DONE;
    }
    const struct client_request request = {.method = "POST", .target = "/v3/auth/authenticate"};
    struct client_answer a = {0};
    char *token = NULL;
    enum status status = log_in(o, &token, &a);
    int code = client_verb_judge(o, status, &request, &a);
    client_answer_deinit(&a);
    take_token(u, token);
    return code;
}

void bench_user_tick(struct bench_user *u, struct loop *loop, uint64_t errors)
{
    bool is_failing = errors > u->errors;
    u->errors = errors;
    u->age_s++;
    if (u->token != NULL && !u->is_renewing && (is_failing || u->age_s >= BENCH_TOKEN_S)) {
        u->is_renewing = true;
        loop->ops->submit_slow(loop, &u->renewal);
    }
}

void bench_user_end(struct bench_user *u)
{
    mem_free(u->token);
    *u = (struct bench_user){0};
}
