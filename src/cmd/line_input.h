/* cmd/line_input.h - a person's or a pipe's commands, line by line.
 *
 * On a terminal (stdin and stdout) with editing, completion and history, by libedit; from anything
 * else as the bytes come, without a prompt. History is kept in a file of the user's state
 * directory, readable for that user alone. libedit has state of its own in globals, so there is one
 * input at a time. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* A person's proposals for the word at the cursor. `words` gets them zero-terminated, one behind
 * the other; those that do not begin with `word` are ignored. `before` is the line up to it. */
typedef void line_complete_fn(void *context, const char *before, const char *word,
                              struct buf *words);

struct line_input_options {
    const char *prompt;
    const char *history_name;   /* of the file; kept in memory only where there is no directory */
    line_complete_fn *complete; /* may be NULL */
    void *context;
};

enum line_result { LINE_READ, LINE_TOO_LONG, LINE_END };

/* True: on a terminal. Everything in `options` is borrowed until line_input_close. */
bool line_input_open(const struct line_input_options *options);
/* The next line without its end, in `line`, which is cleared first. LINE_TOO_LONG: it was longer
 * than LIMIT_SHELL_LINE_BYTES and is skipped whole. A last line without a newline counts. */
enum line_result line_input_next(struct buf *line);
/* Saves the history. */
void line_input_close(void);
