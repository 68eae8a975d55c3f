/* cmd/backup_verbs.c - `snapshot save`: a backup from a running cluster; `snapshot restore`: a new
 * cluster from a backup. */
#include "base/check.h"
#include "base/mem.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"
#include "net/loop.h"
#include "node/restore.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define TEMPORARY_SUFFIX ".tmp"

/* --- where a file is -------------------------------------------------------------------------- */

/* As a name in a directory, which is how everything below reads and writes files (wal/disk.h). */
struct place {
    struct disk *disk;
    char *directory;
    char *name;
};

/* The directory of `path`, which must be there; the file need not be. EXIT_USAGE, and said why. */
static int open_place(const struct options *o, const char *path, struct place *place)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return verb_refuse(o, "\"%.200s\" is no name of a file", path);
    }
    place->name = mem_strdup(name);
    place->directory = slash == NULL   ? mem_strdup(".")
                       : slash == path ? mem_strdup("/")
                                       : mem_strndup(path, (size_t)(slash - path));
    struct stat info;
    char *detail = NULL;
    if (stat(place->directory, &info) != 0 || !S_ISDIR(info.st_mode)) {
        verb_complain(o, "there is no directory %s", place->directory);
        return EXIT_USAGE;
    }
    if (posix_disk_create(place->directory, &place->disk, &detail) != STATUS_OK) {
        verb_complain(o, "%s", detail);
        mem_free(detail);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static void close_place(struct place *place)
{
    if (place->disk != NULL) {
        place->disk->ops->destroy(place->disk);
    }
    mem_free(place->directory);
    mem_free(place->name);
}

/* --- save ------------------------------------------------------------------------------------- */

/* What comes goes to the temporary file, or to stdout. */
struct saved {
    struct disk_file *file; /* NULL: stdout */
    uint64_t bytes;
    enum status status;
};

static bool take_piece(void *context, struct slice piece)
{
    struct saved *s = context;
    if (s->file != NULL) {
        s->status = s->file->disk->ops->write(s->file, s->bytes, &piece, 1);
    } else if (fwrite(piece.data, 1, piece.size, stdout) != piece.size) {
        s->status = STATUS_IO;
    }
    s->bytes += piece.size;
    return s->status == STATUS_OK;
}

static int download(const struct options *o, struct saved *s)
{
    const struct http_sink sink = {.take = take_piece, .context = s};
    const struct client_request request = {.method = "GET", .target = "/snapshot", .sink = &sink};
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    int code;
    enum status status = client_call(c, &request, &a);
    if (s->status != STATUS_OK) {
        verb_complain(o, "cannot write: %s", status_text(s->status));
        code = status_exit_code(s->status);
    } else {
        code = client_verb_judge(o, status, &request, &a);
    }
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

static int complain_of_file(const struct options *o, const struct place *p, enum status s)
{
    verb_complain(o, "cannot write %s/%s: %s", p->directory, p->name, status_text(s));
    return status_exit_code(s);
}

/* Into the temporary file, to the last byte, and on the disk. */
static int download_to(const struct options *o, struct place *p, const char *temporary)
{
    struct saved saved = {0};
    CHECK(p->disk != NULL);
    const struct disk_ops *ops = p->disk->ops;
    enum status s = ops->open(p->disk, temporary, true, &saved.file);
    if (s != STATUS_OK) {
        return complain_of_file(o, p, s);
    }
    int code = EXIT_DONE;
    s = ops->truncate(saved.file, 0);
    if (s == STATUS_OK) {
        code = download(o, &saved);
        s = code == EXIT_DONE ? ops->sync(saved.file) : STATUS_OK;
    }
    enum status closed = ops->close(saved.file);
    s = s == STATUS_OK ? closed : s;
    return s == STATUS_OK ? code : complain_of_file(o, p, s);
}

static int check_saved(const struct options *o, struct place *p, const char *temporary,
                       struct backup_info *info)
{
    char *detail = NULL;
    enum status s = backup_check(p->disk, temporary, info, &detail);
    if (s != STATUS_OK) {
        verb_complain(o, "what came is no sound backup: %s",
                      detail != NULL ? detail : status_text(s));
        mem_free(detail);
        return EXIT_VERDICT;
    }
    s = p->disk->ops->rename(p->disk, temporary, p->name);
    if (s == STATUS_OK) {
        s = p->disk->ops->sync_dir(p->disk);
    }
    return s == STATUS_OK ? EXIT_DONE : complain_of_file(o, p, s);
}

static void print_saved(const struct options *o, const char *path, const struct backup_info *info)
{
    if (client_verb_format(o) == OUTPUT_TABLE) {
        printf("saved %s, revision %" PRIu64 ", every byte checked\n", path, info->revision);
        return;
    }
    if (client_verb_format(o) == OUTPUT_RAW) {
        printf("%" PRIu64 "\n", info->revision);
        return;
    }
    char cluster[UUID_TEXT_SIZE];
    uuid_format(info->cluster, cluster);
    struct buf file = {0};
    if (json_text_quote(slice_str(path), &file) != STATUS_OK) {
        buf_clear(&file);
        buf_append_str(&file, "null"); /* a path that is no text in UTF-8 */
    }
    printf("{\"file\":%.*s,\"clusterId\":\"%s\",\"index\":%" PRIu64 ",\"revision\":%" PRIu64
           ",\"stateBytes\":%" PRIu64 "}\n",
           (int)file.size, (const char *)file.data, cluster, info->index, info->revision,
           info->state_bytes);
    buf_deinit(&file);
}

static int run_save(struct options *o)
{
    const char *path = o->arguments[0];
    if (strcmp(path, "-") == 0) {
        struct saved saved = {0};
        return download(o, &saved);
    }
    struct place place = {0};
    struct backup_info info;
    int code = open_place(o, path, &place);
    if (code == EXIT_DONE) {
        char *temporary = mem_printf("%s" TEMPORARY_SUFFIX, place.name);
        code = download_to(o, &place, temporary);
        if (code == EXIT_DONE) {
            code = check_saved(o, &place, temporary, &info);
        }
        if (code == EXIT_DONE) {
            print_saved(o, path, &info);
        } else {
            (void)place.disk->ops->unlink(place.disk, temporary);
        }
        mem_free(temporary);
    }
    close_place(&place);
    return code;
}

/* --- restore ---------------------------------------------------------------------------------- */

enum { RESTORE_DATA, RESTORE_NAME, RESTORE_ADVERTISE };

static struct uuid draw_uuid(struct loop *loop)
{
    uint8_t random[16];
    loop->ops->random(loop, random, sizeof(random));
    return uuid_from_random(random);
}

static int restore_into(const struct options *o, struct place *from, struct disk *to)
{
    struct loop *loop = uv_loop_create(); /* for its randomness */
    const struct restore_options options = {.name = options_text(o, RESTORE_NAME),
                                            .url = options_text(o, RESTORE_ADVERTISE),
                                            .cluster = draw_uuid(loop),
                                            .incarnation = draw_uuid(loop),
                                            .log_id = draw_uuid(loop)};
    uv_loop_destroy(loop);
    struct restore_result r;
    char *detail = NULL;
    enum status s = restore_member(from->disk, from->name, to, &options, &r, &detail);
    if (s != STATUS_OK) {
        verb_complain(o, "%s", detail != NULL ? detail : status_text(s));
        mem_free(detail);
        return s == STATUS_CONFLICT || s == STATUS_NOT_FOUND ? EXIT_USAGE : status_exit_code(s);
    }
    printf("restored %" PRIu64 " keys", r.keys);
    if (r.documents > 0) {
        printf(" and %" PRIu64 " documents", r.documents);
    }
    printf("; revision %" PRIu64 " (the backup's was %" PRIu64 ")\n", r.revision,
           r.backup.revision);
    fprintf(stderr, "start it with: %s server --name %s --data %s\n", verb_program(), options.name,
            options_text(o, RESTORE_DATA));
    return EXIT_DONE;
}

static int run_restore(struct options *o)
{
    const char *data = options_text(o, RESTORE_DATA);
    if (data == NULL) {
        return verb_refuse(o, "--data is missing: the empty directory that the backup goes to");
    }
    struct stat info;
    if (stat(o->arguments[0], &info) != 0 || !S_ISREG(info.st_mode)) {
        verb_complain(o, "there is no file %s", o->arguments[0]);
        return EXIT_USAGE;
    }
    struct place from = {0};
    int code = open_place(o, o->arguments[0], &from);
    if (code == EXIT_DONE) {
        struct disk *to = NULL;
        char *detail = NULL;
        if (posix_disk_create(data, &to, &detail) != STATUS_OK) {
            verb_complain(o, "%s", detail);
            mem_free(detail);
            code = EXIT_USAGE;
        } else {
            code = restore_into(o, &from, to);
            to->ops->destroy(to);
        }
    }
    close_place(&from);
    return code;
}

/* --- the tables ------------------------------------------------------------------------------- */

static const struct option save_rows[] = {
    CLIENT_OPTION_ROWS_WITH("give up when nothing came for this time", "1m")};

static const struct option restore_rows[] = {
    [RESTORE_DATA] = {.name = "data",
                      .type = OPTION_TEXT,
                      .unit = "DIR",
                      .meaning = "the data directory to make; absent or empty"},
    [RESTORE_NAME] = {.name = "name",
                      .type = OPTION_TEXT,
                      .unit = "NAME",
                      .meaning = "the member's name",
                      .fallback = "node-1"},
    [RESTORE_ADVERTISE] = {.name = "advertise",
                           .type = OPTION_URL,
                           .unit = "URL",
                           .meaning = "where others will reach the member",
                           .fallback = "http://127.0.0.1:4000"},
};

static const struct verb verbs[] = {
    {.name = "save",
     .summary = "write a backup of everything to a file, while the cluster goes on",
     .arguments = "FILE",
     .arguments_min = 1,
     .arguments_max = 1,
     .details =
         "Any member can be asked; the backup is of one moment there. It is written to FILE.tmp,\n"
         "read back and checked to its last byte, and then takes the place of FILE.\n"
         "- writes it to stdout, unchecked; cut off, it is refused by restore.\n",
     .examples = "  conclave snapshot save backup.snap\n"
                 "  conclave snapshot save - --endpoints http://10.0.0.2:4000 | ssh host 'cat > "
                 "b.snap'\n",
     .options = save_rows,
     .option_count = sizeof(save_rows) / sizeof(save_rows[0]),
     .prepare = client_verb_prepare,
     .run = run_save},
    {.name = "restore",
     .summary = "make the first member of a new cluster from a backup",
     .arguments = "FILE",
     .arguments_min = 1,
     .arguments_max = 1,
     .details =
         "Everything is checked before anything is written. The new cluster has an identity of\n"
         "its own, so that members of the old one never meet it, and its revision is higher by\n"
         "1000000000, so that clients of the old one never see a revision twice; what was\n"
         "before is compacted. Start the member with `server`, then let others --join it.\n",
     .examples = "  conclave snapshot restore backup.snap --data ./node-1.conclave\n"
                 "  conclave server --name node-1 --data ./node-1.conclave\n"
                 "  conclave server --name node-2 --listen 127.0.0.1:4001 --join "
                 "http://127.0.0.1:4000\n",
     .options = restore_rows,
     .option_count = sizeof(restore_rows) / sizeof(restore_rows[0]),
     .run = run_restore},
};

const struct verb verb_snapshot = {
    .name = "snapshot",
    .summary = "save a backup, or start a new cluster from one",
    .children = verbs,
    .child_count = sizeof(verbs) / sizeof(verbs[0]),
};
