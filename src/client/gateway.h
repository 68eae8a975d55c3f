/* client/gateway.h - calls of the etcd v3 API as JSON, at whichever endpoint answers.
 *
 * Only for calls that may be made twice: they are repeated at the next endpoint when an answer is
 * missing. Bytes travel as base64 and 64-bit numbers as strings. With a user (identity.h) they are
 * made with a token, which the first one gets, and another one when its time is over. */
#pragma once

#include "client/client.h"

/* POST `body`, which is taken over. Statuses of client_call for what is no write; UNSUPPORTED also
 * stands for what the server does not find, DENIED for a user that is missing or not known, and
 * CORRUPT is an answer that is no object. */
enum status MUST_CHECK gateway_call(struct client *c, const char *target, json_t *body,
                                    int cancel_fd, struct client_answer *a);

/* A new token for the user of this process (identity.h), as a new string; NULL: the cluster does
 * not ask who it is. Statuses of gateway_call. */
enum status MUST_CHECK gateway_log_in(struct client *c, int cancel_fd, char **token,
                                      struct client_answer *a);

/* A JSON string of the bytes in base64, and of a number. New references. */
json_t *gateway_bytes(struct slice bytes);
json_t *gateway_number(uint64_t number);

/* Append the bytes of a member; false: it is there and not base64. One that is absent is empty. */
bool gateway_read_bytes(const json_t *object, const char *name, struct buf *out);
/* 0: it is absent, or no number. */
uint64_t gateway_read_number(const json_t *object, const char *name);
