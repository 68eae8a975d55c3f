#include "net/tls.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CIPHERS_1_2                                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS      "X25519:P-256:P-384"
/* No DSA, no SHA-224: both count as 112 bits. */
#define SIGNATURES                                                                                 \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:"                \
    "RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define SECURITY_LEVEL 2 /* 112 bits: no RSA below 2048, no SHA-1 */

/* What tells one content of a file from another. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

enum {
    FILE_CERT,
    FILE_KEY,
    FILE_CA,
    FILE_PEER_CERT,
    FILE_PEER_KEY,
    FILE_PEER_CA,
    FILE_CRL,
    FILE_COUNT
};

/* Which files a role is made of. */
struct role_files {
    const char *cert; /* NULL = none */
    const char *key;
    const char *ca;
};

struct tls {
    char *paths[FILE_COUNT]; /* NULL = none */
    enum tls_client_auth client_auth;
    struct stamp stamps[FILE_COUNT]; /* of what was read last, good or bad */
    pthread_mutex_t lock;            /* `set` */
    struct tls_set *set;
    uint64_t reloads;
    uint64_t failures;
};

/* --- words ------------------------------------------------------------------------------------ */

static void write_name(const X509_NAME *name, char text[TLS_NAME_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio != NULL);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    if (size <= 0) {
        data = "no subject";
        size = (long)strlen(data);
    }
    snprintf(text, TLS_NAME_BYTES, "%.*s", (int)size, data);
    BIO_free(bio);
}

void tls_write_subject(const X509 *certificate, char text[TLS_NAME_BYTES])
{
    write_name(X509_get_subject_name(certificate), text);
}

int64_t tls_expiry_s(const X509 *certificate)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1) {
        return 0;
    }
    return (int64_t)timegm(&tm);
}

void tls_write_date(int64_t s, char text[16])
{
    time_t seconds = (time_t)s;
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(text, 16, "%Y-%m-%d", &tm) == 0) {
        snprintf(text, 16, "?");
    }
}

const char *tls_take_error(void)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);
    ERR_clear_error();
    return text != NULL ? text : "unknown error";
}

/* --- files ------------------------------------------------------------------------------------ */

enum status tls_read_file(const char *path, struct buf *text, char **detail)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        *detail = mem_printf("%s cannot be read: %s", path, strerror(errno));
        return STATUS_INVALID;
    }
    size_t room = LIMIT_TLS_FILE_BYTES + 1;
    errno = 0;
    text->size += fread(buf_reserve(text, room), 1, room, file);
    bool has_failed = ferror(file) != 0;
    int error = errno;
    fclose(file);
    if (has_failed || text->size > LIMIT_TLS_FILE_BYTES) {
        *detail = has_failed ? mem_printf("%s cannot be read: %s", path, strerror(error))
                             : mem_printf("%s is too long for certificates", path);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

/* A key that wants a password gets none, and nobody is asked on a terminal. */
static int give_no_password(char *password, int size, int is_writing, void *context)
{
    (void)password;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static BIO *read_from(const struct buf *text)
{
    BIO *bio = BIO_new_mem_buf(text->size > 0 ? (const void *)text->data : "", (int)text->size);
    CHECK(bio != NULL);
    return bio;
}

EVP_PKEY *tls_parse_key(const struct buf *text)
{
    BIO *bio = read_from(text);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_no_password, NULL);
    BIO_free(bio);
    return key;
}

STACK_OF(X509) * tls_parse_certificates(const struct buf *text)
{
    BIO *bio = read_from(text);
    STACK_OF(X509) *list = sk_X509_new_null();
    CHECK(list != NULL);
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, give_no_password, NULL)) != NULL) {
        CHECK(sk_X509_push(list, certificate) > 0);
    }
    BIO_free(bio);
    bool has_all = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (sk_X509_num(list) == 0 || !has_all) {
        sk_X509_pop_free(list, X509_free);
        return NULL;
    }
    ERR_clear_error();
    return list;
}

static enum status load_certificates(const char *path, STACK_OF(X509) * *list, char **detail)
{
    struct buf text = {0};
    enum status status = tls_read_file(path, &text, detail);
    if (status == STATUS_OK && (*list = tls_parse_certificates(&text)) == NULL) {
        *detail = mem_printf("%s is no PEM file with certificates: %s", path, tls_take_error());
        status = STATUS_INVALID;
    }
    buf_deinit(&text);
    return status;
}

