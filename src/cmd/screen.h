/* cmd/screen.h - the whole terminal, for frames, by ncurses; left as it was found whatever happens.
 *
 * Between screen_open and screen_close the terminal is in another mode. SIGABRT and the signals of
 * a crash put it back before the process ends; SIGKILL can't. One screen at a time. */
#pragma once

#include "cmd/canvas.h"

enum screen_key { SCREEN_NOTHING, SCREEN_QUIT, SCREEN_RESIZED, SCREEN_OTHER };

/* False: this terminal can't be used (TERM says what ncurses does not know). */
bool screen_open(bool has_color);
void screen_close(void);
void screen_size(uint32_t *width, uint32_t *height);
/* What does not fit is left out. */
void screen_draw(const struct canvas *c);
/* Wait for a key or a new size for at most so long; signals end the wait. */
enum screen_key screen_wait(uint32_t timeout_ms);
