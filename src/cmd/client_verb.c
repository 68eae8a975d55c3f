#include "cmd/client_verb.h"

#include "base/mem.h"
#include "client/identity.h"
#include "client/json_text.h"
#include "net/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- who asks --------------------------------------------------------------------------------- */

/* Of what an editor left behind the text: one line end, as a password may have further ones. */
static void drop_line_end(struct buf *text)
{
    if (text->size > 0 && text->data[text->size - 1] == '\n') {
        text->size--;
        text->size -= text->size > 0 && text->data[text->size - 1] == '\r' ? 1 : 0;
    }
}

static int read_password_file(const struct options *o, const char *path, struct buf *password)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return verb_refuse(o, "--password-file: %s cannot be read: %s", path, strerror(errno));
    }
    size_t room = LIMIT_PASSWORD_BYTES + 3; /* its line end, and a byte that is too many */
    password->size = fread(buf_reserve(password, room), 1, room, file);
    bool has_failed = ferror(file) != 0;
    fclose(file);
    if (has_failed) {
        return verb_refuse(o, "--password-file: %s cannot be read", path);
    }
    drop_line_end(password);
    if (password->size == 0) {
        return verb_refuse(o, "--password-file: %s is empty", path);
    }
    return EXIT_DONE;
}

static int read_password(const struct options *o, size_t user_row, struct buf *password)
{
    const struct option_value *v = &o->values[user_row + 1];
    if (v->text == NULL) {
        return verb_refuse(o,
                           "the password of %s is missing: put it into CONCLAVE_PASSWORD, or into "
                           "a file that --password-file names",
                           options_text(o, user_row));
    }
    if (v->origin == OPTION_FROM_FLAG) {
        return read_password_file(o, v->text, password);
    }
    buf_append_str(password, v->text); /* the variable holds the password itself */
    return EXIT_DONE;
}

int client_verb_prepare_tls(struct options *o, size_t row)
{
    const struct tls_options t = {.ca = options_text(o, row),
                                  .cert = options_text(o, row + 1),
                                  .key = options_text(o, row + 2)};
    if (t.ca == NULL && t.cert == NULL && t.key == NULL) {
        return EXIT_DONE;
    }
    if ((t.cert == NULL) != (t.key == NULL)) {
        return verb_refuse(o, "--cert and --key belong together");
    }
    char *detail = NULL;
    if (tls_client_set(&t, &detail) == STATUS_OK) {
        return EXIT_DONE;
    }
    int code = verb_refuse(o, "%s", detail);
    mem_free(detail);
    return code;
}

int client_verb_identify(struct options *o, size_t user_row)
{
    const char *user = options_text(o, user_row);
    if (user == NULL) {
        bool is_asked = o->values[user_row + 1].origin == OPTION_FROM_FLAG;
        return is_asked ? verb_refuse(o, "--password-file: whose? --user NAME says it") : EXIT_DONE;
    }
    if (strchr(user, ':') != NULL) { /* as other clients have it; not repeated here */
        return verb_refuse(o, "--user takes a name, without a colon; the password comes in "
                              "CONCLAVE_PASSWORD or --password-file, where no list of processes "
                              "shows it");
    }
    struct buf password = {0};
    int code = read_password(o, user_row, &password);
    if (code == EXIT_DONE && identity_set(slice_str(user), buf_slice(&password)) != STATUS_OK) {
        code = verb_refuse(o,
                           "a user's name is 1 to %d bytes of UTF-8, and a password at most %d; "
                           "neither has a zero byte",
                           LIMIT_AUTH_NAME_BYTES, LIMIT_PASSWORD_BYTES);
    }
    buf_deinit(&password);
    return code;
}

int client_verb_prepare(struct options *o)
{
    int prepared = client_verb_prepare_tls(o, CLIENT_CACERT);
    return prepared == EXIT_DONE ? client_verb_identify(o, CLIENT_USER) : prepared;
}

/* --- whom to ask ------------------------------------------------------------------------------ */

const char *const *client_verb_endpoints(const struct options *o, uint32_t *count)
{
    static const char *const defaults[] = {"http://127.0.0.1:4000", "http://127.0.0.1:4001",
                                           "http://127.0.0.1:4002", "http://127.0.0.1:4003"};
    const struct option_value *given = &o->values[CLIENT_ENDPOINTS];
    if (given->item_count > 0) {
        *count = given->item_count;
        return (const char *const *)given->items;
    }
    *count = sizeof(defaults) / sizeof(defaults[0]);
    return defaults;
}

struct client *client_verb_open(const struct options *o)
{
    struct client_options options = {.timeout_ms = (uint32_t)options_number(o, CLIENT_TIMEOUT)};
    options.endpoints = client_verb_endpoints(o, &options.endpoint_count);
    return client_create(&options);
}

