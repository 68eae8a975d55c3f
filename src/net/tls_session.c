#include "net/tls_session.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NAMES_BYTES 160 /* of whom a certificate is for, in words */

struct tls_session {
    SSL *ssl;
    struct slice in; /* during a call */
    struct buf *out; /* the same */
    struct conn_tls peer;
    char peer_name[LIMIT_AUTH_NAME_BYTES + 1];
    char *host;            /* of a dial: whom the certificate must be for; NULL = accepted */
    char *own;             /* this side's certificate, in words; NULL = none */
    bool is_of_members;    /* met as a member, where these have certificates of their own */
    bool members_have_own; /* they have */
    enum status failed;
    char *trouble; /* NULL = none */
};

/* --- the bytes below -------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *bytes, size_t room, size_t *size)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *size = 0;
    if (s->in.size == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *size = room < s->in.size ? room : s->in.size;
    memcpy(bytes, s->in.data, *size);
    s->in = slice_of(s->in.data + *size, s->in.size - *size);
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *taken)
{
    struct tls_session *s = BIO_get_data(bio);
    buf_append(s->out, bytes, size);
    *taken = size;
    return 1;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method; /* one for the process, made with the first session */

static void create_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conclave");
    CHECK(method != NULL);
    CHECK(BIO_meth_set_read_ex(method, bio_read) == 1);
    CHECK(BIO_meth_set_write_ex(method, bio_write) == 1);
    CHECK(BIO_meth_set_ctrl(method, bio_ctrl) == 1);
}

static const BIO_METHOD *bio_method(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, create_method);
    return method;
}

/* --- birth and death -------------------------------------------------------------------------- */

static struct tls_session *create(const struct tls_set *set, const struct tls_role *r, bool accepts)
{
    struct tls_session *s = mem_calloc(1, sizeof(*s));
    s->ssl = SSL_new(accepts ? r->server : r->client);
    BIO *bio = BIO_new(bio_method());
    CHECK(s->ssl != NULL && bio != NULL);
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    s->members_have_own = set->members.client != NULL;
    if (r->own[0] != '\0') {
        s->own = mem_strdup(r->own);
    }
    return s;
}

struct tls_session *tls_session_accept(struct tls *t)
{
    const struct tls_set *set = tls_lock(t);
    CHECK(set->clients.server != NULL);
    struct tls_session *s = create(set, &set->clients, true);
    tls_unlock(t);
    SSL_set_accept_state(s->ssl);
    return s;
}

static bool is_address(const char *host)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void offer_protocol(struct buf *offer, const char *protocol)
{
    size_t size = strlen(protocol);
    CHECK(size < 256);
    buf_append_byte(offer, (uint8_t)size);
    buf_append(offer, protocol, size);
}

struct tls_session *tls_session_dial(struct tls *t, const char *host, const char *protocol)
{
    bool is_of_members = strcmp(protocol, LOOP_PEER_PROTOCOL) == 0;
    const struct tls_set *set = tls_lock(t);
    bool has_own = is_of_members && set->members.client != NULL;
    struct tls_session *s = create(set, has_own ? &set->members : &set->clients, false);
    s->is_of_members = has_own;
    tls_unlock(t);
    SSL_set_connect_state(s->ssl);
    s->host = mem_strdup(host);
    X509_VERIFY_PARAM *wanted = SSL_get0_param(s->ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(host)) {
        CHECK(X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1);
    } else {
        CHECK(X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1);
        CHECK(SSL_set_tlsext_host_name(s->ssl, host) == 1);
    }
    struct buf offer = {0};
    offer_protocol(&offer, protocol);
    if (is_of_members) {
        offer_protocol(&offer, "http/1.1"); /* what it then speaks */
    }
    CHECK(SSL_set_alpn_protos(s->ssl, offer.data, (unsigned)offer.size) == 0);
    buf_deinit(&offer);
    return s;
}

void tls_session_destroy(struct tls_session *s)
{
    if (s != NULL) {
        SSL_free(s->ssl);
        mem_free(s->host);
        mem_free(s->own);
        mem_free(s->trouble);
        mem_free(s);
    }
}

/* HTTP/1.1 first: whoever speaks gRPC offers only "h2", and whoever offers both wants pages and
 * REST. An unknown offer is no reason to part. */
