/* cmd/shell.c - one command after another, over any endpoint. */
#include "base/mem.h"
#include "client/followers.h"
#include "client/json_text.h"
#include "client/key_pages.h"
#include "client/log_pages.h"
#include "cmd/client_verb.h"
#include "cmd/line_input.h"
#include "cmd/log_entry.h"
#include "cmd/member_table.h"
#include "cmd/verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Completion may not keep a person waiting. */
#define COMPLETE_MS   500
#define COMPLETE_KEYS "100"
/* What `logs` shows, from the end. */
#define LOGS_ENTRIES  100

static const struct option rows[] = {
    CLIENT_CALL_ROWS("give up on a command after this time", "5s")};

struct shell {
    struct client *client;
    struct client *hasty; /* the same, for completion */
    struct followers followers;
    bool is_over;
};

struct command {
    const char *name;
    const char *usage; /* the line after "Usage: " */
    const char *meaning;
    int arguments; /* a key, and a value that may hold spaces */
    void (*run)(struct shell *s, struct slice key, struct slice value);
};

/* --- saying ----------------------------------------------------------------------------------- */

/* "Write failed (why)". The outcome of a write may be unknown, which is no failure. */
static void say_failure(const char *what, enum status status, const struct client_request *r,
                        const struct client_answer *a)
{
    bool is_open = status == STATUS_UNKNOWN || status == STATUS_NOT_CONFIRMED;
    char *why = status == STATUS_UNREACHABLE ? mem_strdup("no member takes connections")
                                             : client_explain(status, r, a);
    printf("%s %s (%s)\n", what, is_open ? "not confirmed" : "failed", why);
    mem_free(why);
}

static void say_bad_key(const char *what)
{
    printf("%s failed (a key is 1 to %d bytes of UTF-8)\n", what, LIMIT_KEY_BYTES);
}

/* One line, safe on a terminal. */
static void say_safely(const struct buf *line)
{
    struct buf safe = {0};
    output_append_safe(&safe, buf_slice(line));
    buf_append_byte(&safe, '\n');
    fwrite(safe.data, 1, safe.size, stdout);
    buf_deinit(&safe);
}

/* --- write, delete ---------------------------------------------------------------------------- */

static void run_write(struct shell *s, struct slice key, struct slice value)
{
    struct buf target = {0};
    struct buf body = {0};
    if (!client_verb_append_key(key, &target)) {
        say_bad_key("Write");
    } else if (json_text_from_user(value, &body) != STATUS_OK) {
        printf("Write failed (a value is UTF-8)\n");
    } else {
        const struct client_request request = {.method = "PUT",
                                               .target = client_verb_target(&target),
                                               .body = buf_slice(&body),
                                               .is_write = true};
        struct client_answer a = {0};
        enum status status = client_call(s->client, &request, &a);
        if (status == STATUS_OK) {
            printf("Write successful\n");
        } else {
            say_failure("Write", status, &request, &a);
        }
        client_answer_deinit(&a);
    }
    buf_deinit(&target);
    buf_deinit(&body);
}

static void run_delete(struct shell *s, struct slice key, struct slice value)
{
    (void)value;
    struct buf target = {0};
    if (!client_verb_append_key(key, &target)) {
        say_bad_key("Delete");
    } else {
        const struct client_request request = {
            .method = "DELETE", .target = client_verb_target(&target), .is_write = true};
        struct client_answer a = {0};
        enum status status = client_call(s->client, &request, &a);
        if (status == STATUS_OK) {
            printf("Delete successful\n");
        } else {
            say_failure("Delete", status, &request, &a);
        }
        client_answer_deinit(&a);
    }
    buf_deinit(&target);
}

/* --- read, show ------------------------------------------------------------------------------- */

/* Takes `why`. */
static void say_no_read(char *why)
{
    printf("Key not found or all followers are down (%s)\n", why);
    mem_free(why);
}

