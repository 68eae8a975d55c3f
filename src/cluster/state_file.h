/* cluster/state_file.h - the members, who leads, and their load, in a file for others to read
 * (--state-file, row E5).
 *
 * What is in it is the leader's view (node_view), so that all members keep the same content; it is
 * replaced whole, by a thread of its own, because a file may hang and a member may not. Between two
 * writes only the newest view counts. A file that cannot be written is told once and tried again
 * every second; the member goes on. */
#pragma once

#include "node/node.h"

struct state_file;

/* `name` is this member's; both are borrowed. OK, or INVALID: there can be no such file, and
 * *detail, a new string, says why. */
enum status MUST_CHECK state_file_open(const char *path, const char *name, struct state_file **f,
                                       char **detail);
/* After every turn, on the loop thread; nothing while the view is the same. `f` may be NULL. */
void state_file_keep(struct state_file *f, const struct node_view *view);
/* Writes what is not written yet. A thread that hangs is left behind after a second. */
void state_file_close(struct state_file *f);