int tls_on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                const unsigned char *offered, unsigned int offered_size, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1\x02h2";
    (void)ssl;
    (void)context;
    unsigned char *found;
    if (SSL_select_next_proto(&found, chosen_size, ours, sizeof(ours) - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static bool offers(struct slice list, struct slice protocol)
{
    while (list.size > 0 && list.data[0] < list.size) {
        struct slice offered = slice_of(list.data + 1, list.data[0]);
        if (slice_equal(offered, protocol)) {
            return true;
        }
        list = slice_of(offered.data + offered.size, list.size - 1 - offered.size);
    }
    return false;
}

/* Who dials as a member is shown members' certificates, and must have one. It says so before
 * anything else is settled, so that one port does for both. */
int tls_on_hello(SSL *ssl, int *alert, void *context)
{
    (void)alert;
    const unsigned char *data;
    size_t size;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &size) == 1 &&
        size > 2 && offers(slice_of(data + 2, size - 2), slice_str(LOOP_PEER_PROTOCOL))) {
        struct tls_session *s = SSL_get_app_data(ssl);
        SSL_CTX *members = context;
        CHECK(SSL_set_SSL_CTX(ssl, members) != NULL);
        SSL_set_verify(ssl, SSL_CTX_get_verify_mode(members), tls_on_verify);
        s->is_of_members = true;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* --- troubles --------------------------------------------------------------------------------- */

/* Only the first is one: the others follow from it. */
static void note_trouble(struct tls_session *s, char *text)
{
    if (s->trouble == NULL) {
        s->trouble = text;
    } else {
        mem_free(text);
    }
}

/* "node-1, 127.0.0.1": whom a certificate is for. */
static void write_names(X509 *certificate, char text[NAMES_BYTES])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && at < NAMES_BYTES; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char address[INET6_ADDRSTRLEN] = "";
        const char *word = address;
        int size;
        if (name->type == GEN_DNS) {
            word = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
            size = ASN1_STRING_length(name->d.dNSName);
        } else if (name->type == GEN_IPADD) {
            int bytes = ASN1_STRING_length(name->d.iPAddress);
            inet_ntop(bytes == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress),
                      address, sizeof(address));
            size = (int)strlen(address);
        } else {
            continue;
        }
        at +=
            (size_t)snprintf(text + at, NAMES_BYTES - at, "%s%.*s", at > 0 ? ", " : "", size, word);
    }
    GENERAL_NAMES_free(names);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?'; /* it goes to logs, and somebody else wrote it */
    }
}

static char *explain_wrong_name(const struct tls_session *s, X509 *certificate,
                                const char subject[TLS_NAME_BYTES])
{
    char names[NAMES_BYTES];
    write_names(certificate, names);
    return mem_printf("the other side's certificate, %s, is not for %s; it is for %s", subject,
                      s->host != NULL ? s->host : "it", names[0] != '\0' ? names : "nobody");
}

/* Told of each certificate of the other side's; what is bad ends the handshake. */
int tls_on_verify(int is_good, X509_STORE_CTX *about)
{
    if (is_good) {
        return 1;
    }
    SSL *ssl = X509_STORE_CTX_get_ex_data(about, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = SSL_get_app_data(ssl);
    int error = X509_STORE_CTX_get_error(about);
    if (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_HAS_EXPIRED) {
        return 1; /* as tls_options.crl says */
    }
    X509 *certificate = X509_STORE_CTX_get_current_cert(about);
    char subject[TLS_NAME_BYTES] = "without a subject";
    char date[16] = "";
    if (certificate != NULL) {
        tls_write_subject(certificate, subject);
        tls_write_date(tls_expiry_s(certificate), date);
    }
    bool is_wrong_name =
        error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH;
    if (is_wrong_name && certificate != NULL) {
        note_trouble(s, explain_wrong_name(s, certificate, subject));
    } else if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
        note_trouble(s,
                     mem_printf("the other side's certificate, %s, ran out on %s", subject, date));
    } else if (error == X509_V_ERR_CERT_REVOKED) {
        note_trouble(s, mem_printf("the other side's certificate, %s, was revoked", subject));
    } else {
        note_trouble(s, mem_printf("the other side's certificate, %s, is not believed: %s", subject,
                                   X509_verify_cert_error_string(error)));
    }
    s->failed = STATUS_DENIED;
    return 0;
}

/* The other side said so in an alert: is it about this side's certificate? */
static bool is_about_our_certificate(int reason)
{
    switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

static enum status fail(struct tls_session *s)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const char *text = tls_take_error();
    if (s->failed == STATUS_OK) {
        s->failed = STATUS_CORRUPT;
    }
    if (s->trouble != NULL) {
        return s->failed;
    }
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        s->failed = STATUS_DENIED;
        s->trouble = mem_strdup("the other side showed no certificate, and must");
    } else if (is_about_our_certificate(reason) && s->own == NULL) {
        s->failed = STATUS_DENIED;
        s->trouble = mem_printf("the other side wants a certificate (%s)", text);
    } else if (is_about_our_certificate(reason)) {
        s->failed = STATUS_DENIED;
        s->trouble =
            mem_printf("the other side refused this side's certificate, %s: %s", s->own, text);
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        s->trouble = mem_strdup("the other side does not speak TLS there");
    } else {
        s->trouble = mem_printf("no TLS with the other side: %s", text);
    }
    return s->failed;
}

/* What `result` <= 0 of an SSL function means. */
static enum status judge(struct tls_session *s, int result)
{
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STATUS_BUSY;
    case SSL_ERROR_ZERO_RETURN:
        return STATUS_CLOSED;
    default:
        return fail(s);
    }
}

