#include "cmd/server_settings.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/config_file.h"
#include "cmd/memory_limit.h"
#include "cmd/tls_settings.h"
#include "net/tls_client.h"
#include "node/roster.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The election timeout is at least this many heartbeats (contract). */
#define HEARTBEATS_MIN     3
#define HEARTBEATS_ADVISED 10
#define SECRET_SIZE_MAX    4096
/* `server 2 4002` (row B1): the port without one, and the file. */
#define LESSON_BASE_PORT   3000
#define LESSON_REGISTRY    "./cluster.json"

enum {
    ROW_NAME,
    ROW_LISTEN,
    ROW_ADVERTISE,
    ROW_DATA,
    ROW_PEERS,
    ROW_JOIN,
    ROW_REGISTRY,
    ROW_REGISTRY_ATTEMPTS,
    ROW_STATE_FILE,
    ROW_SECRET_FILE,
    ROW_TLS, /* and what follows it, cmd/tls_settings.h */
    ROW_TLS_LAST = ROW_TLS + TLS_ROW_COUNT - 1,
    ROW_HEARTBEAT,
    ROW_ELECTION,
    ROW_REQUEST_TIMEOUT,
    ROW_ELECTION_POLICY,
    ROW_PRIORITY,
    ROW_READ_MODE,
    ROW_ACK,
    ROW_ON_FOLLOWER,
    ROW_HISTORY,
    ROW_HISTORY_BYTES,
    ROW_QUOTA,
    ROW_VALUE_MAX,
    ROW_SNAPSHOT_BYTES,
    ROW_CONNECTIONS,
    ROW_CLIENT_BYTES,
    ROW_STREAMS,
    ROW_IDLE,
    ROW_RECEIVE,
    ROW_CORS,
    ROW_HOSTS,
    ROW_JSON_CASE,
    ROW_ENABLE_FAULTS,
    ROW_ROOT_PASSWORD,
    ROW_AUDIT_LOG,
    ROW_AUDIT_LOG_BYTES,
    ROW_LOG_LEVEL,
    ROW_LOG_FORMAT,
    ROW_INSECURE,
    ROW_CONFIG,
    ROW_COUNT,
};

static_assert((int)ROW_COUNT == (int)SERVER_OPTION_COUNT, "every row is in the table");

