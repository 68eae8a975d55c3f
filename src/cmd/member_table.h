/* cmd/member_table.h - what GET /cluster answers, as the table of `status` and `cluster status`. */
#pragma once

#include "cmd/output.h"

#include <jansson.h>

/* What a whole answer says of the cluster's health. */
struct member_summary {
    size_t count;
    size_t online;
    const char *leader; /* its name, borrowed from the answer; NULL = none */
};
struct member_summary member_table_summary(const json_t *answer);

/* The entry of the member of that name, or NULL. */
const json_t *member_table_find(const json_t *answer, const char *name);

/* Texts for a member's columns; NULL or empty = unknown. */
struct member_texts {
    const char *role;
    const char *url;
    char term[24];
    char lag[24];
    char contact[24];
};
void member_table_texts(const json_t *member, struct member_texts *texts);
