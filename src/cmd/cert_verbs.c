/* cert_verbs.c - certificates for those who have none: a CA of one's own, and what it signs. */
#include "cmd/verbs.h"

#include "base/limits.h"
#include "base/mem.h"
#include "net/tls_make.h"
#include "node/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CERT_DIR, CERT_DAYS, CERT_HOSTS };

#define CERT_OPTION_ROWS(days_fallback)                                                            \
    [CERT_DIR] = {.name = "dir",                                                                   \
                  .type = OPTION_TEXT,                                                             \
                  .unit = "DIR",                                                                   \
                  .meaning = "where ca.crt and ca.key are, and where files are written",           \
                  .fallback = "."},                                                                \
    [CERT_DAYS] = {.name = "days",                                                                 \
                   .type = OPTION_INTEGER,                                                         \
                   .unit = "N",                                                                    \
                   .meaning = "how long it is good; never longer than the CA",                     \
                   .fallback = (days_fallback),                                                    \
                   .min = 1,                                                                       \
                   .max = 36500}

#define HOSTS_MAX 32

/* --- files ------------------------------------------------------------------------------------ */

static char *file_in(const struct options *o, const char *name, const char *ending)
{
    return mem_printf("%s/%s.%s", options_text(o, CERT_DIR), name, ending);
}

/* False: it is there, which was said. */
static bool is_free(const struct options *o, const char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0) {
        return true;
    }
    verb_complain(o, "%s is there already; nothing is overwritten. Move it away first.", path);
    return false;
}

/* A new file, or none: half a key is of no use. */
static int write_file(const struct options *o, const char *path, const struct buf *text,
                      mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool is_written =
        fd >= 0 && write(fd, text->data, text->size) == (ssize_t)text->size && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0) {
        is_written = false;
    }
    if (is_written) {
        return EXIT_DONE;
    }
    verb_complain(o, "%s cannot be written: %s", path, strerror(error));
    if (fd >= 0) {
        unlink(path);
    }
    return EXIT_USAGE;
}

/* Both or none. */
static int write_both(const struct options *o, const char *name, const struct buf *cert,
                      const struct buf *key)
{
    char *cert_path = file_in(o, name, "crt");
    char *key_path = file_in(o, name, "key");
    int code = write_file(o, key_path, key, 0600);
    if (code == EXIT_DONE && (code = write_file(o, cert_path, cert, 0644)) != EXIT_DONE) {
        unlink(key_path);
    }
    if (code == EXIT_DONE) {
        printf("%s\n%s\n", cert_path, key_path);
    }
    mem_free(cert_path);
    mem_free(key_path);
    return code;
}

/* Before anything is made. */
static int check_place(const struct options *o, const char *name)
{
    char *cert_path = file_in(o, name, "crt");
    char *key_path = file_in(o, name, "key");
    bool both_free = is_free(o, cert_path) && is_free(o, key_path);
    mem_free(cert_path);
    mem_free(key_path);
    return both_free ? EXIT_DONE : EXIT_USAGE;
}

static void wipe(struct buf *key)
{
    if (key->capacity > 0) {
        explicit_bzero(key->data, key->capacity);
    }
    buf_deinit(key);
}

/* --- ca --------------------------------------------------------------------------------------- */

static int finish(const struct options *o, const char *name, enum status status, struct buf *cert,
                  struct buf *key, char *detail)
{
    int code = EXIT_USAGE;
    if (status == STATUS_OK) {
        code = write_both(o, name, cert, key);
    } else {
        verb_complain(o, "%s", detail);
        mem_free(detail);
    }
    buf_deinit(cert);
    wipe(key);
    return code;
}

static int run_ca(struct options *o)
{
    if (check_place(o, "ca") != EXIT_DONE) {
        return EXIT_USAGE;
    }
    const char *name = o->argument_count > 0 ? o->arguments[0] : "Conclave CA";
    struct buf cert = {0};
    struct buf key = {0};
    char *detail = NULL;
    enum status status =
        tls_make_ca(name, (uint32_t)options_number(o, CERT_DAYS), &cert, &key, &detail);
    return finish(o, "ca", status, &cert, &key, detail);
}

