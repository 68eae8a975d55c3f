/* net/tls.h - certificates, and what a process does with them. OpenSSL, which only tls*.c know.
 *
 * TLS 1.2 and 1.3; ECDHE with AEAD; no renegotiation, no compression, no tickets: each connection
 * agrees on keys of its own. What was read from the files is immutable: a refresh makes a new set
 * for the connections to come, and those that are there keep theirs. */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;

/* Does who dials here show a certificate? NONE: not asked. OPTIONAL: one that is shown must be
 * good. */
enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRE };

/* Files are PEM. For who accepts connections, `cert` and `key` are there, and `ca` unless clients
 * are not asked. */
struct tls_options {
    const char *cert; /* first this side's own, then those in between; NULL = none */
    const char *key;  /* NULL = none */
    const char *ca;   /* whom to believe; NULL = whom this machine believes */
    /* Lists of what CAs have revoked; NULL = none. A CA without one has revoked nothing. One that
     * has run out holds on: what it revokes stays so. */
    const char *crl;
    /* Between members, instead of the three above; NULL = these. With any, a member is only who
     * says in its first message that it dials as one (LOOP_PEER_PROTOCOL) and is believed by
     * these. */
    const char *peer_cert;
    const char *peer_key;
    const char *peer_ca;
    enum tls_client_auth client_auth;
};

/* Copied. INVALID: *detail (the caller's to free) names the file and the reason. */
enum status MUST_CHECK tls_create(const struct tls_options *options, struct tls **tls,
                                  char **detail);
/* Sessions may outlive it. */
void tls_destroy(struct tls *t);

/* Read the files again if one of them is another one than last time (inode, size, time). OK: they
 * were, and are good. BUSY: nothing has changed. INVALID: they are used no further, the old ones
 * stay; *detail says why. Not said again until something changes. */
enum status MUST_CHECK tls_refresh(struct tls *t, char **detail);
/* How often that was OK, and how often INVALID. */
uint64_t tls_reloads(const struct tls *t);
uint64_t tls_reload_failures(const struct tls *t);

#define TLS_NAME_BYTES 256 /* of a subject in words; longer ones are cut */

/* One file in use: of its certificates or lists, what runs out first. */
struct tls_certificate {
    const char *file;             /* borrowed */
    char subject[TLS_NAME_BYTES]; /* "CN=node-1,O=Conclave" */
    int64_t expires_s;            /* since 1970 */
    bool is_crl;                  /* a list of what was revoked, and `subject` is who did */
};
#define TLS_CERTIFICATES_MAX 5
/* Of the options `cert`, `ca`, `peer_cert`, `peer_ca` and `crl`, those that are given, in that
 * order. Returns how many. */
uint32_t tls_certificates(const struct tls *t, struct tls_certificate list[TLS_CERTIFICATES_MAX]);
