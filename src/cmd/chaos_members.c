#include "cmd/chaos_members.h"

#include "base/mem.h"
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status fail(char **detail, enum status status, char *text)
{
    mem_free(*detail);
    *detail = text;
    return status;
}

static int by_name(const void *a, const void *b)
{
    const struct chaos_member *left = a;
    const struct chaos_member *right = b;
    return strcmp(left->name, right->name);
}

/* Whom the cluster names; invited ones have not come yet. */
static enum status take_members(const json_t *answer, struct chaos_members *m, char **detail)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(answer, "members"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *url = json_string_value(json_object_get(item, "url"));
        const char *role = json_string_value(json_object_get(item, "role"));
        if (name == NULL || url == NULL || role == NULL || strlen(name) > LIMIT_NAME_BYTES ||
            strlen(url) >= LIMIT_URL_BYTES || strcmp(role, "invited") == 0 ||
            m->count == LIMIT_MEMBERS) {
            continue;
        }
        struct chaos_member *found = &m->members[m->count++];
        snprintf(found->name, sizeof(found->name), "%s", name);
        snprintf(found->url, sizeof(found->url), "%s", url);
    }
    if (m->count < 2) {
        return fail(detail, STATUS_INVALID,
                    mem_printf("a cluster of one has nobody to be cut off from"));
    }
    qsort(m->members, m->count, sizeof(m->members[0]), by_name);
    return STATUS_OK;
}

static enum status explain(enum status status, const struct chaos_member *member,
                           const struct client_request *r, const struct client_answer *a,
                           char **detail)
{
    if (status == STATUS_DENIED) {
        return fail(detail, status,
                    mem_printf("%s does not play faults: start every member with --enable-faults "
                               "(`conclave cluster start --enable-faults`)",
                               member->name));
    }
    char *why = client_explain(status, r, a);
    fail(detail, status, mem_printf("%s at %s: %s", member->name, member->url, why));
    mem_free(why);
    return status;
}

/* Does this member answer there? *status is what it says of its faults. */
static bool answers_at(const struct chaos_member *member, const char *url, uint32_t timeout_ms,
                       enum status *status, char **detail)
{
    const struct client_request request = {.method = "GET", .target = "/faults"};
    struct client_answer a = {0};
    *status = client_ask(url, &request, timeout_ms, &a);
    bool is_it = strcmp(a.node, member->name) == 0;
    if (is_it && *status != STATUS_OK) {
        explain(*status, member, &request, &a, detail);
    }
    client_answer_deinit(&a);
    return is_it;
}

/* Where it says that it is; else at an endpoint, which works from here whatever it advertises. */
static enum status locate(struct chaos_member *member, const char *const *endpoints,
                          uint32_t endpoint_count, uint32_t timeout_ms, char **detail)
{
    enum status status;
    if (answers_at(member, member->url, timeout_ms, &status, detail)) {
        return status;
    }
    for (uint32_t i = 0; i < endpoint_count; i++) {
        if (answers_at(member, endpoints[i], timeout_ms, &status, detail)) {
            snprintf(member->url, sizeof(member->url), "%s", endpoints[i]);
            return status;
        }
    }
    return fail(detail, STATUS_UNREACHABLE,
                mem_printf("%s does not answer at %s; start it first", member->name, member->url));
}

enum status chaos_members_find(const char *const *endpoints, uint32_t endpoint_count,
                               uint32_t timeout_ms, struct chaos_members *m, char **detail)
{
    *m = (struct chaos_members){0};
    struct client *c = client_create(&(struct client_options){
        .endpoints = endpoints, .endpoint_count = endpoint_count, .timeout_ms = timeout_ms});
    const struct client_request request = {.method = "GET", .target = "/members"};
    struct client_answer a = {0};
    enum status status = client_call(c, &request, &a);
    if (status == STATUS_OK) {
        status = take_members(a.json, m, detail);
    } else {
        fail(detail, status, client_explain(status, &request, &a));
    }
    client_answer_deinit(&a);
    client_destroy(c);
    for (uint32_t i = 0; status == STATUS_OK && i < m->count; i++) {
        status = locate(&m->members[i], endpoints, endpoint_count, timeout_ms, detail);
    }
    return status;
}

uint32_t chaos_members_up(const struct chaos_members *m)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        up += m->members[i].is_down ? 0 : 1;
    }
    return up;
}

bool chaos_members_have_majority(const struct chaos_members *m)
{
    return chaos_members_up(m) > m->count / 2;
}

/* The body that cuts it off from all others; names need no escaping. */
static void append_cut(const struct chaos_members *m, uint32_t i, struct buf *body)
{
    buf_append_str(body, "{\"partition\":[");
    const char *comma = "";
    for (uint32_t k = 0; k < m->count; k++) {
        if (k != i) {
            buf_printf(body, "%s\"%s\"", comma, m->members[k].name);
            comma = ",";
        }
    }
    buf_append_str(body, "]}");
}

enum status chaos_members_set(struct chaos_members *m, uint32_t i, bool is_down,
                              uint32_t timeout_ms, char **detail)
{
    struct chaos_member *member = &m->members[i];
    struct buf body = {0};
    if (is_down) {
        append_cut(m, i, &body);
    }
    const struct client_request request = {.method = is_down ? "POST" : "DELETE",
                                           .target = "/faults",
                                           .headers = "Content-Type: application/json\r\n",
                                           .body = buf_slice(&body)};
    struct client_answer a = {0};
    enum status status = client_ask(member->url, &request, timeout_ms, &a);
    if (status == STATUS_OK) {
        member->is_down = is_down;
    } else {
        status = explain(status, member, &request, &a, detail);
    }
    client_answer_deinit(&a);
    buf_deinit(&body);
    return status;
}