const struct option server_option_rows[SERVER_OPTION_COUNT] = {
    [ROW_NAME] = {.name = "name",
                  .type = OPTION_TEXT,
                  .unit = "NAME",
                  .meaning = "the member's name, unique in the cluster",
                  .fallback = "node-1",
                  .env = "NODE_ID"},
    [ROW_LISTEN] = {.name = "listen",
                    .type = OPTION_TEXT,
                    .unit = "HOST:PORT",
                    .meaning = "the address for clients and members alike",
                    .fallback = "127.0.0.1:4000"},
    [ROW_ADVERTISE] = {.name = "advertise",
                       .type = OPTION_URL,
                       .unit = "URL",
                       .meaning = "where others reach this member; if not given, from --listen"},
    [ROW_DATA] = {.name = "data",
                  .type = OPTION_TEXT,
                  .unit = "DIR",
                  .meaning = "log, vote and identity; if not given, ./NAME.conclave"},
    [ROW_PEERS] = {.name = "peers",
                   .type = OPTION_URLS,
                   .unit = "URL,URL",
                   .meaning = "the other founding members; none: a cluster of one",
                   .env = "PEERS"},
    [ROW_JOIN] = {.name = "join",
                  .type = OPTION_URLS,
                  .unit = "URL,URL",
                  .meaning = "members of a running cluster to join; a learner first, a voter once "
                             "caught up"},
    [ROW_REGISTRY] = {.name = "registry",
                      .type = OPTION_TEXT,
                      .unit = "FILE",
                      .meaning =
                          "find the others through this shared file: the first founds, later "
                          "ones join"},
    [ROW_REGISTRY_ATTEMPTS] = {.name = "registry-attempts",
                               .type = OPTION_INTEGER,
                               .unit = "N",
                               .meaning = "how often to look for members in vain, once a second, "
                                          "before founding",
                               .fallback = "3",
                               .min = 1,
                               .max = 1000},
    [ROW_STATE_FILE] = {.name = "state-file",
                        .type = OPTION_TEXT,
                        .unit = "FILE",
                        .meaning = "keep members, roles and load in this file, as JSON"},
    [ROW_SECRET_FILE] = {.name = "cluster-secret-file",
                         .type = OPTION_TEXT,
                         .unit = "FILE",
                         .meaning = "the secret that members prove to each other; the variable "
                                    "holds the secret itself",
                         .env = "CONCLAVE_CLUSTER_SECRET"},
    TLS_OPTION_ROWS(ROW_TLS),
    [ROW_HEARTBEAT] = {.name = "heartbeat-ms",
                       .type = OPTION_INTEGER,
                       .unit = "MS",
                       .meaning = "how often a leader says that it is there",
                       .fallback = "50",
                       .min = 1,
                       .max = 60000},
    [ROW_ELECTION] = {.name = "election-timeout-ms",
                      .type = OPTION_INTEGER,
                      .unit = "MS",
                      .meaning = "silence after which others stand for election; up to twice that",
                      .fallback = "500",
                      .min = 3,
                      .max = 600000},
    [ROW_REQUEST_TIMEOUT] = {.name = "request-timeout-ms",
                             .type = OPTION_INTEGER,
                             .unit = "MS",
                             .meaning = "how long a request may wait",
                             .fallback = "2000",
                             .min = 1,
                             .max = 600000},
    [ROW_ELECTION_POLICY] = {.name = "election-policy",
                             .type = OPTION_CHOICE,
                             .unit = "POLICY",
                             .meaning =
                                 "who is preferred as leader: none, lowest-id, highest-id or "
                                 "priority",
                             .choices = "none|lowest-id|highest-id|priority",
                             .fallback = "none"},
    [ROW_PRIORITY] = {.name = "priority",
                      .type = OPTION_INTEGER,
                      .unit = "N",
                      .meaning =
                          "this member's, for --election-policy priority; higher is preferred",
                      .fallback = "0",
                      .min = 0,
                      .max = 1000000},
    [ROW_READ_MODE] = {.name = "read-mode",
                       .type = OPTION_CHOICE,
                       .unit = "MODE",
                       .meaning =
                           "how a leader confirms reads: quorum, or lease, which trusts that "
                           "clocks run alike within 1 %",
                       .choices = "quorum|lease",
                       .fallback = "quorum"},
    [ROW_ACK] = {.name = "ack",
                 .type = OPTION_CHOICE,
                 .unit = "WHO",
                 .meaning = "who must have a write before it is answered: leader, quorum or all",
                 .choices = "leader|quorum|all",
                 .fallback = "quorum"},
    [ROW_ON_FOLLOWER] = {.name = "on-follower",
                         .type = OPTION_CHOICE,
                         .unit = "WHAT",
                         .meaning =
                             "what a follower does with a write: reject, forward or redirect",
                         .choices = "reject|forward|redirect",
                         .fallback = "reject"},
    [ROW_HISTORY] = {.name = "history",
                     .type = OPTION_DURATION,
                     .unit = "DURATION",
                     .meaning = "old revisions are kept this long",
                     .fallback = "10m"},
    [ROW_HISTORY_BYTES] = {.name = "history-bytes",
                           .type = OPTION_BYTES,
                           .unit = "SIZE",
                           .meaning = "and up to this size",
                           .fallback = "64MiB"},
    [ROW_QUOTA] = {.name = "quota-bytes",
                   .type = OPTION_BYTES,
                   .unit = "SIZE",
                   .meaning = "size of the store beyond which writes are refused; if not given, "
                              "half of the memory, at most 8GiB",
                   .min = 1 * MIB},
    [ROW_VALUE_MAX] = {.name = "max-value-bytes",
                       .type = OPTION_BYTES,
                       .unit = "SIZE",
                       .meaning = "size of the largest value",
                       .fallback = "1.5MiB",
                       .min = 1,
                       .max = LIMIT_VALUE_BYTES_MAX},
    [ROW_SNAPSHOT_BYTES] = {.name = "snapshot-bytes",
                            .type = OPTION_BYTES,
                            .unit = "SIZE",
                            .meaning = "a snapshot is taken when the log since the last one is "
                                       "larger",
                            .fallback = "64MiB",
                            .min = 64 * KIB},
    [ROW_CONNECTIONS] = {.name = "max-connections",
                         .type = OPTION_INTEGER,
                         .unit = "N",
                         .meaning = "connections of clients; beyond, those without a request are "
                                    "closed for new ones",
                         .fallback = "16384",
                         .min = 16,
                         .max = 1000000},
    [ROW_CLIENT_BYTES] = {.name = "max-client-bytes",
                          .type = OPTION_BYTES,
                          .unit = "SIZE",
                          .meaning = "memory of requests not whole and answers not taken; beyond, "
                                     "the largest connections are reset; if not given, an eighth "
                                     "of the memory, at most 512MiB",
                          .min = 1 * MIB},
    [ROW_STREAMS] = {.name = "max-streams",
                     .type = OPTION_INTEGER,
                     .unit = "N",
                     .meaning = "calls at a time of one connection of HTTP/2",
                     .fallback = "1024",
                     .min = 1,
                     .max = 65536},
    [ROW_IDLE] = {.name = "idle-timeout",
                  .type = OPTION_DURATION,
                  .unit = "DURATION",
                  .meaning = "a connection without a request is closed after this; if not given, "
                             "75s, of HTTP/2 5m",
                  .min = 1000,
                  .max = 86400000},
    [ROW_RECEIVE] = {.name = "receive-timeout",
                     .type = OPTION_DURATION,
                     .unit = "DURATION",
                     .meaning = "from the first byte of a request to its last",
                     .fallback = "10s",
                     .min = 100,
                     .max = 3600000},
    [ROW_CORS] = {.name = "cors-origin",
                  .type = OPTION_TEXT,
                  .unit = "ORIGIN",
                  .meaning = "which web pages may call: an origin, * or none"},
    [ROW_HOSTS] = {.name = "allowed-hosts",
                   .type = OPTION_TEXT,
                   .unit = "NAME,NAME",
                   .meaning = "DNS names by which clients may ask (.example.org: all below; *: "
                              "any); if not given, any beyond loopback, else --advertise's"},
    [ROW_JSON_CASE] = {.name = "json-case",
                       .type = OPTION_CHOICE,
                       .unit = "CASE",
                       .meaning = "names in answers of /status and /key: camel (leaderId) or snake "
                                  "(leader_id)",
                       .choices = "camel|snake",
                       .fallback = "camel"},
    [ROW_ENABLE_FAULTS] = {.name = "enable-faults",
                           .type = OPTION_BOOL,
                           .meaning = "open /faults: whoever reaches the port may slow, lose and "
                                      "cut what this member sends to others",
                           .fallback = "false"},
    [ROW_ROOT_PASSWORD] = {.name = "reset-root-password-file",
                           .type = OPTION_TEXT,
                           .unit = "FILE",
                           .meaning = "for who lost it: set the password of the user root to what "
                                      "is in this file; once"},
    [ROW_AUDIT_LOG] = {.name = "audit-log",
                       .type = OPTION_TEXT,
                       .unit = "FILE",
                       .meaning = "who changed what, a line of JSON each; - is standard output"},
    [ROW_AUDIT_LOG_BYTES] = {.name = "audit-log-bytes",
                             .type = OPTION_BYTES,
                             .unit = "SIZE",
                             .meaning = "beyond, --audit-log goes on in a new file; the one before "
                                        "is FILE.1",
                             .fallback = "64MiB",
                             .min = 64 * KIB},
    [ROW_LOG_LEVEL] = {.name = "log-level",
                       .type = OPTION_CHOICE,
                       .unit = "LEVEL",
                       .meaning = "debug, info, warn or error",
                       .choices = "debug|info|warn|error",
                       .fallback = "info"},
    [ROW_LOG_FORMAT] = {.name = "log-format",
                        .type = OPTION_CHOICE,
                        .unit = "FORM",
                        .meaning = "text or json",
                        .choices = "text|json",
                        .fallback = "text"},
    [ROW_INSECURE] = {.name = "insecure",
                      .type = OPTION_BOOL,
                      .meaning = "serve other machines without a secret; anyone may join or forge",
                      .fallback = "false"},
    [ROW_CONFIG] = {.name = "config",
                    .type = OPTION_TEXT,
                    .unit = "FILE",
                    .meaning = "settings in YAML or JSON; its keys are these flags",
                    .command_line_only = true},
};

