#include "cluster/registry.h"

#include "base/mem.h"
#include "client/client.h"
#include "cluster/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_POLL_MS 10

/* --- files ------------------------------------------------------------------------------------ */

/* All of a small file. NOT_FOUND, IO, or CORRUPT when it is longer than a registry may be. */
static enum status read_file(const char *path, struct buf *content, char **detail)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (fd < 0) {
        return errno == ENOENT ? STATUS_NOT_FOUND
                               : json_file_fail(detail, STATUS_IO, path, strerror(errno));
    }
    enum status status = STATUS_OK;
    if (fstat(fd, &about) == 0 && !S_ISREG(about.st_mode)) {
        status = json_file_fail(detail, STATUS_IO, path,
                                S_ISDIR(about.st_mode) ? "is a directory" : "is no plain file");
    }
    while (status == STATUS_OK) {
        ssize_t got = read(fd, buf_reserve(content, 4096), 4096);
        if (got == 0) {
            break;
        }
        if (got < 0) {
            status = json_file_fail(detail, STATUS_IO, path, strerror(errno));
        } else if ((content->size += (size_t)got) > LIMIT_REGISTRY_BYTES) {
            status = json_file_fail(detail, STATUS_CORRUPT, path, "is too long for a registry");
        }
    }
    close(fd);
    return status;
}

static bool is_blank(const struct buf *content)
{
    for (size_t i = 0; i < content->size; i++) {
        if (strchr(" \t\r\n", content->data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* *json stays NULL for an empty file. */
static enum status read_json(const char *path, json_t **json, char **detail)
{
    struct buf content = {0};
    json_error_t error;
    enum status status = read_file(path, &content, detail);
    if (status == STATUS_OK && !is_blank(&content)) {
        *json = json_loadb((const char *)content.data, content.size, 0, &error);
        if (*json == NULL) {
            char *why = mem_printf("is no JSON: line %d: %s", error.line, error.text);
            status = json_file_fail(detail, STATUS_CORRUPT, path, why);
            mem_free(why);
        }
    }
    buf_deinit(&content);
    return status;
}

/* --- the list --------------------------------------------------------------------------------- */

static bool copy_text(const json_t *object, const char *name, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, name));
    if (value == NULL || strlen(value) >= size) {
        return false;
    }
    snprintf(text, size, "%s", value);
    return true;
}

static bool read_entry(const json_t *item, struct registry_entry *e)
{
    *e = (struct registry_entry){0};
    json_int_t port = json_integer_value(json_object_get(item, "port"));
    e->port = port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
    const json_t *id = json_object_get(item, "id");
    if (json_is_integer(id)) {
        snprintf(e->id, sizeof(e->id), "node-%lld", (long long)json_integer_value(id));
    } else if (!copy_text(item, "id", e->id, sizeof(e->id))) {
        return false;
    }
    if (!copy_text(item, "url", e->url, sizeof(e->url))) {
        if (e->port == 0) {
            return false;
        }
        snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%u", e->port);
    }
    copy_text(item, "joinedAt", e->joined_at, sizeof(e->joined_at));
    char cluster[UUID_TEXT_SIZE];
    if (!copy_text(item, "clusterId", cluster, sizeof(cluster)) ||
        !uuid_parse(cluster, &e->cluster)) {
        e->cluster = (struct uuid){0};
    }
    return true;
}

enum status registry_read(const char *path, struct registry *r, char **detail)
{
    json_t *json = NULL;
    r->count = 0;
    enum status status = read_json(path, &json, detail);
    if (status == STATUS_OK && json != NULL && !json_is_array(json)) {
        status = json_file_fail(detail, STATUS_CORRUPT, path, "is no list of members");
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(json); i++) {
        if (r->count < LIMIT_REGISTRY_ENTRIES &&
            read_entry(json_array_get(json, i), &r->entries[r->count])) {
            r->count++;
        }
    }
    json_decref(json);
    return status;
}

static bool is_same(const struct registry_entry *a, const struct registry_entry *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->url, b->url) == 0 && a->port == b->port &&
           strcmp(a->joined_at, b->joined_at) == 0 && uuid_equal(a->cluster, b->cluster);
}

bool registry_has(const struct registry *r, const struct registry_entry *entry)
{
    uint32_t named = 0;
    bool found = false;
    for (uint32_t i = 0; i < r->count; i++) {
        named += strcmp(r->entries[i].id, entry->id) == 0 ? 1 : 0;
        found = found || is_same(&r->entries[i], entry);
    }
    return found && named == 1;
}

static void take_out(struct registry *r, uint32_t at)
{
    r->count--;
    memmove(&r->entries[at], &r->entries[at + 1], (r->count - at) * sizeof(r->entries[0]));
}

static void insert(struct registry *r, const struct registry_entry *entry)
{
    for (uint32_t i = r->count; i-- > 0;) {
        if (strcmp(r->entries[i].id, entry->id) == 0) {
            take_out(r, i);
        }
    }
    if (r->count == LIMIT_REGISTRY_ENTRIES) {
        take_out(r, 0);
    }
    r->entries[r->count++] = *entry;
}

static json_t *make_json(const struct registry *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->count; i++) {
        const struct registry_entry *e = &r->entries[i];
        json_t *item = json_object();
        json_object_set_new(item, "id", json_string(e->id));
        json_object_set_new(item, "port", json_integer(e->port));
        json_object_set_new(item, "url", json_string(e->url));
        json_object_set_new(item, "joinedAt", json_string(e->joined_at));
        if (!uuid_is_zero(e->cluster)) {
            char cluster[UUID_TEXT_SIZE];
            uuid_format(e->cluster, cluster);
            json_object_set_new(item, "clusterId", json_string(cluster));
        }
        json_array_append_new(list, item);
    }
    return list;
}

