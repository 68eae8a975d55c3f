/* client/identity.h - the user in whose name this process asks, for clusters that have auth on.
 *
 * One for all its requests, as one command is given by one person. Set at most once, before the
 * first request and the first thread; read from any thread then. Where nobody asks who it is, it
 * does not matter. */
#pragma once

#include "base/slice.h"
#include "base/status.h"

/* Copied. INVALID: the name is empty or has a colon, or one of both is no UTF-8, has a zero byte or
 * is longer than a cluster takes (LIMIT_AUTH_NAME_BYTES, LIMIT_PASSWORD_BYTES). */
enum status MUST_CHECK identity_set(struct slice name, struct slice password);

/* NULL when it was not set. */
const char *identity_name(void);
const char *identity_password(void);
/* "Authorization: Basic ..." and a line end; empty when it was not set. */
const char *identity_header(void);