/* --- sources ---------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* PORT and HOST are common names, so they count only beside NODE_ID or PEERS, which say that the
 * seeds' environment is meant. */
static enum status read_seed_listen(struct options *o)
{
    const char *port = variable("PORT");
    const char *host = variable("HOST");
    if ((port == NULL && host == NULL) ||
        (variable("NODE_ID") == NULL && variable("PEERS") == NULL)) {
        return STATUS_OK;
    }
    const char *where = port == NULL ? "HOST" : (host == NULL ? "PORT" : "HOST and PORT");
    bool is_ipv6 = host != NULL && strchr(host, ':') != NULL && host[0] != '[';
    char *listen = mem_printf("%s%s%s:%s", is_ipv6 ? "[" : "", host != NULL ? host : "127.0.0.1",
                              is_ipv6 ? "]" : "", port != NULL ? port : "4000");
    enum status status = options_set(o, ROW_LISTEN, OPTION_FROM_SEED_ENVIRONMENT, where, listen);
    mem_free(listen);
    return status;
}

/* `server 2 4002`, as in the lesson: before every other source, and beside no flag that says the
 * same. */
static enum status read_arguments(struct options *o)
{
    if (o->argument_count == 0) {
        return STATUS_OK;
    }
    const char *id = o->arguments[0];
    const char *port = o->argument_count > 1 ? o->arguments[1] : NULL;
    size_t digits = strspn(id, "0123456789");
    if (digits == 0 || digits > 9 || id[digits] != '\0') {
        return options_fail(o,
                            "\"%.50s\" is no number of a member; say `conclave server 2 4002`, "
                            "or name it by --name",
                            id);
    }
    unsigned long number = strtoul(id, NULL, 10);
    unsigned long port_number = port != NULL ? strtoul(port, NULL, 10) : LESSON_BASE_PORT + number;
    if ((port != NULL && strspn(port, "0123456789") != strlen(port)) || port_number == 0 ||
        port_number > UINT16_MAX) {
        return options_fail(o,
                            "%.50s is no port for member %lu; say `conclave server %lu PORT`, "
                            "with a port from 1 to 65535",
                            port != NULL ? port : "3000 + id", number, number);
    }
    if (options_is_given(o, ROW_NAME) || (port != NULL && options_is_given(o, ROW_LISTEN))) {
        return options_fail(o,
                            "the number %lu says the name and the port; leave --name and "
                            "--listen away",
                            number);
    }
    char *name = mem_printf("node-%lu", number);
    char *listen = mem_printf("127.0.0.1:%lu", port_number);
    enum status status = options_set(o, ROW_NAME, OPTION_FROM_FLAG, "the member's number", name);
    if (status == STATUS_OK) {
        status = options_set(o, ROW_LISTEN, OPTION_FROM_FLAG, "the member's port", listen);
    }
    mem_free(name);
    mem_free(listen);
    return status;
}

