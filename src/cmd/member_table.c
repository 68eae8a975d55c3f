#include "cmd/member_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const json_t *members_of(const json_t *answer)
{
    return json_object_get(answer, "cluster");
}

static const char *string_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

struct member_summary member_table_summary(const json_t *answer)
{
    struct member_summary s = {.leader = string_of(json_object_get(answer, "leader"), "id")};
    size_t i;
    json_t *member;
    json_array_foreach(members_of(answer), i, member)
    {
        s.count++;
        s.online += json_is_true(json_object_get(member, "online")) ? 1 : 0;
    }
    return s;
}

const json_t *member_table_find(const json_t *answer, const char *name)
{
    size_t i;
    json_t *member;
    json_array_foreach(members_of(answer), i, member)
    {
        const char *id = string_of(member, "id");
        if (id != NULL && strcmp(id, name) == 0) {
            return member;
        }
    }
    return NULL;
}

static void number_text(const json_t *member, const char *name, const char *unit, char text[24])
{
    const json_t *value = json_object_get(member, name);
    text[0] = '\0';
    if (json_is_number(value)) {
        snprintf(text, 24, "%.0f%s", json_number_value(value), unit);
    }
}

void member_table_texts(const json_t *member, struct member_texts *texts)
{
    *texts = (struct member_texts){.url = string_of(member, "url")};
    bool is_online = json_is_true(json_object_get(member, "online"));
    texts->role = is_online ? string_of(member, "role") : "offline";
    if (is_online && texts->role == NULL) {
        texts->role = "founding";
    }
    number_text(member, "term", "", texts->term);
    number_text(member, "lagEntries", "", texts->lag);
    number_text(member, "lastContactMs", " ms", texts->contact);
}
