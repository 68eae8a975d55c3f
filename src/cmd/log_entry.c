#include "cmd/log_entry.h"

#include "client/json_text.h"
#include "cmd/client_verb.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Nothing for null. */
static void take(struct buf *out, struct slice json, const char *name)
{
    struct slice text;
    if (json_text_member(json, name, &text) && !slice_equal(text, slice_str("null"))) {
        client_verb_append_member(out, json, name);
    }
}

static bool is_number(const struct buf *text)
{
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            return false;
        }
    }
    return true;
}

static void format_time(const struct buf *ms, char out[LOG_TIME_SIZE])
{
    out[0] = '\0';
    char digits[LOG_TIME_SIZE] = "";
    if (ms->size == 0 || ms->size >= sizeof(digits) || !is_number(ms)) {
        return;
    }
    memcpy(digits, ms->data, ms->size);
    time_t seconds = (time_t)(strtoull(digits, NULL, 10) / 1000);
    struct tm local;
    if (localtime_r(&seconds, &local) == NULL ||
        strftime(out, LOG_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        out[0] = '\0';
    }
}

void log_entry_read(struct log_entry *e, struct slice json)
{
    *e = (struct log_entry){0};
    take(&e->id, json, "id");
    take(&e->term, json, "term");
    take(&e->time_ms, json, "time");
    take(&e->type, json, "type");
    take(&e->key, json, "key");
    take(&e->revision, json, "revision");
    /* A write of null has a value, and it is null. */
    if (!json_text_member(json, "value", &e->value) ||
        (slice_equal(e->value, slice_str("null")) &&
         !slice_equal(buf_slice(&e->type), slice_str("write")))) {
        e->value = slice_of(NULL, 0);
    }
    format_time(&e->time_ms, e->time);
}

void log_entry_deinit(struct log_entry *e)
{
    struct buf *const bufs[] = {&e->id, &e->term, &e->time_ms, &e->type, &e->key, &e->revision};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_deinit(bufs[i]);
    }
}