/* A number stands for the lesson's cluster, whose members find each other through this file. */
static enum status default_registry(struct options *o)
{
    if (o->argument_count == 0 || o->values[ROW_PEERS].item_count > 0 ||
        o->values[ROW_JOIN].item_count > 0) {
        return STATUS_OK;
    }
    return options_set(o, ROW_REGISTRY, OPTION_FROM_DEFAULT, "--registry", LESSON_REGISTRY);
}

static enum status read_sources(struct options *o)
{
    enum status status = read_arguments(o);
    if (status == STATUS_OK) {
        status = options_read_environment(o, true);
    }
    if (status == STATUS_OK) {
        status = read_seed_listen(o);
    }
    const char *config = options_text(o, ROW_CONFIG);
    if (status == STATUS_OK && config != NULL) {
        status = config_file_read(o, config, ROW_NAME);
    }
    if (status == STATUS_OK) {
        status = default_registry(o);
    }
    return status == STATUS_OK ? options_apply_defaults(o) : status;
}

/* --- checks ----------------------------------------------------------------------------------- */

static enum status check_name(struct options *o, struct server_settings *s)
{
    const char *name = options_text(o, ROW_NAME);
    if (!member_name_is_valid(name)) {
        return options_refuse(
            o, ROW_NAME,
            "is no name for a member; use 1 to %d of A-Z a-z 0-9 . _ - and no dot "
            "at the start",
            LIMIT_NAME_BYTES);
    }
    s->node.name = name;
    return STATUS_OK;
}

