/* The other half of load_requests.h: whether an answer is right. */
#include "base/codec.h"
#include "load/load_proto.h"
#include "load/load_requests.h"
#include "net/http_header.h"

#define NO_PROTOBUF "the message is cut off or none of protobuf"

static const char *const too_old = "its revision is lower than one that was told before";

static const char *check_revision(const struct load_request *r, const struct load_answer *a)
{
    bool is_write = r->ask == LOAD_ASK_PUT || r->ask == LOAD_ASK_TXN;
    if (a->revision == 0) {
        return "it has no revision";
    }
    return a->revision < r->floor || (is_write && a->revision == r->floor) ? too_old : NULL;
}

/* --- gRPC ------------------------------------------------------------------------------------- */

static uint64_t read_header_revision(struct slice header)
{
    struct reader r = reader_of(header);
    struct load_field f;
    uint64_t revision = 0;
    while (load_proto_next(&r, &f)) {
        revision = f.number == 3 ? f.value : revision;
    }
    return reader_done(&r) ? revision : 0;
}

struct key_value {
    struct slice key;
    struct slice value;
};

static bool read_key_value(struct slice bytes, struct key_value *kv)
{
    struct reader r = reader_of(bytes);
    struct load_field f;
    *kv = (struct key_value){0};
    while (load_proto_next(&r, &f)) {
        if (f.number == 1) {
            kv->key = f.bytes;
        } else if (f.number == 5) {
            kv->value = f.bytes;
        }
    }
    return reader_done(&r);
}

/* What the checks look at, of whichever answer it is. */
struct fields {
    struct slice header;    /* 1 of all */
    struct key_value kv;    /* 2 of RangeResponse */
    uint32_t many;          /* how many there are of it, or of 3 of TxnResponse */
    uint64_t second, third; /* numbers: succeeded; a lease's id and TTL */
};

static bool read_fields(enum load_ask ask, struct slice message, struct fields *fields)
{
    struct reader r = reader_of(message);
    struct load_field f;
    bool is_read = ask == LOAD_ASK_RANGE || ask == LOAD_ASK_SERIALIZABLE;
    *fields = (struct fields){0};
    while (load_proto_next(&r, &f)) {
        if (f.number == 1) {
            fields->header = f.bytes;
        } else if (f.number == 2 && is_read) {
            r.bad = !read_key_value(f.bytes, &fields->kv) || r.bad;
            fields->many++;
        } else if (f.number == 2) {
            fields->second = f.value;
        } else if (f.number == 3) {
            fields->third = f.value;
            fields->many += ask == LOAD_ASK_TXN ? 1 : 0;
        }
    }
    return reader_done(&r);
}

static const char *check_found(const struct load_plan *plan, const struct load_request *r,
                               bool is_found, struct slice key, size_t value_bytes)
{
    if (!is_found) {
        return plan->prefill ? "a key that was put first is not there" : NULL;
    }
    if (!slice_equal(key, buf_slice(&r->key))) {
        return "it is of another key";
    }
    return plan->prefill && value_bytes != plan->value_bytes ? "the value has another size" : NULL;
}

const char *load_check_message(const struct load_plan *plan, const struct load_request *r,
                               struct slice message, struct load_answer *a)
{
    struct fields f;
    if (!read_fields(r->ask, message, &f)) {
        return NO_PROTOBUF;
    }
    *a = (struct load_answer){.revision = read_header_revision(f.header)};
    const char *wrong = NULL;
    switch (r->ask) {
    case LOAD_ASK_RANGE:
    case LOAD_ASK_SERIALIZABLE:
        a->is_miss = f.many == 0;
        wrong = f.many > 1 ? "more keys than were asked for"
                           : check_found(plan, r, f.many == 1, f.kv.key, f.kv.value.size);
        break;
    case LOAD_ASK_TXN:
        wrong = f.second != 1 || f.many != r->puts ? "the transaction did not put all keys" : NULL;
        break;
    case LOAD_ASK_GRANT:
        a->lease = f.second;
        wrong = f.second == 0 ? "no lease was granted" : NULL;
        break;
    case LOAD_ASK_KEEPALIVE:
        wrong = f.second != r->lease ? "it is of another lease"
                : f.third == 0       ? "the lease is gone"
                                     : NULL;
        break;
    default:
        break;
    }
    return wrong != NULL ? wrong : check_revision(r, a);
}

