/* cmd/tls_settings.h - the flags of `conclave server` about certificates, and what they say. */
#pragma once

#include "cmd/options.h"
#include "net/tls.h"

/* Rows in the table of the server's options, from some row on. */
enum {
    TLS_ROW_CERT,
    TLS_ROW_KEY,
    TLS_ROW_CA,
    TLS_ROW_CLIENT_AUTH,
    TLS_ROW_PEER_CERT,
    TLS_ROW_PEER_KEY,
    TLS_ROW_PEER_CA,
    TLS_ROW_CRL,
    TLS_ROW_COUNT
};

#define TLS_FILE_ROW(row, flag, text)                                                              \
    [(row)] = {.name = (flag), .type = OPTION_TEXT, .unit = "FILE", .meaning = (text)}
#define TLS_OPTION_ROWS(first)                                                                     \
    TLS_FILE_ROW((first) + TLS_ROW_CERT, "tls-cert",                                               \
                 "speak only TLS, with this certificate (PEM) and those behind it"),               \
        TLS_FILE_ROW((first) + TLS_ROW_KEY, "tls-key", "the private key of --tls-cert"),           \
        TLS_FILE_ROW((first) + TLS_ROW_CA, "tls-ca",                                               \
                     "whose certificates of members and clients are believed"),                    \
        [(first) + TLS_ROW_CLIENT_AUTH] =                                                          \
            {.name = "tls-client-auth",                                                            \
             .type = OPTION_CHOICE,                                                                \
             .unit = "WHEN",                                                                       \
             .meaning = "must who connects show a certificate: none, optional or require; if not " \
                        "given, optional with --tls-ca",                                           \
             .choices = "none|optional|require"},                                                  \
                   TLS_FILE_ROW((first) + TLS_ROW_PEER_CERT, "peer-tls-cert",                      \
                                "another certificate, for members among each other"),              \
                   TLS_FILE_ROW((first) + TLS_ROW_PEER_KEY, "peer-tls-key",                        \
                                "the private key of --peer-tls-cert"),                             \
                   TLS_FILE_ROW((first) + TLS_ROW_PEER_CA, "peer-tls-ca",                          \
                                "whose certificates of members are believed, and no others'"),     \
                   TLS_FILE_ROW((first) + TLS_ROW_CRL, "tls-crl",                                  \
                                "lists of revoked certificates (PEM), of any of the CAs")

/* What the rows from `first` on say, borrowed from `o`; without --tls-cert nothing is. INVALID: as
 * server_settings_read. */
enum status MUST_CHECK tls_settings_read(struct options *o, size_t first, struct tls_options *t);