static enum status check_listen(struct options *o, struct server_settings *s)
{
    const char *text = options_text(o, ROW_LISTEN);
    const char *why = "use HOST:PORT";
    if (strstr(text, "://") != NULL || url_parse(text, &s->listen, &why) != STATUS_OK) {
        return options_refuse(o, ROW_LISTEN, "is no address like 127.0.0.1:4000: %s", why);
    }
    s->node.listen_host = s->listen.host;
    s->node.listen_port = s->listen.port;
    return STATUS_OK;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static bool is_own_url(const struct server_settings *s, const char *text)
{
    struct url peer;
    struct url own;
    if (url_parse(text, &peer, NULL) != STATUS_OK) {
        return false;
    }
    if (s->node.advertise != NULL && url_parse(s->node.advertise, &own, NULL) == STATUS_OK &&
        strcmp(peer.host, own.host) == 0 && peer.port == own.port) {
        return true;
    }
    return peer.port == s->listen.port && (strcmp(peer.host, s->listen.host) == 0 ||
                                           (is_loopback(peer.host) && is_loopback(s->listen.host)));
}

static enum status check_peers(struct options *o, struct server_settings *s)
{
    const struct option_value *v = &o->values[ROW_PEERS];
    for (uint32_t i = 0; i < v->item_count; i++) {
        if (is_own_url(s, v->items[i])) {
            continue;
        }
        for (uint32_t k = 0; k < s->node.peer_count; k++) {
            if (strcmp(s->peers[k], v->items[i]) == 0) {
                return options_refuse(o, ROW_PEERS, "lists %s twice", v->items[i]);
            }
        }
        if (s->node.peer_count + 1 == LIMIT_MEMBERS) {
            return options_refuse(o, ROW_PEERS, "makes more than %d members", LIMIT_MEMBERS);
        }
        s->peers[s->node.peer_count++] = v->items[i];
    }
    s->node.peers = s->peers;
    return STATUS_OK;
}

static enum status check_join(struct options *o, struct server_settings *s)
{
    const struct option_value *v = &o->values[ROW_JOIN];
    if (v->item_count == 0) {
        return STATUS_OK;
    }
    if (o->values[ROW_PEERS].item_count > 0) {
        return options_refuse(
            o, ROW_JOIN,
            "and --peers exclude each other: --peers founds a new cluster, --join "
            "enters one that runs");
    }
    for (uint32_t i = 0; i < v->item_count; i++) {
        if (!is_own_url(s, v->items[i])) {
            if (s->node.join_count == LIMIT_MEMBERS) {
                return options_refuse(o, ROW_JOIN, "names more than %d members", LIMIT_MEMBERS);
            }
            s->join[s->node.join_count++] = v->items[i];
        }
    }
    if (s->node.join_count == 0) {
        return options_refuse(o, ROW_JOIN, "names only this member; name one that runs already");
    }
    s->node.join = s->join;
    return STATUS_OK;
}

static enum status check_registry(struct options *o, struct server_settings *s)
{
    s->number = o->argument_count > 0 ? o->arguments[0] : NULL;
    s->registry = options_text(o, ROW_REGISTRY);
    s->registry_attempts = (uint32_t)options_number(o, ROW_REGISTRY_ATTEMPTS);
    if (s->registry == NULL) {
        return STATUS_OK;
    }
    static const int others[] = {ROW_PEERS, ROW_JOIN};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (o->values[others[i]].item_count > 0) {
            return options_refuse(o, ROW_REGISTRY,
                                  "and %s exclude each other: the registry says whether to found "
                                  "or whom to join",
                                  o->values[others[i]].where);
        }
    }
    return STATUS_OK;
}

