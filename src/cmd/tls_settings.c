#include "cmd/tls_settings.h"

/* A certificate and its key are given both or not at all. */
static enum status check_pair(struct options *o, size_t cert_row, size_t key_row)
{
    bool has_cert = options_text(o, cert_row) != NULL;
    bool has_key = options_text(o, key_row) != NULL;
    if (has_cert == has_key) {
        return STATUS_OK;
    }
    return options_refuse(o, has_cert ? cert_row : key_row,
                          "is of no use without --%s FILE; `conclave cert` makes certificates",
                          o->table[has_cert ? key_row : cert_row].name);
}

static enum status check_cas(struct options *o, size_t first, const struct tls_options *t)
{
    if (t->ca == NULL && t->client_auth != TLS_CLIENT_NONE) {
        return options_refuse(o, first + TLS_ROW_CLIENT_AUTH,
                              "asks for certificates, and --tls-ca FILE does not say whose");
    }
    if (t->peer_cert != NULL && t->ca == NULL && t->peer_ca == NULL) {
        return options_refuse(o, first + TLS_ROW_PEER_CERT,
                              "is shown to members, and neither --peer-tls-ca FILE nor --tls-ca "
                              "says whose of theirs to believe");
    }
    return STATUS_OK;
}

enum status tls_settings_read(struct options *o, size_t first, struct tls_options *t)
{
    static const enum tls_client_auth auths[] = {TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL,
                                                 TLS_CLIENT_REQUIRE};
    *t = (struct tls_options){.cert = options_text(o, first + TLS_ROW_CERT),
                              .key = options_text(o, first + TLS_ROW_KEY),
                              .ca = options_text(o, first + TLS_ROW_CA),
                              .peer_cert = options_text(o, first + TLS_ROW_PEER_CERT),
                              .peer_key = options_text(o, first + TLS_ROW_PEER_KEY),
                              .peer_ca = options_text(o, first + TLS_ROW_PEER_CA),
                              .crl = options_text(o, first + TLS_ROW_CRL)};
    t->client_auth = t->ca != NULL ? TLS_CLIENT_OPTIONAL : TLS_CLIENT_NONE;
    if (options_text(o, first + TLS_ROW_CLIENT_AUTH) != NULL) {
        t->client_auth = auths[options_number(o, first + TLS_ROW_CLIENT_AUTH)];
    }
    enum status status = check_pair(o, first + TLS_ROW_CERT, first + TLS_ROW_KEY);
    if (status == STATUS_OK) {
        status = check_pair(o, first + TLS_ROW_PEER_CERT, first + TLS_ROW_PEER_KEY);
    }
    for (size_t i = 0; status == STATUS_OK && t->cert == NULL && i < TLS_ROW_COUNT; i++) {
        if (options_text(o, first + i) != NULL) {
            status = options_refuse(o, first + i,
                                    "is of no use without --tls-cert FILE; `conclave cert` makes "
                                    "certificates");
        }
    }
    return status == STATUS_OK && t->cert != NULL ? check_cas(o, first, t) : status;
}
