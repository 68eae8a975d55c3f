/* net/tls_client.h - with what this process dials https://, as a client: one for all its requests.
 *
 * Set before the first request and the first thread; read from any thread then. Not set: nothing is
 * shown, and whom this machine believes is believed. */
#pragma once

#include "net/tls_session.h"

/* client_auth is of no meaning here. INVALID: *detail (the caller's to free) says why. */
enum status MUST_CHECK tls_client_set(const struct tls_options *options, char **detail);
/* Borrowed, for the process's life. */
struct tls *tls_client(void);
/* tls_session_dial with it, on any thread; files that are others than last time are read first, and
 * used if they are good. */
struct tls_session *tls_client_dial(const char *host, const char *protocol);