static void run_read(struct shell *s, struct slice key, struct slice value)
{
    (void)value;
    struct buf target = {0};
    if (!client_verb_append_key(key, &target)) {
        say_bad_key("Read");
        buf_deinit(&target);
        return;
    }
    const struct client_request request = {.method = "GET", .target = client_verb_target(&target)};
    struct client_answer a = {0};
    enum status status = followers_read(&s->followers, &request, &a);
    if (status == STATUS_OK) {
        struct buf line = {0};
        buf_append_str(&line, "Read ");
        buf_append_slice(&line, key);
        buf_append_byte(&line, '=');
        client_verb_append_member(&line, client_answer_text(&a), "value");
        buf_printf(&line, " from %s", a.node);
        say_safely(&line);
        buf_deinit(&line);
    } else if (status == STATUS_NOT_FOUND) {
        say_no_read(mem_printf("%s has no such key", a.node));
    } else if (status == STATUS_UNREACHABLE) {
        say_no_read(mem_strdup("no follower takes connections"));
    } else {
        say_no_read(client_explain(status, &request, &a));
    }
    client_answer_deinit(&a);
    buf_deinit(&target);
}

static size_t show_items(struct slice items)
{
    size_t count = 0;
    struct slice item;
    while (json_text_next(&items, &item)) {
        struct buf line = {0};
        client_verb_append_member(&line, item, "key");
        buf_append_str(&line, " = ");
        client_verb_append_member(&line, item, "value");
        say_safely(&line);
        buf_deinit(&line);
        count++;
    }
    return count;
}

static void run_show(struct shell *s, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    const struct key_pages_options all = {.prefix = "", .values = true};
    struct key_pages pages;
    key_pages_init(&pages, s->client, &all);
    enum status status = STATUS_OK;
    size_t count = 0;
    while (status == STATUS_OK && key_pages_has_more(&pages)) {
        struct client_request request;
        struct client_answer a = {0};
        struct slice items;
        status = key_pages_fetch(&pages, &request, &a, &items);
        if (status == STATUS_OK) {
            count += show_items(items);
        } else {
            say_failure("Show", status, &request, &a);
        }
        client_answer_deinit(&a);
    }
    if (status == STATUS_OK && count == 0) {
        printf("(empty)\n");
    }
    key_pages_deinit(&pages);
}

/* --- logs ------------------------------------------------------------------------------------- */

/* "Log #7: WRITE key='a' value='b' (2026-01-31 12:00:00)" */
static void say_entry(struct slice json)
{
    struct log_entry e;
    log_entry_read(&e, json);
    struct buf line = {0};
    buf_append_str(&line, "Log #");
    buf_append_slice(&line, buf_slice(&e.id));
    buf_append_str(&line, ": ");
    for (size_t i = 0; i < e.type.size; i++) {
        buf_append_byte(&line, (uint8_t)toupper(e.type.data[i]));
    }
    if (e.key.size > 0) {
        buf_append_str(&line, " key='");
        buf_append_slice(&line, buf_slice(&e.key));
        buf_append_byte(&line, '\'');
    }
    if (e.value.size > 0) {
        buf_append_str(&line, " value='");
        client_verb_append_member(&line, json, "value");
        buf_append_byte(&line, '\'');
    }
    if (e.revision.size > 0) {
        buf_append_str(&line, " below revision ");
        buf_append_slice(&line, buf_slice(&e.revision));
    }
    if (e.time[0] != '\0') {
        buf_printf(&line, " (%s)", e.time);
    }
    say_safely(&line);
    buf_deinit(&line);
    log_entry_deinit(&e);
}

/* What is not shown is not forgotten to be said. */
static void say_entries(struct slice entries, bool is_first)
{
    struct slice json;
    while (json_text_next(&entries, &json)) {
        struct buf id = {0};
        client_verb_append_member(&id, json, "id");
        if (is_first && !slice_equal(buf_slice(&id), slice_str("1"))) {
            printf("(earlier entries are not shown)\n");
        }
        buf_deinit(&id);
        is_first = false;
        say_entry(json);
    }
}

