#include "net/tls_make.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CURVE        "P-256"
#define SERIAL_BYTES 16
/* Clocks of other machines may be behind this one's. */
#define EARLIER_S    3600

struct issuer {
    X509 *certificate; /* NULL: it is to sign itself */
    EVP_PKEY *key;
};

static enum status refuse(char **detail, const char *what)
{
    *detail = mem_printf("%s: %s", what, tls_take_error());
    return STATUS_INVALID;
}

/* --- parts of a certificate ------------------------------------------------------------------- */

static void set_serial(X509 *x)
{
    uint8_t bytes[SERIAL_BYTES];
    CHECK(RAND_bytes(bytes, sizeof(bytes)) == 1);
    bytes[0] = (uint8_t)((bytes[0] & 0x3f) | 0x40); /* positive, and always as long */
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    CHECK(number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL);
    BN_free(number);
}

static bool set_name(X509 *x, const char *name)
{
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

/* Never longer than who signs it. */
static int64_t end_s(int64_t now_s, uint32_t days, const X509 *issuer)
{
    int64_t until = now_s + (int64_t)days * 86400;
    return issuer != NULL && tls_expiry_s(issuer) < until ? tls_expiry_s(issuer) : until;
}

static void set_times(X509 *x, uint32_t days, const X509 *issuer)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    int64_t until = end_s((int64_t)now.tv_sec, days, issuer);
    CHECK(ASN1_TIME_set(X509_getm_notBefore(x), now.tv_sec - EARLIER_S) != NULL);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)until) != NULL);
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *text)
{
    X509V3_CTX about;
    X509V3_set_ctx(&about, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &about, nid, text);
    bool is_added = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return is_added;
}

static bool is_address(const char *host)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool is_name(const char *host)
{
    size_t size = strlen(host);
    for (size_t i = 0; i < size; i++) {
        bool is_first_star = i == 0 && host[i] == '*' && host[1] == '.';
        if (!isalnum((unsigned char)host[i]) && strchr(".-_", host[i]) == NULL && !is_first_star) {
            return false;
        }
    }
    return size > 0 && size < 254;
}

static enum status write_hosts(const struct tls_make_options *o, struct buf *text, char **detail)
{
    for (uint32_t i = 0; i < o->host_count; i++) {
        const char *host = o->hosts[i];
        if (!is_address(host) && !is_name(host)) {
            *detail = mem_printf("\"%.100s\" is no host name and no address", host);
            return STATUS_INVALID;
        }
        buf_printf(text, "%s%s:%s", i > 0 ? "," : "", is_address(host) ? "IP" : "DNS", host);
    }
    buf_append_byte(text, 0);
    return STATUS_OK;
}

/* --- a whole one ------------------------------------------------------------------------------ */

static bool write_pem(const X509 *x, const EVP_PKEY *key, struct buf *cert, struct buf *key_text)
{
    BIO *bio = BIO_new(BIO_s_mem());
    BIO *secret = BIO_new(BIO_s_secmem());
    CHECK(bio != NULL && secret != NULL);
    bool is_written = PEM_write_bio_X509(bio, x) == 1 &&
                      PEM_write_bio_PKCS8PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (is_written) {
        char *data;
        long size = BIO_get_mem_data(bio, &data);
        buf_append(cert, data, (size_t)size);
        size = BIO_get_mem_data(secret, &data);
        buf_append(key_text, data, (size_t)size);
    }
    BIO_free(bio);
    BIO_free(secret);
    return is_written;
}