static enum status replace(const char *path, const struct registry *r, char **detail)
{
    char *next = mem_printf("%s.tmp", path); /* one writer at a time: the lock is held */
    json_t *json = make_json(r);
    enum status status = json_file_replace(path, next, json, detail);
    json_decref(json);
    mem_free(next);
    return status;
}

static enum status lock(const char *path, uint32_t wait_ms, int *fd, char **detail)
{
    char *name = mem_printf("%s.lock", path);
    enum status status = STATUS_OK;
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) {
        status = json_file_fail(detail, STATUS_IO, name, strerror(errno));
    }
    for (uint32_t waited_ms = 0; status == STATUS_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0;
         waited_ms += LOCK_POLL_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            status = json_file_fail(detail, STATUS_IO, name, strerror(errno));
        } else if (waited_ms >= wait_ms) {
            status = json_file_fail(detail, STATUS_BUSY, name, "is locked by another process");
        } else {
            client_sleep_ms(LOCK_POLL_MS);
        }
    }
    mem_free(name);
    return status;
}

enum status registry_put(const char *path, const struct registry_entry *entry, uint32_t wait_ms,
                         char **detail)
{
    struct registry *r = mem_calloc(1, sizeof(*r));
    int fd;
    enum status status = lock(path, wait_ms, &fd, detail);
    if (status == STATUS_OK) {
        status = registry_read(path, r, detail);
        if (status == STATUS_CORRUPT) {
            r->count = 0; /* the others put themselves back, too */
            status = STATUS_OK;
        }
        if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
            insert(r, entry);
            status = replace(path, r, detail);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    mem_free(r);
    return status;
}

/* --- the claim -------------------------------------------------------------------------------- */

static enum status read_claim(const char *path, struct registry_claim *claim, char **detail)
{
    json_t *json = NULL;
    char cluster[UUID_TEXT_SIZE];
    char incarnation[UUID_TEXT_SIZE];
    enum status status = read_json(path, &json, detail);
    if (status == STATUS_OK &&
        (!copy_text(json, "clusterId", cluster, sizeof(cluster)) ||
         !copy_text(json, "name", claim->name, sizeof(claim->name)) ||
         !copy_text(json, "incarnation", incarnation, sizeof(incarnation)) ||
         !uuid_parse(cluster, &claim->cluster) || !uuid_parse(incarnation, &claim->incarnation))) {
        status =
            json_file_fail(detail, STATUS_CORRUPT, path, "does not say who founded the cluster");
    }
    json_decref(json);
    return status;
}

enum status registry_claim_read(const char *path, struct registry_claim *claim, char **detail)
{
    char *name = mem_printf("%s.founder", path);
    enum status status = read_claim(name, claim, detail);
    mem_free(name);
    return status;
}

static json_t *claim_json(const struct registry_claim *claim)
{
    char cluster[UUID_TEXT_SIZE];
    char incarnation[UUID_TEXT_SIZE];
    uuid_format(claim->cluster, cluster);
    uuid_format(claim->incarnation, incarnation);
    json_t *json = json_object();
    json_object_set_new(json, "clusterId", json_string(cluster));
    json_object_set_new(json, "name", json_string(claim->name));
    json_object_set_new(json, "incarnation", json_string(incarnation));
    return json;
}

/* What link said is not asked: on a network its answer may be lost. What is there then counts. */
static enum status check_claim(const char *name, const struct registry_claim *claim, int reason,
                               char **detail)
{
    struct registry_claim found;
    enum status status = read_claim(name, &found, detail);
    if (status == STATUS_OK) {
        bool is_ours = uuid_equal(found.cluster, claim->cluster) &&
                       uuid_equal(found.incarnation, claim->incarnation);
        return is_ours ? STATUS_OK : STATUS_CONFLICT;
    }
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    bool has_no_links = reason == EPERM || reason == EOPNOTSUPP || reason == ENOSYS;
    return json_file_fail(detail, has_no_links ? STATUS_UNSUPPORTED : STATUS_IO, name,
                          strerror(reason));
}

enum status registry_claim_make(const char *path, const struct registry_claim *claim,
                                struct uuid writer, char **detail)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(writer, text);
    char *name = mem_printf("%s.founder", path);
    char *next = mem_printf("%s.%s.tmp", name, text);
    json_t *json = claim_json(claim);
    enum status status = json_file_write(next, json, detail);
    if (status == STATUS_OK) {
        int reason = link(next, name) == 0 ? 0 : errno;
        status = check_claim(name, claim, reason, detail);
        if (status == STATUS_OK && !json_file_sync_directory(name)) {
            status = json_file_fail(detail, STATUS_IO, name, strerror(errno));
        }
    }
    unlink(next);
    json_decref(json);
    mem_free(next);
    mem_free(name);
    return status;
}
