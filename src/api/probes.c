/* probes.c - is it alive, is it ready? For load balancers, orchestrators and people. */
#include "api/rest.h"

#include <stdio.h>

struct readiness {
    struct node_check checks[NODE_CHECKS_MAX];
    uint32_t count;
    const struct node_check *failed; /* the first one, or NULL */
};

static void ask_readiness(const struct api *api, struct readiness *r)
{
    r->count = node_ready_checks(api->options.node, r->checks);
    r->failed = NULL;
    for (uint32_t i = r->count; i-- > 0;) {
        if (!r->checks[i].ok) {
            r->failed = &r->checks[i];
        }
    }
}

void probe_livez(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    char why[256] = "";
    bool live = node_is_live(api->options.node, why, sizeof(why));
    answer_bytes(r, live ? 200 : 503, TYPE_TEXT, NULL, slice_str(live ? "ok" : why));
}

static void print_checks(struct buf *out, const struct readiness *ready)
{
    for (uint32_t i = 0; i < ready->count; i++) {
        const struct node_check *check = &ready->checks[i];
        if (check->ok) {
            buf_printf(out, "[+]%s ok\n", check->name);
        } else {
            buf_printf(out, "[-]%s failed: %s\n", check->name, check->detail);
        }
    }
}

void probe_readyz(struct api *api, struct http_request *r, struct query *q)
{
    struct readiness ready;
    ask_readiness(api, &ready);
    struct buf text = {0};
    if (query_has(q, "verbose")) {
        print_checks(&text, &ready);
        buf_append_str(&text, ready.failed == NULL ? "ready\n" : "not ready\n");
    } else if (ready.failed == NULL) {
        buf_append_str(&text, "ok");
    } else {
        buf_printf(&text, "%s: %s", ready.failed->name, ready.failed->detail);
    }
    answer_bytes(r, ready.failed == NULL ? 200 : 503, TYPE_TEXT, NULL, buf_slice(&text));
    buf_deinit(&text);
}

/* The form that etcd's health checkers read, where "health" is a string. */
void probe_health(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct readiness ready;
    ask_readiness(api, &ready);
    const char *reason = ready.failed == NULL ? "" : ready.failed->detail;
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "health", ready.failed == NULL ? "true" : "false");
    json_field_text(&w, "reason", reason);
    answer_send(r, ready.failed == NULL ? 200 : 503, NULL, &w);
}
