/* cluster/json_file.h - small JSON files that others read while they are written: whole or not at
 * all. Blocks on the disk. */
#pragma once

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* Sets *detail (a new string; what was there is freed) to "path: why" and returns `status`. */
enum status json_file_fail(char **detail, enum status status, const char *path, const char *why);
/* A new file with this content, synced. OK or IO, with *detail. */
enum status MUST_CHECK json_file_write(const char *path, const json_t *json, char **detail);
/* The same, in place of `path`: first as `temporary`, which must be on the same disk and nobody
 * else's. */
enum status MUST_CHECK json_file_replace(const char *path, const char *temporary,
                                         const json_t *json, char **detail);
/* Names in the directory of `path` are on the disk from here on. */
bool json_file_sync_directory(const char *path);