static enum status load_key(const char *path, EVP_PKEY **key, char **detail)
{
    struct buf text = {0};
    enum status status = tls_read_file(path, &text, detail);
    if (status == STATUS_OK && (*key = tls_parse_key(&text)) == NULL) {
        *detail = mem_printf("%s is no PEM file with a private key without a password: %s", path,
                             tls_take_error());
        status = STATUS_INVALID;
    }
    if (text.capacity > 0) {
        OPENSSL_cleanse(text.data, text.capacity);
    }
    buf_deinit(&text);
    return status;
}

/* --- a set ------------------------------------------------------------------------------------ */

static void destroy_set(struct tls_set *s)
{
    if (s != NULL) {
        SSL_CTX_free(s->clients.server);
        SSL_CTX_free(s->clients.client);
        SSL_CTX_free(s->members.server);
        SSL_CTX_free(s->members.client);
        mem_free(s);
    }
}

static SSL_CTX *create_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_max_cert_list(ctx, LIMIT_TLS_HANDSHAKE_BYTES);
    if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL) {
        SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    }
    CHECK(SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) == 1);
    CHECK(SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    CHECK(SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == 1);
    CHECK(SSL_CTX_set1_client_sigalgs_list(ctx, SIGNATURES) == 1);
    return ctx;
}

static struct tls_certificate *note_file(struct tls_set *s, const char *path)
{
    CHECK(s->count < TLS_CERTIFICATES_MAX);
    struct tls_certificate *c = &s->list[s->count++];
    *c = (struct tls_certificate){.file = path, .expires_s = INT64_MAX};
    return c;
}

/* What runs out first of a file counts. */
static void note_certificates(struct tls_set *s, const char *path, STACK_OF(X509) * list)
{
    struct tls_certificate *c = note_file(s, path);
    for (int i = 0; i < sk_X509_num(list); i++) {
        const X509 *certificate = sk_X509_value(list, i);
        int64_t expires_s = tls_expiry_s(certificate);
        if (expires_s < c->expires_s) {
            tls_write_subject(certificate, c->subject);
            c->expires_s = expires_s;
        }
    }
}

static enum status use_certificate(SSL_CTX *ctx, STACK_OF(X509) * chain, EVP_PKEY *key,
                                   const struct role_files *f, char **detail)
{
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) != 1) {
        *detail = mem_printf("%s cannot be used: %s", f->cert, tls_take_error());
        return STATUS_INVALID;
    }
    for (int i = 1; i < sk_X509_num(chain); i++) {
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1) {
            *detail = mem_printf("%s cannot be used: %s", f->cert, tls_take_error());
            return STATUS_INVALID;
        }
    }
    if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        *detail = mem_printf("%s is not the key of the certificate in %s", f->key, f->cert);
        ERR_clear_error();
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status check_expiry(const struct tls_certificate *c, char **detail)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    if (c->expires_s > (int64_t)now.tv_sec) {
        return STATUS_OK;
    }
    char date[16];
    tls_write_date(c->expires_s, date);
    *detail = mem_printf("%s: the certificate of %s ran out on %s", c->file, c->subject, date);
    return STATUS_INVALID;
}

static enum status load_own(const struct role_files *f, struct tls_set *s, struct tls_role *r,
                            char **detail)
{
    if (f->cert == NULL) {
        return STATUS_OK;
    }
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    enum status status = load_certificates(f->cert, &chain, detail);
    if (status == STATUS_OK) {
        note_certificates(s, f->cert, chain);
        const struct tls_certificate *own = &s->list[s->count - 1];
        snprintf(r->own, sizeof(r->own), "%s (%s)", own->subject, own->file);
        status = check_expiry(own, detail);
    }
    if (status == STATUS_OK) {
        status = load_key(f->key, &key, detail);
    }
    if (status == STATUS_OK) {
        r->server = create_ctx(TLS_server_method());
        SSL_CTX_set_alpn_select_cb(r->server, tls_on_alpn, NULL);
        status = use_certificate(r->server, chain, key, f, detail);
    }
    if (status == STATUS_OK) {
        status = use_certificate(r->client, chain, key, f, detail);
    }
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return status;
}

