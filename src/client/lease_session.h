/* client/lease_session.h - a lease that lives for as long as this process wants it.
 *
 * A thread keeps it alive, every third of its TTL, at whichever endpoint answers. The lease counts
 * as lost when the server says so, and at the latest a TTL after the last keep-alive that was
 * answered had been sent: no server lets it expire before, and nobody else has what it held. */
#pragma once

#include "client/client.h"

struct lease_session;

/* Grant a lease of at least `ttl_s` seconds (the server may raise it) and begin to keep it alive.
 * Not OK: there is no session; `a` says why. Statuses of gateway_call. */
enum status MUST_CHECK lease_session_open(const struct client_options *options, uint32_t ttl_s,
                                          struct lease_session **session, struct client_answer *a);
uint64_t lease_session_id(const struct lease_session *s);
uint32_t lease_session_ttl_s(const struct lease_session *s);
/* Readable once the lease is lost, and from then on; only to be polled. */
int lease_session_lost_fd(const struct lease_session *s);
/* Whether the server said that it is gone; otherwise a lost one could not be kept alive. */
bool lease_session_is_gone(const struct lease_session *s);
/* End it; with `revoke`, what is attached to it goes now, otherwise when the lease expires. Not OK:
 * that could not be had; `a` says why. The session is freed. */
enum status MUST_CHECK lease_session_close(struct lease_session *s, bool revoke,
                                           struct client_answer *a);
