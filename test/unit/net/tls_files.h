/* Certificates for tests, in a directory of their own that goes with them. */
#pragma once

#include "net/tls.h"

#include <stdbool.h>

struct tls_files {
    char dir[64];
};

/* "ca", "node" (a member, for "node" and 127.0.0.1), "alice" (a client); and "other-ca", which
 * signed "stranger" (a member for "node", too). Each has NAME.crt and NAME.key. */
void tls_files_make(struct tls_files *f);
void tls_files_remove(struct tls_files *f);
/* DIR/name; good for the next three calls. */
const char *tls_files_path(struct tls_files *f, const char *name);
/* A new one in place of what is there, good for `seconds` from now on; 0 = long. */
void tls_files_renew(struct tls_files *f, const char *name, const char *ca, bool is_member,
                     int seconds);
/* NAME revoked by CA, in CA.crl; it is due for renewal after `days`. */
void tls_files_revoke(struct tls_files *f, const char *name, const char *ca, uint32_t days);
/* What a process makes of files that are named as above; it must be good. */
struct tls *tls_files_create(struct tls_files *f, const struct tls_options *names);
/* What a process makes of NAME.crt, NAME.key and CA.crt; NULL = without. It must be good. */
struct tls *tls_files_load(struct tls_files *f, const char *name, const char *ca,
                           enum tls_client_auth client_auth);