/* --- member and client ------------------------------------------------------------------------ */

/* "a,b" in place, as a list; how many, or HOSTS_MAX + 1. */
static uint32_t split_hosts(char *text, const char *hosts[HOSTS_MAX])
{
    uint32_t count = 0;
    char *rest = text;
    for (char *host; (host = strsep(&rest, ",")) != NULL;) {
        if (host[0] != '\0' && count < HOSTS_MAX) {
            hosts[count] = host;
        }
        count += host[0] != '\0';
    }
    return count;
}

static int make(struct options *o, struct tls_make_options *make_options)
{
    const char *name = o->arguments[0];
    if (!member_name_is_valid(name) || strcmp(name, "ca") == 0) {
        return verb_refuse(o,
                           "\"%.70s\" is no name for a file and a certificate; use 1 to %d of "
                           "A-Z a-z 0-9 . _ - and no dot at the start, and not \"ca\"",
                           name, LIMIT_NAME_BYTES);
    }
    if (check_place(o, name) != EXIT_DONE) {
        return EXIT_USAGE;
    }
    char *ca = file_in(o, "ca", "crt");
    char *ca_key = file_in(o, "ca", "key");
    struct buf cert = {0};
    struct buf key = {0};
    char *detail = NULL;
    make_options->name = name;
    make_options->days = (uint32_t)options_number(o, CERT_DAYS);
    enum status status = STATUS_INVALID;
    if (access(ca, F_OK) != 0) {
        detail = mem_printf("there is no %s; `conclave cert ca` makes one", ca);
    } else {
        status = tls_make_signed(make_options, ca, ca_key, &cert, &key, &detail);
    }
    mem_free(ca);
    mem_free(ca_key);
    return finish(o, name, status, &cert, &key, detail);
}

static int run_member(struct options *o)
{
    const char *hosts[HOSTS_MAX];
    char *text = options_text(o, CERT_HOSTS) != NULL
                     ? mem_strdup(options_text(o, CERT_HOSTS))
                     : mem_printf("%s,localhost,127.0.0.1,::1", o->arguments[0]);
    uint32_t count = split_hosts(text, hosts);
    int code;
    if (count == 0 || count > HOSTS_MAX) {
        code = verb_refuse(o, "--hosts takes 1 to %d names and addresses", HOSTS_MAX);
    } else {
        struct tls_make_options options = {.hosts = hosts, .host_count = count, .is_member = true};
        code = make(o, &options);
    }
    mem_free(text);
    return code;
}

static int run_client(struct options *o)
{
    struct tls_make_options options = {0};
    return make(o, &options);
}

/* --- revoke ----------------------------------------------------------------------------------- */

/* In place of the old one, at once: members may read it at any moment. */
static int replace_file(const struct options *o, const char *path, const struct buf *text)
{
    char *fresh = mem_printf("%s.new", path);
    unlink(fresh); /* of one that was broken off */
    int code = write_file(o, fresh, text, 0644);
    if (code == EXIT_DONE && rename(fresh, path) != 0) {
        verb_complain(o, "%s cannot be written: %s", path, strerror(errno));
        unlink(fresh);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE) {
        printf("%s\n", path);
    }
    mem_free(fresh);
    return code;
}

static int run_revoke(struct options *o)
{
    char *cert = file_in(o, o->arguments[0], "crt");
    char *ca = file_in(o, "ca", "crt");
    char *ca_key = file_in(o, "ca", "key");
    char *path = file_in(o, "ca", "crl");
    struct buf list = {0};
    char *detail = NULL;
    enum status status = tls_make_crl(cert, path, (uint32_t)options_number(o, CERT_DAYS), ca,
                                      ca_key, &list, &detail);
    int code = EXIT_USAGE;
    if (status == STATUS_OK) {
        code = replace_file(o, path, &list);
    } else {
        verb_complain(o, "%s", detail);
        mem_free(detail);
    }
    buf_deinit(&list);
    mem_free(cert);
    mem_free(ca);
    mem_free(ca_key);
    mem_free(path);
    return code;
}