/* A secret without the line end that editors leave. `what` is it in words. */
static enum status read_secret_file(struct options *o, size_t row, const char *what, size_t max,
                                    struct buf *secret)
{
    const char *path = options_text(o, row);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return options_refuse(o, row, "cannot be read: %s", strerror(errno));
    }
    struct stat about;
    if (fstat(fileno(file), &about) == 0 && (about.st_mode & 077) != 0) {
        log_warn("%s can be read by others on this machine file=%s", what, path);
    }
    secret->size = fread(buf_reserve(secret, max + 3), 1, max + 3, file);
    bool has_failed = ferror(file) != 0;
    fclose(file);
    while (secret->size > 0 && strchr("\r\n", secret->data[secret->size - 1]) != NULL &&
           secret->data[secret->size - 1] != 0) {
        secret->size--;
    }
    if (has_failed || secret->size > max) {
        return options_refuse(o, row, "%s",
                              has_failed ? "cannot be read" : "is too long for a secret");
    }
    if (secret->size == 0) {
        return options_refuse(o, row, "is empty; put a long random text in it");
    }
    return STATUS_OK;
}

/* The variable holds the secret itself. Where the process keeps its environment others may read it
 * for as long as the process lives (/proc/PID/environ). */
static void take_secret_variable(struct option_value *v, struct server_settings *s)
{
    if (v->origin == OPTION_FROM_SEED_ENVIRONMENT) {
        buf_append_str(&s->secret, v->text);
        explicit_bzero(v->text, strlen(v->text));
    }
    char *told = getenv(server_option_rows[ROW_SECRET_FILE].env);
    if (told != NULL) {
        explicit_bzero(told, strlen(told));
    }
}

/* A password is text: what follows a zero would not be compared by clients. */
static enum status check_root_password(struct options *o, struct server_settings *s)
{
    if (options_text(o, ROW_ROOT_PASSWORD) == NULL) {
        return STATUS_OK;
    }
    enum status status = read_secret_file(o, ROW_ROOT_PASSWORD, "the password of root",
                                          LIMIT_PASSWORD_BYTES, &s->root_password);
    if (status == STATUS_OK && memchr(s->root_password.data, 0, s->root_password.size) != NULL) {
        return options_refuse(o, ROW_ROOT_PASSWORD, "has a zero byte in it, and is no password");
    }
    return status;
}

static enum status check_secret(struct options *o, struct server_settings *s)
{
    struct option_value *v = &o->values[ROW_SECRET_FILE];
    enum status status = STATUS_OK;
    take_secret_variable(v, s);
    if (v->origin != OPTION_FROM_SEED_ENVIRONMENT && v->text != NULL) {
        status =
            read_secret_file(o, ROW_SECRET_FILE, "the cluster secret", SECRET_SIZE_MAX, &s->secret);
    }
    s->node.secret = buf_slice(&s->secret);
    if (status != STATUS_OK || s->secret.size > 0 || s->peers_show_certificates ||
        is_loopback(s->node.listen_host)) {
        return status;
    }
    if (!options_is_on(o, ROW_INSECURE)) {
        return options_refuse(
            o, ROW_LISTEN,
            "opens this member to other machines, and there is neither a cluster secret nor TLS "
            "with --tls-ca. Give all members the same --cluster-secret-file FILE, or certificates "
            "(`conclave cert` makes them), or listen on 127.0.0.1, or say --insecure to let anyone "
            "in");
    }
    s->is_insecure = true;
    return STATUS_OK;
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* A port speaks TLS or does not, and so do all members of a cluster. */
static enum status check_scheme(struct options *o, size_t row, const char *text, bool has_tls)
{
    struct url u;
    if (text == NULL || url_parse(text, &u, NULL) != STATUS_OK || u.is_tls == has_tls) {
        return STATUS_OK;
    }
    return options_refuse(o, row,
                          has_tls
                              ? "names %s, and this member speaks TLS (--tls-cert): write "
                                "https://, for all members"
                              : "names %s, and this member has no certificate: give --tls-cert, "
                                "--tls-key and --tls-ca",
                          text);
}

static enum status check_schemes(struct options *o, bool has_tls)
{
    static const size_t rows[] = {ROW_PEERS, ROW_JOIN};
    enum status status = check_scheme(o, ROW_ADVERTISE, options_text(o, ROW_ADVERTISE), has_tls);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct option_value *v = &o->values[rows[i]];
        for (uint32_t k = 0; k < v->item_count && status == STATUS_OK; k++) {
            status = check_scheme(o, rows[i], v->items[k], has_tls);
        }
    }
    return status;
}

