/* What follows the path and the question mark: any bytes are decoded or refused, and whatever is
 * let in can be answered as JSON. */
#include "api/json_value.h"
#include "api/query.h"
#include "api/session.h"
#include "base/check.h"
#include "net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_and_answer(struct slice raw)
{
    struct buf key = {0};
    struct buf out = {0};
    if (http_percent_decode(raw, &key) == STATUS_OK) {
        struct json_writer w = {.out = &out};
        struct slice text;
        CHECK_CMP(key.size, <=, raw.size);
        json_write_string(&w, buf_slice(&key));
        CHECK(json_text_check(buf_slice(&out), &text) == STATUS_OK);
    }
    buf_deinit(&key);
    buf_deinit(&out);
}

static void parse_query(struct slice raw)
{
    static const char *const allowed[] = {"ack", "limit", "token", "values", NULL};
    struct query q;
    if (query_parse(&q, raw, allowed) != STATUS_OK) {
        CHECK(q.why != NULL);
        CHECK(q.bad_name.size == 0 || (q.bad_name.data >= raw.data &&
                                       q.bad_name.data + q.bad_name.size <= raw.data + raw.size));
    } else {
        uint64_t limit = 0;
        CHECK_CMP(q.count, <=, 4);
        CHECK(query_number(&q, "limit", 1, &limit) != STATUS_OK || !query_has(&q, "limit") ||
              limit > 0);
    }
    query_deinit(&q);
}

/* A token that is accepted of the zero cluster is the very one that would be given out. */
static void parse_token(struct slice raw)
{
    struct uuid cluster = {0};
    uint64_t revision = 0;
    if (session_parse(raw, cluster, &revision) == STATUS_OK) {
        struct buf text = {0};
        session_append(cluster, revision, &text);
        CHECK(slice_equal(raw, buf_slice(&text)));
        buf_deinit(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice raw = slice_of(data, size);
    decode_and_answer(raw);
    parse_query(raw);
    parse_token(raw);
    return 0;
}
