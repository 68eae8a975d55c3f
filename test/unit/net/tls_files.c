#include "tls_files.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "net/tls_make.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAYS 30

const char *tls_files_path(struct tls_files *f, const char *name)
{
    static char paths[4][128];
    static uint32_t lent;
    char *path = paths[lent++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
    return path;
}

/* By another name first: whoever looks meanwhile sees the old one or the new one. */
static void save(struct tls_files *f, const char *name, const char *ending, const struct buf *text)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.%s", name, ending);
    const char *path = tls_files_path(f, file);
    const char *other = tls_files_path(f, "new");
    FILE *out = fopen(other, "we");
    CHECK(out != NULL && fwrite(text->data, 1, text->size, out) == text->size);
    CHECK(fclose(out) == 0 && chmod(other, 0600) == 0 && rename(other, path) == 0);
}

static void save_both(struct tls_files *f, const char *name, struct buf *cert, struct buf *key)
{
    save(f, name, "crt", cert);
    save(f, name, "key", key);
    buf_deinit(cert);
    buf_deinit(key);
}

static void make_ca(struct tls_files *f, const char *name)
{
    struct buf cert = {0};
    struct buf key = {0};
    char *detail = NULL;
    CHECK(tls_make_ca(name, DAYS, &cert, &key, &detail) == STATUS_OK);
    save_both(f, name, &cert, &key);
}

/* The same certificate with another end, signed again. */
static void shorten(struct tls_files *f, const char *ca, int seconds, struct buf *cert)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.key", ca);
    FILE *in = fopen(tls_files_path(f, file), "re");
    CHECK(in != NULL);
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    CHECK(fclose(in) == 0);
    BIO *bio = BIO_new_mem_buf(cert->data, (int)cert->size);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    CHECK(key != NULL && x != NULL);
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(x), now.tv_sec + seconds) != NULL);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *out = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(out, x) == 1);
    char *data;
    long size = BIO_get_mem_data(out, &data);
    buf_clear(cert);
    buf_append(cert, data, (size_t)size);
    BIO_free(out);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
}

void tls_files_renew(struct tls_files *f, const char *name, const char *ca, bool is_member,
                     int seconds)
{
    static const char *const hosts[] = {"node", "127.0.0.1"};
    char ca_file[64];
    char ca_key[64];
    snprintf(ca_file, sizeof(ca_file), "%s.crt", ca);
    snprintf(ca_key, sizeof(ca_key), "%s.key", ca);
    const struct tls_make_options options = {.name = name,
                                             .hosts = hosts,
                                             .host_count = is_member ? 2 : 0,
                                             .is_member = is_member,
                                             .days = DAYS};
    struct buf cert = {0};
    struct buf key = {0};
    char *detail = NULL;
    CHECK(tls_make_signed(&options, tls_files_path(f, ca_file), tls_files_path(f, ca_key), &cert,
                          &key, &detail) == STATUS_OK);
    if (seconds != 0) {
        shorten(f, ca, seconds, &cert);
    }
    save_both(f, name, &cert, &key);
}

void tls_files_make(struct tls_files *f)
{
    *f = (struct tls_files){.dir = "/tmp/conclave-tls-XXXXXX"};
    CHECK(mkdtemp(f->dir) != NULL);
    make_ca(f, "ca");
    make_ca(f, "other-ca");
    tls_files_renew(f, "node", "ca", true, 0);
    tls_files_renew(f, "alice", "ca", false, 0);
    tls_files_renew(f, "stranger", "other-ca", true, 0);
}

void tls_files_remove(struct tls_files *f)
{
    static const char *const names[] = {"ca", "other-ca", "node", "alice", "stranger", "renewed"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char file[64];
        snprintf(file, sizeof(file), "%s.crt", names[i]);
        unlink(tls_files_path(f, file));
        snprintf(file, sizeof(file), "%s.key", names[i]);
        unlink(tls_files_path(f, file));
        snprintf(file, sizeof(file), "%s.crl", names[i]);
        unlink(tls_files_path(f, file));
    }
    CHECK(rmdir(f->dir) == 0);
}

void tls_files_revoke(struct tls_files *f, const char *name, const char *ca, uint32_t days)
{
    char files[4][64];
    snprintf(files[0], sizeof(files[0]), "%s.crt", name);
    snprintf(files[1], sizeof(files[1]), "%s.crl", ca);
    snprintf(files[2], sizeof(files[2]), "%s.crt", ca);
    snprintf(files[3], sizeof(files[3]), "%s.key", ca);
    struct buf list = {0};
    char *detail = NULL;
    CHECK(tls_make_crl(tls_files_path(f, files[0]), tls_files_path(f, files[1]), days,
                       tls_files_path(f, files[2]), tls_files_path(f, files[3]), &list,
                       &detail) == STATUS_OK);
    save(f, ca, "crl", &list);
    buf_deinit(&list);
}

struct tls *tls_files_create(struct tls_files *f, const struct tls_options *names)
{
    const char *const given[] = {names->cert,     names->key,     names->ca, names->peer_cert,
                                 names->peer_key, names->peer_ca, names->crl};
    static const char *const endings[] = {"crt", "key", "crt", "crt", "key", "crt", "crl"};
    char paths[7][128] = {0};
    const char *files[7] = {0};
    for (size_t i = 0; i < 7; i++) {
        if (given[i] != NULL) {
            snprintf(paths[i], sizeof(paths[i]), "%s/%s.%s", f->dir, given[i], endings[i]);
            files[i] = paths[i];
        }
    }
    const struct tls_options options = {.cert = files[0],
                                        .key = files[1],
                                        .ca = files[2],
                                        .peer_cert = files[3],
                                        .peer_key = files[4],
                                        .peer_ca = files[5],
                                        .crl = files[6],
                                        .client_auth = names->client_auth};
    struct tls *tls = NULL;
    char *detail = NULL;
    if (tls_create(&options, &tls, &detail) != STATUS_OK) {
        fprintf(stderr, "%s\n", detail);
        mem_free(detail);
        return NULL;
    }
    return tls;
}

struct tls *tls_files_load(struct tls_files *f, const char *name, const char *ca,
                           enum tls_client_auth client_auth)
{
    return tls_files_create(
        f, &(struct tls_options){.cert = name, .key = name, .ca = ca, .client_auth = client_auth});
}