static enum status believe(SSL_CTX *ctx, STACK_OF(X509) * list, const char *path, char **detail)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (int i = 0; i < sk_X509_num(list); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(list, i)) != 1) {
            *detail = mem_printf("%s cannot be used: %s", path, tls_take_error());
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

/* Clients are told whom they should have a certificate from. */
static void name_to_clients(SSL_CTX *server, STACK_OF(X509) * list)
{
    for (int i = 0; i < sk_X509_num(list); i++) {
        CHECK(SSL_CTX_add_client_CA(server, sk_X509_value(list, i)) == 1);
    }
}

static enum status load_ca(const char *path, enum tls_client_auth client_auth, struct tls_set *s,
                           struct tls_role *r, char **detail)
{
    if (path == NULL) {
        SSL_CTX_set_default_verify_paths(r->client);
        ERR_clear_error();
        return STATUS_OK;
    }
    STACK_OF(X509) *list = NULL;
    enum status status = load_certificates(path, &list, detail);
    if (status != STATUS_OK) {
        return status;
    }
    note_certificates(s, path, list);
    status = believe(r->client, list, path, detail);
    if (status == STATUS_OK && r->server != NULL && client_auth != TLS_CLIENT_NONE) {
        status = believe(r->server, list, path, detail);
        name_to_clients(r->server, list);
    }
    sk_X509_pop_free(list, X509_free);
    return status;
}

static enum status load_role(const struct role_files *f, enum tls_client_auth client_auth,
                             struct tls_set *s, struct tls_role *r, char **detail)
{
    r->client = create_ctx(TLS_client_method());
    SSL_CTX_set_verify(r->client, SSL_VERIFY_PEER, tls_on_verify);
    enum status status = load_own(f, s, r, detail);
    if (status == STATUS_OK) {
        status = load_ca(f->ca, client_auth, s, r, detail);
    }
    if (status == STATUS_OK && r->server != NULL && client_auth != TLS_CLIENT_NONE) {
        int strictly = client_auth == TLS_CLIENT_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
        SSL_CTX_set_verify(r->server, SSL_VERIFY_PEER | strictly, tls_on_verify);
    }
    return status;
}

/* --- what was revoked ------------------------------------------------------------------------- */

static bool add_crl(SSL_CTX *ctx, X509_CRL *crl)
{
    if (ctx == NULL) {
        return true;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    return X509_STORE_add_crl(store, crl) == 1 &&
           X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
}

static void note_crl(struct tls_certificate *c, const X509_CRL *crl)
{
    struct tm tm = {0};
    const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
    if (c->subject[0] == '\0') {
        write_name(X509_CRL_get_issuer(crl), c->subject);
    }
    if (until != NULL && ASN1_TIME_to_tm(until, &tm) == 1 && timegm(&tm) < c->expires_s) {
        c->expires_s = (int64_t)timegm(&tm);
        write_name(X509_CRL_get_issuer(crl), c->subject);
    }
}

static enum status load_crls(const struct tls *t, struct tls_set *s, char **detail)
{
    const char *path = t->paths[FILE_CRL];
    if (path == NULL) {
        return STATUS_OK;
    }
    struct buf text = {0};
    enum status status = tls_read_file(path, &text, detail);
    BIO *bio = read_from(&text);
    struct tls_certificate *c = note_file(s, path);
    c->is_crl = true;
    X509_CRL *crl;
    uint32_t count = 0;
    while (status == STATUS_OK && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        note_crl(c, crl);
        count += add_crl(s->clients.server, crl) && add_crl(s->clients.client, crl) &&
                 add_crl(s->members.server, crl) && add_crl(s->members.client, crl);
        X509_CRL_free(crl);
    }
    bool has_all = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (status == STATUS_OK && (count == 0 || !has_all)) {
        *detail = mem_printf("%s is no PEM file with revocation lists: %s", path, tls_take_error());
        status = STATUS_INVALID;
    }
    ERR_clear_error();
    BIO_free(bio);
    buf_deinit(&text);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Members have files of their own, all or some. */
static enum status load_members(const struct tls *t, struct tls_set *s, char **detail)
{
    const char *const *paths = (const char *const *)t->paths;
    bool has_cert = paths[FILE_PEER_CERT] != NULL;
    if (!has_cert && paths[FILE_PEER_CA] == NULL) {
        return STATUS_OK;
    }
    struct role_files f = {.cert = paths[has_cert ? FILE_PEER_CERT : FILE_CERT],
                           .key = paths[has_cert ? FILE_PEER_KEY : FILE_KEY],
                           .ca = paths[paths[FILE_PEER_CA] != NULL ? FILE_PEER_CA : FILE_CA]};
    enum status status = load_role(&f, TLS_CLIENT_REQUIRE, s, &s->members, detail);
    if (status == STATUS_OK) {
        SSL_CTX_set_client_hello_cb(s->clients.server, tls_on_hello, s->members.server);
    }
    return status;
}

static enum status load_set(const struct tls *t, struct tls_set **set, char **detail)
{
    ERR_clear_error();
    struct tls_set *s = mem_calloc(1, sizeof(*s));
    const struct role_files f = {t->paths[FILE_CERT], t->paths[FILE_KEY], t->paths[FILE_CA]};
    enum status status = load_role(&f, t->client_auth, s, &s->clients, detail);
    if (status == STATUS_OK) {
        status = load_members(t, s, detail);
    }
    if (status == STATUS_OK) {
        status = load_crls(t, s, detail);
    }
    if (status != STATUS_OK) {
        destroy_set(s);
        return status;
    }
    *set = s;
    return STATUS_OK;
}

/* --- what others see -------------------------------------------------------------------------- */

static void stamp_all(const struct tls *t, struct stamp stamps[FILE_COUNT])
{
    memset(stamps, 0, FILE_COUNT * sizeof(stamps[0]));
    for (int i = 0; i < FILE_COUNT; i++) {
        struct stat about;
        if (t->paths[i] != NULL && stat(t->paths[i], &about) == 0) {
            stamps[i].device = about.st_dev;
            stamps[i].inode = about.st_ino;
            stamps[i].size = about.st_size;
            stamps[i].changed = about.st_mtim;
        }
    }
}

static void warn_of_open_key(const char *path)
{
    struct stat about;
    if (path != NULL && stat(path, &about) == 0 && (about.st_mode & 007) != 0) {
        log_warn("the private key can be read by others on this machine file=%s", path);
    }
}

enum status tls_create(const struct tls_options *options, struct tls **tls, char **detail)
{
    CHECK((options->cert == NULL) == (options->key == NULL));
    CHECK((options->peer_cert == NULL) == (options->peer_key == NULL));
    CHECK(options->cert != NULL || (options->peer_cert == NULL && options->peer_ca == NULL));
    const char *paths[FILE_COUNT] = {options->cert,      options->key,      options->ca,
                                     options->peer_cert, options->peer_key, options->peer_ca,
                                     options->crl};
    struct tls *t = mem_calloc(1, sizeof(*t));
    CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    for (int i = 0; i < FILE_COUNT; i++) {
        t->paths[i] = paths[i] != NULL ? mem_strdup(paths[i]) : NULL;
    }
    t->client_auth = options->client_auth;
    stamp_all(t, t->stamps); /* before they are read: what changes meanwhile is seen next time */
    enum status status = load_set(t, &t->set, detail);
    if (status != STATUS_OK) {
        tls_destroy(t);
        return status;
    }
    warn_of_open_key(t->paths[FILE_KEY]);
    warn_of_open_key(t->paths[FILE_PEER_KEY]);
    *tls = t;
    return STATUS_OK;
}

void tls_destroy(struct tls *t)
{
    if (t == NULL) {
        return;
    }
    destroy_set(t->set);
    (void)pthread_mutex_destroy(&t->lock);
    for (int i = 0; i < FILE_COUNT; i++) {
        mem_free(t->paths[i]);
    }
    mem_free(t);
}

enum status tls_refresh(struct tls *t, char **detail)
{
    struct stamp stamps[FILE_COUNT];
    stamp_all(t, stamps);
    if (memcmp(stamps, t->stamps, sizeof(stamps)) == 0) {
        return STATUS_BUSY;
    }
    memcpy(t->stamps, stamps, sizeof(stamps));
    struct tls_set *set = NULL;
    enum status status = load_set(t, &set, detail);
    if (status != STATUS_OK) {
        t->failures++;
        return status;
    }
    (void)pthread_mutex_lock(&t->lock);
    destroy_set(t->set);
    t->set = set;
    (void)pthread_mutex_unlock(&t->lock);
    t->reloads++;
    return STATUS_OK;
}

uint64_t tls_reloads(const struct tls *t)
{
    return t->reloads;
}

uint64_t tls_reload_failures(const struct tls *t)
{
    return t->failures;
}

const struct tls_set *tls_lock(struct tls *t)
{
    (void)pthread_mutex_lock(&t->lock);
    return t->set;
}

void tls_unlock(struct tls *t)
{
    (void)pthread_mutex_unlock(&t->lock);
}

uint32_t tls_certificates(const struct tls *t, struct tls_certificate list[TLS_CERTIFICATES_MAX])
{
    memcpy(list, t->set->list, t->set->count * sizeof(list[0]));
    return t->set->count;
}
