/* api/root_reset.h - the way back in for who lost root's password: whoever may start a member with
 * --reset-root-password-file may set it.
 *
 * Waits until a leader is known, and then sets the password by the log, for all members; with it
 * the tokens of root end. Nothing is set when it is that password already, so that a flag which
 * stays does no harm; when auth is off, as anybody may do it then; nor when root has no password by
 * intent and enters by a certificate. Tells what it does in the log, as a warning, and in the audit
 * log. */
#pragma once

#include "base/slice.h"

struct api;
struct root_reset;

/* `password`: 1 to LIMIT_PASSWORD_BYTES; copied. */
struct root_reset *root_reset_start(struct api *api, struct slice password);
/* NULL is fine. */
void root_reset_destroy(struct root_reset *r);