static void run_logs(struct shell *s, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    const struct log_pages_options last = {.limit = LOGS_ENTRIES};
    struct log_pages pages;
    log_pages_init(&pages, s->client, &last);
    enum status status = STATUS_OK;
    for (bool is_first = true; status == STATUS_OK && log_pages_has_more(&pages);
         is_first = false) {
        struct client_request request;
        struct client_answer a = {0};
        struct slice entries;
        status = log_pages_fetch(&pages, &request, &a, &entries);
        if (status == STATUS_OK) {
            say_entries(entries, is_first);
        } else {
            say_failure("Logs", status, &request, &a);
        }
        client_answer_deinit(&a);
    }
}

/* --- status, help, exit ----------------------------------------------------------------------- */

static void run_status(struct shell *s, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    const struct client_request request = {.method = "GET", .target = "/cluster"};
    struct client_answer a = {0};
    enum status status = client_call(s->client, &request, &a);
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(a.json, "cluster"), i, member)
    {
        struct member_texts texts;
        member_table_texts(member, &texts);
        const char *name = json_string_value(json_object_get(member, "id"));
        if (json_is_true(json_object_get(member, "online"))) {
            printf("%s: UP (%s)\n", name != NULL ? name : "?", texts.role);
        } else {
            printf("%s: DOWN\n", name != NULL ? name : "?");
        }
    }
    if (status != STATUS_OK) {
        say_failure("Status", status, &request, &a);
    }
    client_answer_deinit(&a);
}

static void run_help(struct shell *s, struct slice key, struct slice value);

static void run_exit(struct shell *s, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    s->is_over = true;
}

static const struct command commands[] = {
    {"write", "write <key> <value>", "store a value, which may hold spaces", 2, run_write},
    {"read", "read <key>", "read it from a follower chosen by chance", 1, run_read},
    {"delete", "delete <key>", "delete a key", 1, run_delete},
    {"show", "show", "all keys with their values, sorted", 0, run_show},
    {"logs", "logs", "the last entries of the replicated log", 0, run_logs},
    {"status", "status", "who is up, and in which role", 0, run_status},
    {"help", "help", "this list", 0, run_help},
    {"exit", "exit", "leave, as the end of input does", 0, run_exit},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void run_help(struct shell *s, struct slice key, struct slice value)
{
    (void)s;
    (void)key;
    (void)value;
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("  %-20s %s\n", commands[i].usage, commands[i].meaning);
    }
}

static void say_unknown(void)
{
    printf("Unknown command. Use ");
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("%s%s", i == 0 ? "" : i + 1 < COMMANDS ? ", " : " or ", commands[i].name);
    }
    printf("\n");
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Cut the first word off; what remains has no spaces around it. */
static struct slice take_word(struct slice *rest)
{
    struct slice s = slice_trim(*rest);
    size_t size = 0;
    while (size < s.size && !slice_is_space(s.data[size])) {
        size++;
    }
    *rest = size < s.size ? slice_trim(slice_of(s.data + size, s.size - size)) : slice_of(NULL, 0);
    return slice_of(s.data, size);
}

static void run_command(struct shell *s, const struct command *c, struct slice rest)
{
    struct slice key = slice_of(NULL, 0);
    if (c->arguments > 0) {
        key = take_word(&rest);
    }
    bool has_value = rest.size > 0;
    if ((c->arguments > 0 && key.size == 0) || has_value != (c->arguments > 1)) {
        printf("Usage: %s\n", c->usage);
    } else {
        c->run(s, key, rest);
    }
}

static void run_line(struct shell *s, struct slice line)
{
    struct slice rest = line;
    struct slice word = take_word(&rest);
    if (word.size == 0) {
        return;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (slice_equal(word, slice_str(commands[i].name))) {
            run_command(s, &commands[i], rest);
            return;
        }
    }
    say_unknown();
}

/* --- completion ------------------------------------------------------------------------------- */