static X509 *begin(const char *name, uint32_t days, const struct issuer *issuer, EVP_PKEY *key)
{
    X509 *x = X509_new();
    CHECK(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
    set_serial(x);
    set_times(x, days, issuer->certificate);
    const X509 *signer = issuer->certificate != NULL ? issuer->certificate : x;
    if (!set_name(x, name) || X509_set_pubkey(x, key) != 1 ||
        X509_set_issuer_name(x, X509_get_subject_name(signer)) != 1) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static bool extend_ca(X509 *x)
{
    return add_extension(x, NULL, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(x, NULL, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(x, NULL, NID_subject_key_identifier, "hash");
}

static bool extend_leaf(X509 *x, X509 *issuer, bool is_member, const char *hosts)
{
    return add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x, issuer, NID_ext_key_usage,
                         is_member ? "serverAuth,clientAuth" : "clientAuth") &&
           (hosts[0] == '\0' || add_extension(x, issuer, NID_subject_alt_name, hosts)) &&
           add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(x, issuer, NID_authority_key_identifier, "keyid:always");
}

enum status tls_make_ca(const char *name, uint32_t days, struct buf *cert, struct buf *key_text,
                        char **detail)
{
    ERR_clear_error();
    EVP_PKEY *key = EVP_EC_gen(CURVE);
    CHECK(key != NULL);
    X509 *x = begin(name, days, &(struct issuer){0}, key);
    bool is_made = x != NULL && extend_ca(x) && X509_sign(x, key, EVP_sha256()) > 0 &&
                   write_pem(x, key, cert, key_text);
    X509_free(x);
    EVP_PKEY_free(key);
    return is_made ? STATUS_OK : refuse(detail, "cannot make the certificate");
}

/* --- signed by another ------------------------------------------------------------------------ */

static enum status check_issuer(const struct issuer *ca, const char *file, const char *key_file,
                                char **detail)
{
    char subject[TLS_NAME_BYTES];
    tls_write_subject(ca->certificate, subject);
    if (X509_check_private_key(ca->certificate, ca->key) != 1) {
        *detail = mem_printf("%s is not the key of the certificate in %s", key_file, file);
        ERR_clear_error();
        return STATUS_INVALID;
    }
    if (X509_check_ca(ca->certificate) != 1) {
        *detail = mem_printf("%s: %s is no CA", file, subject);
        return STATUS_INVALID;
    }
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    if (tls_expiry_s(ca->certificate) <= (int64_t)now.tv_sec) {
        char date[16];
        tls_write_date(tls_expiry_s(ca->certificate), date);
        *detail = mem_printf("%s: the certificate of %s ran out on %s", file, subject, date);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status read_issuer(const char *file, const char *key_file, struct issuer *ca,
                               char **detail)
{
    struct buf text = {0};
    enum status status = tls_read_file(file, &text, detail);
    STACK_OF(X509) *list = status == STATUS_OK ? tls_parse_certificates(&text) : NULL;
    if (status == STATUS_OK && list == NULL) {
        status = refuse(detail, file);
    }
    buf_clear(&text);
    if (status == STATUS_OK && (status = tls_read_file(key_file, &text, detail)) == STATUS_OK) {
        ca->key = tls_parse_key(&text);
        status = ca->key != NULL ? STATUS_OK : refuse(detail, key_file);
    }
    if (status == STATUS_OK) {
        ca->certificate = sk_X509_shift(list);
        status = check_issuer(ca, file, key_file, detail);
    }
    if (text.capacity > 0) {
        OPENSSL_cleanse(text.data, text.capacity);
    }
    buf_deinit(&text);
    sk_X509_pop_free(list, X509_free);
    return status;
}

static enum status sign(const struct tls_make_options *o, const struct issuer *ca, struct buf *cert,
                        struct buf *key_text, char **detail)
{
    struct buf hosts = {0};
    enum status status = write_hosts(o, &hosts, detail);
    if (status == STATUS_OK) {
        EVP_PKEY *key = EVP_EC_gen(CURVE);
        CHECK(key != NULL);
        X509 *x = begin(o->name, o->days, ca, key);
        bool is_made = x != NULL &&
                       extend_leaf(x, ca->certificate, o->is_member, (const char *)hosts.data) &&
                       X509_sign(x, ca->key, EVP_sha256()) > 0 && write_pem(x, key, cert, key_text);
        X509_free(x);
        EVP_PKEY_free(key);
        status = is_made ? STATUS_OK : refuse(detail, "cannot make the certificate");
    }
    buf_deinit(&hosts);
    return status;
}

enum status tls_make_signed(const struct tls_make_options *options, const char *ca_file,
                            const char *ca_key_file, struct buf *cert, struct buf *key,
                            char **detail)
{
    ERR_clear_error();
    struct issuer ca = {0};
    enum status status = read_issuer(ca_file, ca_key_file, &ca, detail);
    if (status == STATUS_OK) {
        status = sign(options, &ca, cert, key, detail);
    }
    X509_free(ca.certificate);
    EVP_PKEY_free(ca.key);
    return status;
}

/* --- what was revoked ------------------------------------------------------------------------- */

/* Those of `old_list` are copied. False: it is no list of this CA's. */
static bool copy_revoked(const struct buf *old_list, const struct issuer *ca, X509_CRL *crl)
{
    if (old_list->size == 0) {
        return true;
    }
    BIO *bio = BIO_new_mem_buf(old_list->data, (int)old_list->size);
    CHECK(bio != NULL);
    X509_CRL *old = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    bool is_ours = old != NULL && X509_CRL_verify(old, ca->key) == 1;
    STACK_OF(X509_REVOKED) *entries = is_ours ? X509_CRL_get_REVOKED(old) : NULL;
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        CHECK(X509_CRL_add0_revoked(crl, X509_REVOKED_dup(sk_X509_REVOKED_value(entries, i))) == 1);
    }
    X509_CRL_free(old);
    BIO_free(bio);
    return is_ours;
}

static void add_revoked(X509_CRL *crl, X509 *x, const ASN1_TIME *now)
{
    X509_REVOKED *known;
    if (X509_CRL_get0_by_cert(crl, &known, x) != 0) {
        return;
    }
    X509_REVOKED *entry = X509_REVOKED_new();
    CHECK(entry != NULL && X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(x)) == 1);
    CHECK(X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)(uintptr_t)now) == 1);
    CHECK(X509_CRL_add0_revoked(crl, entry) == 1);
}

/* Which of several CAs of the same name it is of. */
static bool add_key_id(X509_CRL *crl, X509 *issuer)
{
    X509V3_CTX about;
    X509V3_set_ctx(&about, issuer, NULL, NULL, crl, 0);
    X509_EXTENSION *e =
        X509V3_EXT_conf_nid(NULL, &about, NID_authority_key_identifier, "keyid:always");
    bool is_added = e != NULL && X509_CRL_add_ext(crl, e, -1) == 1;
    X509_EXTENSION_free(e);
    return is_added;
}

static enum status make_crl(X509 *x, const struct buf *old_list, uint32_t days,
                            const struct issuer *ca, struct buf *list, char **detail)
{
    X509_CRL *crl = X509_CRL_new();
    BIO *bio = BIO_new(BIO_s_mem());
    struct timespec now;
    CHECK(crl != NULL && bio != NULL && clock_gettime(CLOCK_REALTIME, &now) == 0);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now.tv_sec);
    ASN1_TIME *until =
        ASN1_TIME_set(NULL, (time_t)end_s((int64_t)now.tv_sec, days, ca->certificate));
    CHECK(from != NULL && until != NULL);
    CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    CHECK(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate)) == 1);
    CHECK(X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1);
    enum status status = STATUS_OK;
    if (!copy_revoked(old_list, ca, crl)) {
        *detail = mem_strdup("the list that is there is not of this CA");
        ERR_clear_error();
        status = STATUS_INVALID;
    } else {
        add_revoked(crl, x, from);
        X509_CRL_sort(crl);
        bool is_made = add_key_id(crl, ca->certificate) &&
                       X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0 &&
                       PEM_write_bio_X509_CRL(bio, crl) == 1;
        char *data;
        long size = BIO_get_mem_data(bio, &data);
        buf_append(list, data, (size_t)size);
        status = is_made ? STATUS_OK : refuse(detail, "cannot make the list");
    }
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    BIO_free(bio);
    X509_CRL_free(crl);
    return status;
}