/* The digits behind the quote that begins the value. */
static uint64_t read_time(struct slice value)
{
    uint64_t us = 0;
    for (size_t i = 1; i < value.size && value.data[i] >= '0' && value.data[i] <= '9' && i < 21;
         i++) {
        us = us * 10 + (uint64_t)(value.data[i] - '0');
    }
    return us;
}

static bool read_event(struct slice bytes, uint64_t *put_us)
{
    struct reader r = reader_of(bytes);
    struct load_field f;
    struct key_value kv = {0};
    while (load_proto_next(&r, &f)) {
        if (f.number == 2 && !read_key_value(f.bytes, &kv)) {
            return false;
        }
    }
    *put_us = read_time(kv.value);
    return reader_done(&r);
}

const char *load_read_watch(struct slice message, struct load_watch_news *news,
                            void (*tell)(void *context, uint64_t put_us), void *context)
{
    struct reader r = reader_of(message);
    struct load_field f;
    *news = (struct load_watch_news){0};
    while (load_proto_next(&r, &f)) {
        uint64_t put_us;
        if (f.number == 1) {
            news->revision = read_header_revision(f.bytes);
        } else if (f.number == 3) {
            news->is_created = f.value != 0;
        } else if (f.number == 4) {
            news->is_canceled = f.value != 0;
        } else if (f.number == 11) {
            if (!read_event(f.bytes, &put_us)) {
                return NO_PROTOBUF;
            }
            news->events++;
            tell(context, put_us);
        }
    }
    return reader_done(&r) ? NULL : NO_PROTOBUF;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

/* Behind `name` in our own compact JSON; empty if it is not there. What is looked for stands before
 * anything that a value could imitate. */
static struct slice behind(struct slice text, const char *name)
{
    const uint8_t *at = memmem(text.data, text.size, name, strlen(name));
    if (at == NULL) {
        return (struct slice){0};
    }
    at += strlen(name);
    return slice_of(at, text.size - (size_t)(at - text.data));
}

static struct slice until(struct slice text, uint8_t end)
{
    const uint8_t *at = text.size > 0 ? memchr(text.data, end, text.size) : NULL;
    return at != NULL ? slice_of(text.data, (size_t)(at - text.data)) : (struct slice){0};
}

static uint64_t read_number(struct slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number;
}

static const char *check_reading(const struct load_plan *plan, const struct load_request *r,
                                 struct slice body, bool is_found)
{
    struct slice key = until(behind(body, "{\"key\":\""), '"');
    struct slice value = behind(body, "\"value\":\"");
    /* With its quotes; none of ours has one inside. */
    return check_found(plan, r, is_found, key, until(value, '"').size + 2);
}

static uint32_t count_puts(struct slice body)
{
    uint32_t count = 0;
    for (struct slice rest = behind(body, "\"type\":\"put\""); rest.data != NULL;
         rest = behind(rest, "\"type\":\"put\"")) {
        count++;
    }
    return count;
}

const char *load_check_reply(const struct load_plan *plan, const struct load_request *r,
                             const struct http_reply *reply, struct load_answer *a)
{
    *a = (struct load_answer){.revision = read_number(http_headers_find(
                                  reply->headers, reply->header_count, "Conclave-Revision"))};
    const char *wrong = NULL;
    switch (r->ask) {
    case LOAD_ASK_RANGE:
    case LOAD_ASK_SERIALIZABLE:
        a->is_miss = reply->http_status == 404;
        wrong = check_reading(plan, r, reply->body, !a->is_miss);
        break;
    case LOAD_ASK_TXN:
        wrong = behind(reply->body, "{\"succeeded\":true").data == NULL ||
                        count_puts(reply->body) != r->puts
                    ? "the transaction did not put all keys"
                    : NULL;
        break;
    default:
        wrong = behind(reply->body, "{\"success\":true").data == NULL ? "it does not say success"
                                                                      : NULL;
    }
    return wrong != NULL ? wrong : check_revision(r, a);
}
