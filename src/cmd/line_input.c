#include "cmd/line_input.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <editline/readline.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    struct line_input_options options;
    bool is_open;
    bool is_terminal;
    char *history_path; /* NULL = not kept */
    struct buf words;   /* proposals for the word being completed */
    size_t next_word;
} input;

/* --- history ---------------------------------------------------------------------------------- */

/* $XDG_STATE_HOME/conclave/NAME, else ~/.local/state/conclave/NAME, with the folders made; NULL
 * when they can't be. */
static char *make_history_path(const char *name)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *dir;
    if (state != NULL && state[0] == '/') {
        dir = mem_printf("%s/conclave", state);
    } else if (home != NULL && home[0] == '/') {
        dir = mem_printf("%s/.local/state/conclave", home);
    } else {
        return NULL;
    }
    for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0700);
        *slash = '/';
    }
    mkdir(dir, 0700);
    char *path = access(dir, W_OK) == 0 ? mem_printf("%s/%s", dir, name) : NULL;
    mem_free(dir);
    return path;
}

static void load_history(void)
{
    using_history();
    stifle_history(LIMIT_SHELL_HISTORY);
    input.history_path = make_history_path(input.options.history_name);
    if (input.history_path != NULL) {
        read_history(input.history_path);
    }
}

/* What was written may be secret. */
static void save_history(void)
{
    if (input.history_path != NULL) {
        mode_t old = umask(077);
        write_history(input.history_path);
        umask(old);
    }
    mem_free(input.history_path);
    input.history_path = NULL;
}

static void remember(const char *line)
{
    const HIST_ENTRY *last =
        history_length > 0 ? history_get(history_base + history_length - 1) : NULL;
    bool is_blank = line[strspn(line, " \t")] == '\0';
    if (!is_blank && (last == NULL || strcmp(last->line, line) != 0)) {
        add_history(line);
    }
}

/* --- completion ------------------------------------------------------------------------------- */

/* libedit asks for one proposal after another, and frees them. */
static char *next_proposal(const char *word, int state)
{
    if (state == 0) {
        input.next_word = 0;
    }
    while (input.next_word < input.words.size) {
        const char *proposal = (const char *)input.words.data + input.next_word;
        input.next_word += strlen(proposal) + 1;
        if (strncmp(proposal, word, strlen(word)) == 0) {
            return mem_strdup(proposal);
        }
    }
    return NULL;
}

static char **propose(const char *word, int start, int end)
{
    (void)end;
    char *before = mem_strndup(rl_line_buffer, (size_t)start);
    buf_clear(&input.words);
    input.options.complete(input.options.context, before, word, &input.words);
    mem_free(before);
    rl_attempted_completion_over = 1; /* never names of files */
    return rl_completion_matches(word, next_proposal);
}

static void start_terminal(void)
{
    static char breaks[] = " \t";
    setlocale(LC_CTYPE, "");
    rl_readline_name = "conclave";
    rl_initialize();
    if (input.options.complete != NULL) {
        rl_attempted_completion_function = propose;
        rl_basic_word_break_characters = breaks;
        rl_completer_word_break_characters = breaks;
    }
    load_history();
}

/* --- lines ------------------------------------------------------------------------------------ */

bool line_input_open(const struct line_input_options *options)
{
    CHECK(!input.is_open);
    input.options = *options;
    input.is_open = true;
    input.is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (input.is_terminal) {
        start_terminal();
    }
    return input.is_terminal;
}

static enum line_result next_of_terminal(struct buf *line)
{
    char *text = readline(input.options.prompt);
    if (text == NULL) {
        putchar('\n'); /* what follows begins a line of its own */
        return LINE_END;
    }
    buf_append_str(line, text);
    remember(text);
    mem_free(text);
    return LINE_READ;
}

static enum line_result next_of_pipe(struct buf *line)
{
    bool is_long = false;
    int c;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
        if (line->size < LIMIT_SHELL_LINE_BYTES) {
            buf_append_byte(line, (uint8_t)c);
        } else {
            is_long = true;
        }
    }
    if (c == EOF && line->size == 0) {
        return LINE_END;
    }
    return is_long ? LINE_TOO_LONG : LINE_READ;
}

enum line_result line_input_next(struct buf *line)
{
    CHECK(input.is_open);
    buf_clear(line);
    return input.is_terminal ? next_of_terminal(line) : next_of_pipe(line);
}

void line_input_close(void)
{
    CHECK(input.is_open);
    if (input.is_terminal) {
        save_history();
    }
    buf_deinit(&input.words);
    input.is_open = false;
}