enum status tls_make_crl(const char *cert_file, const char *old_file, uint32_t days,
                         const char *ca_file, const char *ca_key_file, struct buf *list,
                         char **detail)
{
    ERR_clear_error();
    struct issuer ca = {0};
    struct buf text = {0};
    struct buf old_list = {0};
    enum status status = tls_read_file(cert_file, &text, detail);
    STACK_OF(X509) *chain = status == STATUS_OK ? tls_parse_certificates(&text) : NULL;
    if (status == STATUS_OK && chain == NULL) {
        status = refuse(detail, cert_file);
    }
    if (status == STATUS_OK) {
        status = read_issuer(ca_file, ca_key_file, &ca, detail);
    }
    if (status == STATUS_OK && X509_verify(sk_X509_value(chain, 0), ca.key) != 1) {
        *detail = mem_printf("%s is not signed by %s", cert_file, ca_file);
        ERR_clear_error();
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK && access(old_file, F_OK) == 0) {
        status = tls_read_file(old_file, &old_list, detail);
    }
    if (status == STATUS_OK) {
        status = make_crl(sk_X509_value(chain, 0), &old_list, days, &ca, list, detail);
    }
    sk_X509_pop_free(chain, X509_free);
    buf_deinit(&old_list);
    buf_deinit(&text);
    X509_free(ca.certificate);
    EVP_PKEY_free(ca.key);
    return status;
}
