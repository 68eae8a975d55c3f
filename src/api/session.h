/* api/session.h - session tokens: what a client has seen, as (cluster, revision).
 *
 * `<uuid of the cluster>.<revision>`, sent with every answer as Conclave-Session and given back
 * with ?consistency=session&token=. The cluster is in it because a revision says nothing about
 * another one, also not about this one after a restore. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"

#include <stdint.h>

/* The beginning of a token; the revision follows it in decimal. */
void session_begin(struct uuid cluster, struct buf *out);
/* INVALID: not a token. CONFLICT: a token of another cluster. */
enum status MUST_CHECK session_parse(struct slice text, struct uuid cluster, uint64_t *revision);
