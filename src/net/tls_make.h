/* net/tls_make.h - certificates for those who have none: a CA of one's own, and what it signs.
 * P-256. Texts are PEM. */
#pragma once

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_make_options {
    const char *name;         /* becomes the CN */
    const char *const *hosts; /* of a member: names and addresses by which it is dialled */
    uint32_t host_count;
    bool is_member; /* also good for accepting connections, and as a member; else a client's */
    uint32_t days;
};

/* A new CA: its certificate and its key. INVALID: *detail (the caller's to free) says why. */
enum status MUST_CHECK tls_make_ca(const char *name, uint32_t days, struct buf *cert,
                                   struct buf *key, char **detail);
/* Signed by that CA; it is never valid for longer than the CA itself. INVALID as above. */
enum status MUST_CHECK tls_make_signed(const struct tls_make_options *options, const char *ca_file,
                                       const char *ca_key_file, struct buf *cert, struct buf *key,
                                       char **detail);
/* The CA's list of what it has revoked (X.509 CRL, PEM): those of `old_file`, if there
 * is one, and the certificate in `cert_file`, which must be the CA's. INVALID as above. */
enum status MUST_CHECK tls_make_crl(const char *cert_file, const char *old_file, uint32_t days,
                                    const char *ca_file, const char *ca_key_file, struct buf *list,
                                    char **detail);