/* --- the tables ------------------------------------------------------------------------------- */

static const struct option ca_rows[] = {CERT_OPTION_ROWS("3650")};
static const struct option member_rows[] = {
    CERT_OPTION_ROWS("365"),
    [CERT_HOSTS] = {.name = "hosts",
                    .type = OPTION_TEXT,
                    .unit = "HOST,HOST",
                    .meaning = "names and addresses by which the member is dialled; if not given, "
                               "NAME,localhost,127.0.0.1,::1"},
};
static const struct option client_rows[] = {CERT_OPTION_ROWS("365")};

static const struct option revoke_rows[] = {CERT_OPTION_ROWS("365")};

static const struct verb verbs[] = {
    {.name = "ca",
     .summary = "make a CA of your own: ca.crt for everybody, ca.key for nobody else",
     .arguments = "[NAME]",
     .arguments_max = 1,
     .details =
         "Members and clients believe ca.crt. Whoever has ca.key can make a certificate that\n"
         "they believe, so keep it off the members. Nothing is overwritten.\n",
     .examples = "  conclave cert ca --dir ./certs\n",
     .options = ca_rows,
     .option_count = sizeof(ca_rows) / sizeof(ca_rows[0]),
     .run = run_ca},
    {.name = "member",
     .summary = "make a member's certificate, signed by the CA",
     .arguments = "NAME",
     .arguments_min = 1,
     .arguments_max = 1,
     .details =
         "NAME.crt and NAME.key are for --tls-cert and --tls-key of one member, which shows\n"
         "them to clients and, as its own proof, to other members. What others dial must\n"
         "be among the hosts.\n",
     .examples = "  conclave cert member node-1 --dir ./certs --hosts node-1.example.org,10.0.0.1\n"
                 "  conclave server --name node-1 --tls-cert certs/node-1.crt --tls-key "
                 "certs/node-1.key --tls-ca certs/ca.crt\n",
     .options = member_rows,
     .option_count = sizeof(member_rows) / sizeof(member_rows[0]),
     .run = run_member},
    {.name = "client",
     .summary = "make a client's certificate, signed by the CA",
     .arguments = "NAME",
     .arguments_min = 1,
     .arguments_max = 1,
     .details = "NAME is the user that the cluster sees when users are on. It opens no door for\n"
                "members.\n",
     .examples = "  conclave cert client alice --dir ./certs\n"
                 "  conclave get a --endpoints https://node-1:4000 --cacert certs/ca.crt --cert "
                 "certs/alice.crt --key certs/alice.key\n",
     .options = client_rows,
     .option_count = sizeof(client_rows) / sizeof(client_rows[0]),
     .run = run_client},
    {.name = "revoke",
     .summary = "put a certificate on the CA's list of revoked ones, ca.crl",
     .arguments = "NAME",
     .arguments_min = 1,
     .arguments_max = 1,
     .details = "NAME.crt is what is revoked. Give members --tls-crl ca.crl; they read it again "
                "when it\n"
                "changes, and end connections of whoever is on it.\n",
     .examples = "  conclave cert revoke alice --dir ./certs\n"
                 "  conclave server --name node-1 --tls-cert certs/node-1.crt --tls-key "
                 "certs/node-1.key --tls-ca certs/ca.crt --tls-crl certs/ca.crl\n",
     .options = revoke_rows,
     .option_count = sizeof(revoke_rows) / sizeof(revoke_rows[0]),
     .run = run_revoke},
};

const struct verb verb_cert = {
    .name = "cert",
    .summary = "make certificates for TLS: a CA, members, clients; revoke them",
    .children = verbs,
    .child_count = sizeof(verbs) / sizeof(verbs[0]),
};
