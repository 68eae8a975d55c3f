/* net/tls_internal.h - what tls.c (files), tls_session.c (connections) and tls_make.c (new
 * certificates) share. */
#pragma once

#include "base/buf.h"
#include "net/tls.h"

#include <openssl/ssl.h>

/* What is shown and believed when somebody is met in a role. */
struct tls_role {
    SSL_CTX *server; /* NULL without a certificate */
    SSL_CTX *client;
    char own[TLS_NAME_BYTES + 64]; /* what is shown, in words; "" = nothing */
};

/* What was read from the files, immutable; what is made from it lives on without it. */
struct tls_set {
    struct tls_role clients;
    struct tls_role members; /* all NULL: as clients */
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    uint32_t count;
};

/* Between these two nobody refreshes it. */
const struct tls_set *tls_lock(struct tls *t);
void tls_unlock(struct tls *t);

/* A subject in words, "CN=node-1,O=Conclave"; printable ASCII whatever is in it. */
void tls_write_subject(const X509 *certificate, char text[TLS_NAME_BYTES]);
/* "2027-01-31". */
void tls_write_date(int64_t s, char text[16]);
int64_t tls_expiry_s(const X509 *certificate);
/* What OpenSSL complained of first, in words, static; forgets it all. */
const char *tls_take_error(void);
/* INVALID: *detail says why. At most LIMIT_TLS_FILE_BYTES, appended to `text`. */
enum status MUST_CHECK tls_read_file(const char *path, struct buf *text, char **detail);
/* The first private key, or the certificates, of a PEM text. NULL: tls_take_error says why. */
EVP_PKEY *tls_parse_key(const struct buf *text);
STACK_OF(X509) * tls_parse_certificates(const struct buf *text);

/* tls_session.c, for what SSL_CTX wants to be told. The context of tls_on_hello is the SSL_CTX for
 * members. */
int tls_on_hello(SSL *ssl, int *alert, void *context);
int tls_on_verify(int is_good, X509_STORE_CTX *about);
int tls_on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                const unsigned char *offered, unsigned int offered_size, void *context);