static enum status check_tls(struct options *o, struct server_settings *s)
{
    struct tls_options t;
    enum status status = tls_settings_read(o, ROW_TLS, &t);
    if (status == STATUS_OK) {
        status = check_schemes(o, t.cert != NULL);
    }
    if (status != STATUS_OK || t.cert == NULL) {
        return status;
    }
    char *detail = NULL;
    /* Who looks for members in a registry asks them as a client does, beside the loop. */
    bool is_good = s->registry == NULL || tls_client_set(&t, &detail) == STATUS_OK;
    if (!is_good || tls_create(&t, &s->tls, &detail) != STATUS_OK) {
        status = options_fail(o, "TLS: %s", detail);
        mem_free(detail);
        return status;
    }
    s->node.speaks_tls = true;
    s->clients_show_certificates = t.client_auth != TLS_CLIENT_NONE;
    s->peers_show_certificates =
        s->clients_show_certificates || t.peer_ca != NULL || t.peer_cert != NULL;
    return STATUS_OK;
}

static enum status check_timings(struct options *o, struct server_settings *s)
{
    uint64_t heartbeat = options_number(o, ROW_HEARTBEAT);
    uint64_t election = options_number(o, ROW_ELECTION);
    if (election < heartbeat * HEARTBEATS_MIN) {
        return options_refuse(o, ROW_ELECTION,
                              "is less than %d heartbeats of %" PRIu64 " ms; use at least %" PRIu64
                              ", better %" PRIu64,
                              HEARTBEATS_MIN, heartbeat, heartbeat * HEARTBEATS_MIN,
                              heartbeat * HEARTBEATS_ADVISED);
    }
    s->node.heartbeat_ms = (uint32_t)heartbeat;
    s->node.election_timeout_ms = (uint32_t)election;
    s->node.request_timeout_ms = (uint32_t)options_number(o, ROW_REQUEST_TIMEOUT);
    return STATUS_OK;
}

static void fill_sizes(struct options *o, struct server_settings *s)
{
    s->node.history_ms = options_number(o, ROW_HISTORY);
    s->node.history_bytes = options_number(o, ROW_HISTORY_BYTES);
    s->node.quota_bytes =
        options_is_given(o, ROW_QUOTA) ? options_number(o, ROW_QUOTA) : memory_quota_default();
    s->node.value_bytes_max = options_number(o, ROW_VALUE_MAX);
    s->node.snapshot_log_bytes = options_number(o, ROW_SNAPSHOT_BYTES);
}

static void fill_bounds(struct options *o, struct server_settings *s)
{
    s->connections_max = (uint32_t)options_number(o, ROW_CONNECTIONS);
    s->client_bytes_max = options_is_given(o, ROW_CLIENT_BYTES)
                              ? options_number(o, ROW_CLIENT_BYTES)
                              : memory_clients_default();
    s->streams_max = (uint32_t)options_number(o, ROW_STREAMS);
    s->idle_ms = options_is_given(o, ROW_IDLE) ? (uint32_t)options_number(o, ROW_IDLE) : 0;
    s->receive_ms = (uint32_t)options_number(o, ROW_RECEIVE);
}

