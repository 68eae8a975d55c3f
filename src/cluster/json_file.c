#include "cluster/json_file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum status json_file_fail(char **detail, enum status status, const char *path, const char *why)
{
    mem_free(*detail);
    *detail = mem_printf("%s: %s", path, why);
    return status;
}

bool json_file_sync_directory(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(copy);
    bool is_done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_done;
}

enum status json_file_write(const char *path, const json_t *json, char **detail)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return json_file_fail(detail, STATUS_IO, path, strerror(errno));
    }
    bool is_done =
        json_dumpfd(json, fd, JSON_INDENT(2)) == 0 && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    int reason = errno;
    is_done = close(fd) == 0 && is_done;
    return is_done ? STATUS_OK : json_file_fail(detail, STATUS_IO, path, strerror(reason));
}

enum status json_file_replace(const char *path, const char *temporary, const json_t *json,
                              char **detail)
{
    enum status status = json_file_write(temporary, json, detail);
    if (status == STATUS_OK && (rename(temporary, path) != 0 || !json_file_sync_directory(path))) {
        status = json_file_fail(detail, STATUS_IO, path, strerror(errno));
    }
    return status;
}