int client_verb_unreachable(const struct options *o)
{
    verb_complain(o,
                  "cannot connect to %s. Is a cluster running? `conclave cluster start` "
                  "makes one here; --endpoints names another.",
                  options_is_given(o, CLIENT_ENDPOINTS) ? options_text(o, CLIENT_ENDPOINTS)
                                                        : "127.0.0.1:4000 to :4003");
    return status_exit_code(STATUS_UNREACHABLE);
}

enum output_format client_verb_format(const struct options *o)
{
    return (enum output_format)options_number(o, CLIENT_OUTPUT);
}

int client_verb_call(const struct options *o, struct client *c, const struct client_request *r,
                     struct client_answer *a)
{
    return client_verb_judge(o, client_call(c, r, a), r, a);
}

int client_verb_judge(const struct options *o, enum status status, const struct client_request *r,
                      const struct client_answer *a)
{
    if (status == STATUS_OK) {
        return EXIT_DONE;
    }
    if (status == STATUS_UNREACHABLE && a->error[0] == '\0') {
        return client_verb_unreachable(o);
    }
    if (status == STATUS_UNREACHABLE) {
        verb_complain(o, "cannot connect to %s: %s", a->url, a->error);
        return status_exit_code(status);
    }
    char *why = client_explain(status, r, a);
    verb_complain(o, "%s", why);
    mem_free(why);
    return status_exit_code(status);
}

bool client_verb_append_key(struct slice key, struct buf *target)
{
    struct buf quoted = {0};
    enum status status = json_text_quote(key, &quoted);
    buf_deinit(&quoted);
    if (key.size == 0 || key.size > LIMIT_KEY_BYTES || status != STATUS_OK) {
        return false;
    }
    buf_append_str(target, "/key/");
    client_append_encoded(target, key, true);
    return true;
}

int client_verb_key_target(const struct options *o, const char *key, struct buf *target)
{
    if (!client_verb_append_key(slice_str(key), target)) {
        return verb_refuse(o, "a key is 1 to %d bytes of UTF-8", LIMIT_KEY_BYTES);
    }
    return EXIT_DONE;
}

int client_verb_conditions(const struct options *o, const char *if_match, const char *if_none_match,
                           struct buf *headers)
{
    if (if_match != NULL && if_none_match != NULL) {
        return verb_refuse(o, "--if-match and --if-none-match exclude each other");
    }
    if (if_match != NULL && strcmp(if_match, "*") == 0) {
        buf_append_str(headers, "If-Match: *\r\n");
    } else if (if_match != NULL) {
        if (if_match[strspn(if_match, "0123456789")] != '\0') {
            return verb_refuse(
                o, "--if-match: \"%.50s\" is no revision; use a number such as 7, or *", if_match);
        }
        buf_printf(headers, "If-Match: \"%s\"\r\n", if_match);
    }
    if (if_none_match != NULL) {
        buf_append_str(headers, "If-None-Match: *\r\n");
    }
    return EXIT_DONE;
}

void client_verb_query(struct buf *target, const char *name, const char *value)
{
    bool is_first = target->size == 0 || memchr(target->data, '?', target->size) == NULL;
    buf_printf(target, "%c%s=", is_first ? '?' : '&', name);
    client_append_encoded(target, slice_str(value), true);
}

const char *client_verb_target(struct buf *target)
{
    buf_append_byte(target, 0);
    return (const char *)target->data;
}

void client_verb_append_member(struct buf *out, struct slice object, const char *name)
{
    struct slice text;
    if (json_text_member(object, name, &text) && json_text_decode(text, out) != STATUS_OK) {
        buf_append_slice(out, text);
    }
}

void client_verb_print_change(const struct options *o, const struct client_answer *a)
{
    if (client_verb_format(o) == OUTPUT_JSON) {
        client_verb_print_json(a);
        return;
    }
    struct buf revision = {0};
    client_verb_append_member(&revision, client_answer_text(a), "revision");
    if (client_verb_format(o) == OUTPUT_RAW) {
        printf("%.*s\n", (int)revision.size, (const char *)revision.data);
    } else if (revision.size == 0) {
        puts("ok, on the leader's disk only so far"); /* ack=leader answers without a revision */
    } else {
        printf("ok, revision %.*s\n", (int)revision.size, (const char *)revision.data);
    }
    buf_deinit(&revision);
}

void client_verb_print_json(const struct client_answer *a)
{
    struct slice text = client_answer_text(a);
    fwrite(text.data, 1, text.size, stdout);
    if (text.size == 0 || text.data[text.size - 1] != '\n') {
        putchar('\n');
    }
}