/* --- who is there ----------------------------------------------------------------------------- */

/* A name of which there are two, or that no user can have, is none. */
static void read_common_name(struct tls_session *s, const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
        return;
    }
    unsigned char *utf8 = NULL;
    int size =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size > 0 && size <= LIMIT_AUTH_NAME_BYTES && memchr(utf8, 0, (size_t)size) == NULL) {
        memcpy(s->peer_name, utf8, (size_t)size);
        s->peer.peer_name = s->peer_name;
    }
    OPENSSL_free(utf8);
}

/* Said in so many words: without the extension it would be good for everything. */
static bool is_good_for_both(X509 *certificate)
{
    uint32_t uses = X509_get_extended_key_usage(certificate);
    return uses != UINT32_MAX && (uses & XKU_SSL_SERVER) != 0;
}

static void look_at_peer(struct tls_session *s)
{
    X509 *certificate = SSL_get0_peer_certificate(s->ssl);
    if (certificate == NULL) {
        return;
    }
    if (s->is_of_members) {
        s->peer.is_member = is_good_for_both(certificate);
    } else {
        read_common_name(s, certificate);
        s->peer.is_member = !s->members_have_own && is_good_for_both(certificate);
    }
}

static int note_revoked(int is_good, X509_STORE_CTX *about)
{
    (void)is_good;
    return X509_STORE_CTX_get_error(about) != X509_V_ERR_CERT_REVOKED;
}

bool tls_session_is_revoked(struct tls_session *s, struct tls *t)
{
    X509 *certificate = SSL_get0_peer_certificate(s->ssl);
    if (certificate == NULL) {
        return false;
    }
    X509_STORE_CTX *about = X509_STORE_CTX_new();
    CHECK(about != NULL);
    const struct tls_set *set = tls_lock(t);
    bool as_member = s->is_of_members && set->members.client != NULL;
    const struct tls_role *r = as_member ? &set->members : &set->clients;
    X509_STORE *store = SSL_CTX_get_cert_store(s->host != NULL ? r->client : r->server);
    CHECK(X509_STORE_CTX_init(about, store, certificate, SSL_get_peer_cert_chain(s->ssl)) == 1);
    X509_STORE_CTX_set_verify_cb(about, note_revoked);
    bool is_revoked =
        X509_verify_cert(about) != 1 && X509_STORE_CTX_get_error(about) == X509_V_ERR_CERT_REVOKED;
    tls_unlock(t);
    X509_STORE_CTX_free(about);
    ERR_clear_error();
    if (is_revoked) {
        char subject[TLS_NAME_BYTES];
        tls_write_subject(certificate, subject);
        note_trouble(s, mem_printf("the other side's certificate, %s, was revoked", subject));
    }
    return is_revoked;
}

const struct conn_tls *tls_session_peer(const struct tls_session *s)
{
    return &s->peer;
}

const char *tls_session_trouble(const struct tls_session *s)
{
    return s->trouble != NULL ? s->trouble : "";
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void lend(struct tls_session *s, struct slice in, struct buf *out)
{
    s->in = in;
    s->out = out;
    ERR_clear_error(); /* SSL_get_error looks there, too */
}

enum status tls_session_handshake(struct tls_session *s, struct slice *in, struct buf *out)
{
    if (s->failed != STATUS_OK) {
        return s->failed;
    }
    lend(s, *in, out);
    int result = SSL_do_handshake(s->ssl);
    enum status status = STATUS_OK;
    if (result == 1) {
        look_at_peer(s);
    } else {
        status = judge(s, result);
        status = status == STATUS_CLOSED ? fail(s) : status;
    }
    *in = s->in;
    return status;
}

enum status tls_session_read(struct tls_session *s, struct slice *in, uint8_t *bytes, size_t room,
                             size_t *size, struct buf *out)
{
    *size = 0;
    if (s->failed != STATUS_OK) {
        return s->failed;
    }
    lend(s, *in, out);
    int result = SSL_read_ex(s->ssl, bytes, room, size);
    enum status status = result == 1 ? STATUS_OK : judge(s, result);
    *in = s->in;
    return status;
}

enum status tls_session_write(struct tls_session *s, struct slice bytes, struct buf *out)
{
    if (s->failed != STATUS_OK || bytes.size == 0) {
        return s->failed;
    }
    lend(s, slice_of(NULL, 0), out);
    size_t taken = 0;
    if (SSL_write_ex(s->ssl, bytes.data, bytes.size, &taken) != 1 || taken != bytes.size) {
        return fail(s);
    }
    return STATUS_OK;
}

void tls_session_end(struct tls_session *s, struct buf *out)
{
    if (s->failed == STATUS_OK && SSL_is_init_finished(s->ssl)) {
        lend(s, slice_of(NULL, 0), out);
        SSL_shutdown(s->ssl);
        ERR_clear_error();
    }
}