static void fill_rest(struct options *o, struct server_settings *s)
{
    static const enum node_ack acks[] = {NODE_ACK_LEADER, NODE_ACK_QUORUM, NODE_ACK_ALL};
    s->node.advertise = options_text(o, ROW_ADVERTISE);
    s->data_dir = options_text(o, ROW_DATA);
    if (s->data_dir == NULL) {
        s->data_dir_owned = mem_printf("./%s.conclave", s->node.name);
        s->data_dir = s->data_dir_owned;
    }
    static const enum api_on_follower on_follower[] = {API_REJECT, API_FORWARD, API_REDIRECT};
    static const enum node_election_policy policies[] = {
        NODE_POLICY_NONE, NODE_POLICY_LOWEST_ID, NODE_POLICY_HIGHEST_ID, NODE_POLICY_PRIORITY};
    s->ack = acks[options_number(o, ROW_ACK)];
    s->on_follower = on_follower[options_number(o, ROW_ON_FOLLOWER)];
    s->node.election_policy = policies[options_number(o, ROW_ELECTION_POLICY)];
    s->node.priority = (uint32_t)options_number(o, ROW_PRIORITY);
    s->node.lease_reads = options_number(o, ROW_READ_MODE) == 1;
    s->cors_origin = options_text(o, ROW_CORS);
    s->allowed_hosts = options_text(o, ROW_HOSTS);
    s->json_snake = options_number(o, ROW_JSON_CASE) == 1;
    s->state_file = options_text(o, ROW_STATE_FILE);
    s->audit_log = options_text(o, ROW_AUDIT_LOG);
    s->audit_log_bytes = options_number(o, ROW_AUDIT_LOG_BYTES);
    s->enable_faults = options_is_on(o, ROW_ENABLE_FAULTS);
    s->log = (struct log_options){.name = s->node.name,
                                  .level = (enum log_level)options_number(o, ROW_LOG_LEVEL),
                                  .json = options_number(o, ROW_LOG_FORMAT) == 1};
}

static void warn(const struct server_settings *s)
{
    if (s->is_insecure) {
        log_warn("INSECURE: neither a cluster secret nor certificates of members, and listening "
                 "beyond this machine; anyone who reaches "
                 "port %u can join, forge and delete",
                 s->node.listen_port);
    }
    if (s->enable_faults) {
        log_warn("/faults is open (--enable-faults): for experiments, not for data that matters");
    }
    if (s->node.election_timeout_ms < s->node.heartbeat_ms * HEARTBEATS_ADVISED) {
        log_warn(
            "the election timeout is less than %d heartbeats; a slow moment may depose a leader "
            "electionTimeoutMs=%u heartbeatMs=%u",
            HEARTBEATS_ADVISED, s->node.election_timeout_ms, s->node.heartbeat_ms);
    }
}

enum status server_settings_read(struct options *o, struct server_settings *s)
{
    *s = (struct server_settings){0};
    enum status status = read_sources(o);
    if (status != STATUS_OK || (status = check_name(o, s)) != STATUS_OK) {
        return status;
    }
    fill_rest(o, s);
    log_init(&s->log);
    if ((status = check_listen(o, s)) != STATUS_OK || (status = check_peers(o, s)) != STATUS_OK ||
        (status = check_join(o, s)) != STATUS_OK || (status = check_registry(o, s)) != STATUS_OK ||
        (status = check_tls(o, s)) != STATUS_OK || (status = check_secret(o, s)) != STATUS_OK ||
        (status = check_root_password(o, s)) != STATUS_OK ||
        (status = check_timings(o, s)) != STATUS_OK) {
        return status;
    }
    s->knows_hosts = s->allowed_hosts != NULL || (is_loopback(s->listen.host) && s->tls == NULL);
    fill_sizes(o, s);
    fill_bounds(o, s);
    warn(s);
    return STATUS_OK;
}

void server_settings_deinit(struct server_settings *s)
{
    tls_destroy(s->tls);
    mem_free(s->data_dir_owned);
    if (s->secret.capacity > 0) {
        explicit_bzero(s->secret.data, s->secret.capacity);
    }
    buf_deinit(&s->secret);
    if (s->root_password.capacity > 0) {
        explicit_bzero(s->root_password.data, s->root_password.capacity);
    }
    buf_deinit(&s->root_password);
    *s = (struct server_settings){0};
}
