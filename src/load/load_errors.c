#include "load/load_errors.h"

#include <stdio.h>

static struct load_error *find_kind(struct load_errors *e, const char *kind)
{
    for (uint32_t i = 0; i < e->kind_count; i++) {
        if (strcmp(e->kinds[i].kind, kind) == 0) {
            return &e->kinds[i];
        }
    }
    return NULL;
}

static void keep_text(struct load_error *error, struct slice text)
{
    size_t size = text.size < sizeof(error->text) - 1 ? text.size : sizeof(error->text) - 1;
    for (size_t i = 0; i < size; i++) {
        bool is_plain = text.data[i] >= 0x20 && text.data[i] < 0x7f;
        error->text[i] = is_plain ? (char)text.data[i] : '?';
    }
    error->text[size] = '\0';
}

void load_errors_add(struct load_errors *e, const char *kind, struct slice text)
{
    struct load_error *error = find_kind(e, kind);
    if (error == NULL && e->kind_count >= LOAD_ERROR_KINDS - 1) {
        kind = "other";
        error = find_kind(e, kind);
    }
    if (error == NULL) {
        error = &e->kinds[e->kind_count++];
        snprintf(error->kind, sizeof(error->kind), "%s", kind);
        keep_text(error, text);
    }
    error->count++;
    e->total++;
}
