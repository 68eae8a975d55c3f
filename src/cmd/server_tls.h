/* cmd/server_tls.h - a member's certificates while it runs: read again when their files change, and
 * told of in log and metrics before they run out. */
#pragma once

#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"

#include <stdint.h>

struct server_tls;

/* Look after `tls` (borrowed) on `loop`, which is made from it (net/tls_loop.h): every
 * LIMIT_TLS_REFRESH_MS. */
struct server_tls *server_tls_watch(struct tls *tls, struct loop *loop);
/* Before the loop ends; NULL is fine. */
void server_tls_leave(struct server_tls *s);
/* Look at the files now. */
void server_tls_refresh(struct server_tls *s);
/* For api_options.more_metrics; the context is a struct server_tls. */
void server_tls_metrics(const void *context, struct buf *out);