static bool is_completable(const struct buf *key)
{
    for (size_t i = 0; i < key->size; i++) {
        if (key->data[i] <= ' ' || key->data[i] == 0x7f) {
            return false; /* a word of the line could not hold it */
        }
    }
    return key->size > 0;
}

static void propose_keys(const struct shell *s, const char *word, struct buf *words)
{
    struct buf target = {0};
    buf_append_str(&target, "/keys?consistency=stale&limit=" COMPLETE_KEYS);
    if (word[0] != '\0') {
        client_verb_query(&target, "prefix", word);
    }
    const struct client_request request = {.method = "GET", .target = client_verb_target(&target)};
    struct client_answer a = {0};
    struct slice items;
    struct slice item;
    if (client_call(s->hasty, &request, &a) == STATUS_OK &&
        json_is_array(json_object_get(a.json, "keys")) &&
        json_text_member(client_answer_text(&a), "keys", &items)) {
        while (json_text_next(&items, &item)) {
            struct buf key = {0};
            client_verb_append_member(&key, item, "key");
            if (is_completable(&key)) {
                buf_append_slice(words, buf_slice(&key));
                buf_append_byte(words, 0);
            }
            buf_deinit(&key);
        }
    }
    client_answer_deinit(&a);
    buf_deinit(&target);
}

static void propose(void *context, const char *before, const char *word, struct buf *words)
{
    struct slice rest = slice_str(before);
    struct slice command = take_word(&rest);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (command.size == 0) {
            buf_append(words, commands[i].name, strlen(commands[i].name) + 1);
        } else if (rest.size == 0 && commands[i].arguments > 0 &&
                   slice_equal(command, slice_str(commands[i].name))) {
            propose_keys(context, word, words);
        }
    }
}

/* --- the verb --------------------------------------------------------------------------------- */

static void talk(struct shell *s)
{
    struct buf line = {0};
    while (!s->is_over) {
        enum line_result result = line_input_next(&line);
        if (result == LINE_END) {
            s->is_over = true;
        } else if (result == LINE_TOO_LONG) {
            printf("The line is longer than %u bytes, and was left out\n", LIMIT_SHELL_LINE_BYTES);
        } else {
            run_line(s, buf_slice(&line));
        }
        fflush(stdout);
    }
    buf_deinit(&line);
}

static struct client *open_hasty(const struct options *o)
{
    struct client_options options = {.timeout_ms = COMPLETE_MS};
    options.endpoints = client_verb_endpoints(o, &options.endpoint_count);
    return client_create(&options);
}

static int run_shell(struct options *o)
{
    struct shell s = {.client = client_verb_open(o), .hasty = open_hasty(o)};
    followers_init(&s.followers, s.client, (uint32_t)options_number(o, CLIENT_TIMEOUT));
    const struct line_input_options input = {.prompt = "conclave> ",
                                             .history_name = "shell_history",
                                             .complete = propose,
                                             .context = &s};
    bool is_terminal = line_input_open(&input);
    if (is_terminal) {
        printf("Conclave " CONCLAVE_VERSION ". `help` lists the commands, Ctrl-D leaves.\n");
    }
    talk(&s);
    line_input_close();
    followers_deinit(&s.followers);
    client_destroy(s.hasty);
    client_destroy(s.client);
    return EXIT_DONE;
}

const struct verb verb_shell = {
    .name = "shell",
    .summary = "write, read and look around, one command a line",
    .details =
        "Commands: write <key> <value>, read <key>, delete <key>, show, logs, status, help,\n"
        "exit.\n"
        "A value is stored as it is if it is JSON, else as a JSON string; it may hold spaces, "
        "those\n"
        "around it are left out. read asks a follower chosen by chance, and says which.\n"
        "A command that fails says why, and the shell goes on; the end of input ends it with 0.\n"
        "On a terminal Tab completes commands and keys, and lines are remembered in\n"
        "~/.local/state/conclave/shell_history.\n",
    .examples = "  conclave shell\n"
                "  printf 'write name Alice\\nread name\\n' | conclave shell\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_shell,
};
