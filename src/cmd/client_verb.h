/* cmd/client_verb.h - what the verbs that talk to a cluster share: their flags, their client, and
 * how a failure is told and becomes an exit code. */
#pragma once

#include "client/client.h"
#include "cmd/output.h"
#include "cmd/verb.h"

/* The first rows of every client verb's table of flags; a verb's own rows start at CLIENT_ROWS, or
 * at the first one that it has not. */
enum {
    CLIENT_ENDPOINTS,
    CLIENT_TIMEOUT,
    CLIENT_CACERT,
    CLIENT_CERT,
    CLIENT_KEY,
    CLIENT_USER,
    CLIENT_PASSWORD_FILE,
    CLIENT_OUTPUT,
    CLIENT_ROWS,
};

/* Three rows, for https:// addresses. */
#define CLIENT_TLS_ROWS(row)                                                                       \
    [row] = {.name = "cacert",                                                                     \
             .type = OPTION_TEXT,                                                                  \
             .unit = "FILE",                                                                       \
             .meaning = "whose certificates are believed; if not given, as this machine does",     \
             .env = "CONCLAVE_CACERT"},                                                            \
    [(row) + 1] = {.name = "cert",                                                                 \
                   .type = OPTION_TEXT,                                                            \
                   .unit = "FILE",                                                                 \
                   .meaning = "the certificate to show",                                           \
                   .env = "CONCLAVE_CERT"},                                                        \
    [(row) + 2] = {.name = "key",                                                                  \
                   .type = OPTION_TEXT,                                                            \
                   .unit = "FILE",                                                                 \
                   .meaning = "the private key of --cert",                                         \
                   .env = "CONCLAVE_KEY"}
/* Without a user and --output. */
#define CLIENT_ADDRESS_ROWS(timeout_meaning, timeout_fallback)                                     \
    [CLIENT_ENDPOINTS] = {.name = "endpoints",                                                     \
                          .type = OPTION_URLS,                                                     \
                          .unit = "URL,URL",                                                       \
                          .min = 1,                                                                \
                          .meaning = "members to ask; if not given, 127.0.0.1:4000 to :4003",      \
                          .env = "CONCLAVE_ENDPOINTS"},                                            \
    [CLIENT_TIMEOUT] = {.name = "timeout",                                                         \
                        .type = OPTION_DURATION,                                                   \
                        .unit = "DURATION",                                                        \
                        .meaning = timeout_meaning,                                                \
                        .fallback = timeout_fallback,                                              \
                        .min = 1,                                                                  \
                        .max = 3600000},                                                           \
    CLIENT_TLS_ROWS(CLIENT_CACERT)
/* Two rows: the user at `row`, the password's file behind it. */
#define CLIENT_USER_ROWS(row)                                                                      \
    [row] = {.name = "user",                                                                       \
             .type = OPTION_TEXT,                                                                  \
             .unit = "NAME",                                                                       \
             .meaning = "who asks, where the cluster wants to know",                               \
             .env = "CONCLAVE_USER"},                                                              \
    [(row) + 1] = {.name = "password-file",                                                        \
                   .type = OPTION_TEXT,                                                            \
                   .unit = "FILE",                                                                 \
                   .meaning = "has the user's password; the variable holds the password itself",   \
                   .env = "CONCLAVE_PASSWORD"}
/* Without --output. */
#define CLIENT_CALL_ROWS(timeout_meaning, timeout_fallback)                                        \
    CLIENT_ADDRESS_ROWS(timeout_meaning, timeout_fallback), CLIENT_USER_ROWS(CLIENT_USER)
/* With another `fallback` for --timeout and other words for what it means. */
#define CLIENT_OPTION_ROWS_WITH(timeout_meaning, timeout_fallback)                                 \
    CLIENT_CALL_ROWS(timeout_meaning, timeout_fallback),                                           \
        [CLIENT_OUTPUT] = {.name = "output",                                                       \
                           .letter = 'o',                                                          \
                           .type = OPTION_CHOICE,                                                  \
                           .unit = "FORM",                                                         \
                           .meaning = "how to print: table, json or raw",                          \
                           .choices = OUTPUT_CHOICES,                                              \
                           .fallback = "table"}
#define CLIENT_OPTION_ROWS CLIENT_OPTION_ROWS_WITH("give up after this time", "5s")

/* Every client verb's `prepare`: from now on the user of the flags asks, and https:// is dialled
 * with the files of the flags. */
int client_verb_prepare(struct options *o);
/* Its halves, for tables that have these rows elsewhere: CLIENT_USER_ROWS(user_row), and
 * CLIENT_TLS_ROWS(row). */
int client_verb_identify(struct options *o, size_t user_row);
int client_verb_prepare_tls(struct options *o, size_t row);
/* Whom to ask, as the flags say: an array of *count, borrowed. */
const char *const *client_verb_endpoints(const struct options *o, uint32_t *count);
/* A client for the verb's flags; freed by client_destroy. */
struct client *client_verb_open(const struct options *o);
/* Tell on stderr that nobody could be reached; the exit code. */
int client_verb_unreachable(const struct options *o);
enum output_format client_verb_format(const struct options *o);

/* client_call, and for anything but OK the reason on stderr. The exit code; a missing key is told
 * only by the code and one line. */
int client_verb_call(const struct options *o, struct client *c, const struct client_request *r,
                     struct client_answer *a);
/* The second half of it. */
int client_verb_judge(const struct options *o, enum status status, const struct client_request *r,
                      const struct client_answer *a);

/* Check a key (1-4096 bytes of UTF-8) and append "/key/<encoded>"; EXIT_USAGE with a message if it
 * is none. */
int client_verb_key_target(const struct options *o, const char *key, struct buf *target);
/* The same without a message: false if it is none. */
bool client_verb_append_key(struct slice key, struct buf *target);
/* Append the header lines of --if-match (a revision or "*") and --if-none-match ("*"), either of
 * which may be NULL; EXIT_USAGE with a message if one is not of that form. */
int client_verb_conditions(const struct options *o, const char *if_match, const char *if_none_match,
                           struct buf *headers);
/* Append "?name=value" or "&name=value" to a target, the value percent-encoded. */
void client_verb_query(struct buf *target, const char *name, const char *value);
/* Zero-terminate a target that is complete. */
const char *client_verb_target(struct buf *target);

/* A member of the answer as it was sent, without the quotes if it is a string; "" when absent.
 * Appended to `out`. */
void client_verb_append_member(struct buf *out, struct slice object, const char *name);
/* What a write answered: its revision, in the form asked for. */
void client_verb_print_change(const struct options *o, const struct client_answer *a);
/* The answer's JSON text and a newline on stdout. */
void client_verb_print_json(const struct client_answer *a);
