#include "node/fault_set.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

static bool is_cut(const struct fault_set *s, const char *name)
{
    for (uint32_t i = 0; i < s->cut_count; i++) {
        if (strcmp(s->cut[i], name) == 0) {
            return true;
        }
    }
    return false;
}

struct fault fault_set_of(const struct fault_set *s, const char *name)
{
    struct fault f = {.delay_ms = s->delay_ms, .drop = s->drop, .is_cut = is_cut(s, name)};
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct fault_link *l = &s->links[i];
        if (strcmp(l->name, name) == 0) {
            f.delay_ms = l->has_delay ? l->fault.delay_ms : f.delay_ms;
            f.drop = l->has_drop ? l->fault.drop : f.drop;
            f.is_cut = l->has_cut ? l->fault.is_cut : f.is_cut;
        }
    }
    return f;
}

bool fault_set_is_empty(const struct fault_set *s)
{
    bool is_empty = s->delay_ms == 0 && s->drop == 0 && s->cut_count == 0 && s->disk_delay_ms == 0;
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct fault *f = &s->links[i].fault;
        is_empty = is_empty && f->delay_ms == 0 && f->drop == 0 && !f->is_cut;
    }
    return is_empty;
}

static void describe_number(struct buf *out, const char *name, uint32_t value)
{
    if (value != 0) {
        buf_printf(out, " %s=%u", name, value);
    }
}

static void describe_drop(struct buf *out, uint32_t drop)
{
    if (drop != 0) {
        buf_printf(out, " drop=%g", (double)drop / FAULT_DROP_ALL);
    }
}

static void describe_link(struct buf *out, const struct fault_link *l)
{
    buf_printf(out, " %s:", l->name);
    if (l->has_delay) {
        buf_printf(out, " delayMs=%u", l->fault.delay_ms);
    }
    if (l->has_drop) {
        buf_printf(out, " drop=%g", (double)l->fault.drop / FAULT_DROP_ALL);
    }
    if (l->has_cut) {
        buf_printf(out, " partition=%s", l->fault.is_cut ? "true" : "false");
    }
}

void fault_set_describe(const struct fault_set *s, char *text, size_t size)
{
    struct buf out = {0};
    describe_number(&out, "delayMs", s->delay_ms);
    describe_drop(&out, s->drop);
    for (uint32_t i = 0; i < s->cut_count; i++) {
        buf_printf(&out, "%s%s", i == 0 ? " partition=" : ",", s->cut[i]);
    }
    describe_number(&out, "diskDelayMs", s->disk_delay_ms);
    for (uint32_t i = 0; i < s->link_count; i++) {
        describe_link(&out, &s->links[i]);
    }
    size_t begin = out.size > 0 ? 1 : 0; /* without the first space */
    snprintf(text, size, "%.*s", (int)(out.size - begin), (const char *)out.data + begin);
    buf_deinit(&out);
}
