#include "client/gateway.h"

#include "base/check.h"
#include "base/mem.h"
#include "client/identity.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- who asks --------------------------------------------------------------------------------- */

/* What Authenticate gave this process, for all of its threads; NULL = not yet, or no good any
 * more. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *known_token;

static char *copy_token(void)
{
    pthread_mutex_lock(&mutex);
    char *token = known_token != NULL ? mem_strdup(known_token) : NULL;
    pthread_mutex_unlock(&mutex);
    return token;
}

/* NULL forgets it. */
static void keep_token(const char *token)
{
    pthread_mutex_lock(&mutex);
    mem_free(known_token);
    known_token = token != NULL ? mem_strdup(token) : NULL;
    pthread_mutex_unlock(&mutex);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum status call_as(struct client *c, const char *target, const char *token,
                           struct slice body, int cancel_fd, struct client_answer *a)
{
    const struct client_request request = {.method = "POST",
                                           .target = target,
                                           .headers = "Content-Type: application/json\r\n",
                                           .token = token,
                                           .body = body,
                                           .cancel_fd = cancel_fd};
    enum status status = client_call(c, &request, a);
    return status == STATUS_INVALID && client_is_unidentified(a) ? STATUS_DENIED : status;
}

enum status gateway_log_in(struct client *c, int cancel_fd, char **token, struct client_answer *a)
{
    *token = NULL;
    json_t *body = json_pack("{s:s,s:s}", "name", identity_name(), "password", identity_password());
    CHECK(body != NULL); /* both are UTF-8 */
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    enum status status = call_as(c, "/v3/auth/authenticate", NULL, slice_str(text), cancel_fd, a);
    mem_free(text);
    if (status == STATUS_INVALID &&
        strcmp(a->error, "etcdserver: authentication is not enabled") == 0) {
        return STATUS_OK;
    }
    const char *told = status == STATUS_OK ? client_answer_string(a, "token") : NULL;
    if (status == STATUS_OK && (told == NULL || told[strcspn(told, "\r\n")] != '\0')) {
        return STATUS_CORRUPT; /* it becomes a line of a header */
    }
    if (told != NULL) {
        *token = mem_strdup(told);
        keep_token(told);
    }
    return status;
}

static enum status call_identified(struct client *c, const char *target, struct slice body,
                                   int cancel_fd, struct client_answer *a)
{
    char *token = copy_token();
    bool is_old = token != NULL;
    enum status status = is_old ? STATUS_OK : gateway_log_in(c, cancel_fd, &token, a);
    if (status == STATUS_OK) {
        status = call_as(c, target, token, body, cancel_fd, a);
    }
    mem_free(token);
    if (is_old && a->http_status == 401) { /* its time is over */
        keep_token(NULL);
        return call_identified(c, target, body, cancel_fd, a);
    }
    return status;
}

enum status gateway_call(struct client *c, const char *target, json_t *body, int cancel_fd,
                         struct client_answer *a)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    enum status status = identity_name() != NULL
                             ? call_identified(c, target, slice_str(text), cancel_fd, a)
                             : call_as(c, target, NULL, slice_str(text), cancel_fd, a);
    mem_free(text);
    return status == STATUS_OK && !json_is_object(a->json) ? STATUS_CORRUPT : status;
}

/* --- values ----------------------------------------------------------------------------------- */

json_t *gateway_bytes(struct slice bytes)
{
    size_t size = sodium_base64_ENCODED_LEN(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    char *text = mem_alloc(size);
    sodium_bin2base64(text, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    json_t *string = json_string(text);
    mem_free(text);
    return string;
}

json_t *gateway_number(uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return json_string(text);
}

bool gateway_read_bytes(const json_t *object, const char *name, struct buf *out)
{
    const json_t *member = json_object_get(object, name);
    if (member == NULL) {
        return true;
    }
    const char *text = json_string_value(member);
    if (text == NULL) {
        return false;
    }
    size_t size = strlen(text);
    size_t used = 0;
    bool is_read = sodium_base642bin(buf_reserve(out, size + 1), size + 1, text, size, NULL, &used,
                                     NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
    out->size += is_read ? used : 0;
    return is_read;
}

uint64_t gateway_read_number(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    if (json_is_string(member)) {
        return strtoull(json_string_value(member), NULL, 10);
    }
    double number = json_number_value(member);
    return number >= 0 && number < 9e15 ? (uint64_t)number : 0;
}
