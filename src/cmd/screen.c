#include "cmd/screen.h"

#include "base/check.h"

#include <curses.h>
#include <signal.h>
#include <string.h>
#include <term.h> /* defines such words as "columns" */
#include <termios.h>
#include <unistd.h>

static const int crash_signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#define CRASH_SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

static SCREEN *screen;
static struct termios modes_before;
/* Leaves the second screen and shows the cursor, for a crash, in which nothing may be computed. */
static char leave_text[128];
static size_t leave_size;

/* --- crashes ---------------------------------------------------------------------------------- */

/* Only what may be called in a signal handler. SA_RESETHAND: the signal then does what it does. */
static void on_crash(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, leave_text, leave_size);
    (void)ignored;
    tcsetattr(STDIN_FILENO, TCSANOW, &modes_before);
    raise(number);
}

static void append_capability(const char *name)
{
    const char *text = tigetstr(name);
    size_t size = text != NULL && text != (const char *)-1 ? strlen(text) : 0;
    if (size <= sizeof(leave_text) - leave_size) {
        memcpy(leave_text + leave_size, size > 0 ? text : "", size);
        leave_size += size;
    }
}

static void guard_against_crashes(void)
{
    leave_size = 0;
    append_capability("sgr0");
    append_capability("cnorm");
    append_capability("rmcup");
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < CRASH_SIGNALS; i++) {
        sigaction(crash_signals[i], &action, NULL);
    }
}

static void stop_guarding(void)
{
    for (size_t i = 0; i < CRASH_SIGNALS; i++) {
        signal(crash_signals[i], SIG_DFL);
    }
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void make_colors(void)
{
    if (has_colors() && start_color() == OK && use_default_colors() == OK) {
        init_pair(CANVAS_GOOD, COLOR_GREEN, -1);
        init_pair(CANVAS_WARN, COLOR_YELLOW, -1);
        init_pair(CANVAS_BAD, COLOR_RED, -1);
    }
}

bool screen_open(bool has_color)
{
    CHECK(screen == NULL);
    int error;
    /* Without the error, setupterm ends the process; newterm leaks where it fails. */
    if (tcgetattr(STDIN_FILENO, &modes_before) != 0 ||
        setupterm(NULL, STDOUT_FILENO, &error) != OK) {
        return false;
    }
    screen = newterm(NULL, stdout, stdin);
    if (screen == NULL) {
        return false;
    }
    guard_against_crashes();
    if (has_color) {
        make_colors();
    }
    cbreak(); /* and not raw: Ctrl-C and Ctrl-Z stay signals */
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    return true;
}

void screen_close(void)
{
    CHECK(screen != NULL);
    endwin();
    stop_guarding();
    delscreen(screen);
    screen = NULL;
}

/* --- use -------------------------------------------------------------------------------------- */

void screen_size(uint32_t *width, uint32_t *height)
{
    *width = COLS > 0 ? (uint32_t)COLS : 1;
    *height = LINES > 0 ? (uint32_t)LINES : 1;
}

static attr_t attributes_of(enum canvas_style style)
{
    switch (style) {
    case CANVAS_TITLE:
        return A_BOLD;
    case CANVAS_DIM:
        return A_DIM;
    case CANVAS_GOOD:
    case CANVAS_WARN:
    case CANVAS_BAD:
        return (attr_t)COLOR_PAIR(style); /* plain, where there are no colours */
    default:
        return A_NORMAL;
    }
}

void screen_draw(const struct canvas *c)
{
    erase();
    for (uint32_t i = 0; i < c->count; i++) {
        const struct canvas_piece *p = &c->pieces[i];
        attrset((int)attributes_of(p->style));
        mvaddstr((int)p->row, (int)p->column, p->text);
    }
    attrset(A_NORMAL);
    refresh();
}

enum screen_key screen_wait(uint32_t timeout_ms)
{
    timeout((int)timeout_ms);
    int key = getch();
    switch (key) {
    case ERR:
        return SCREEN_NOTHING;
    case KEY_RESIZE:
        return SCREEN_RESIZED;
    case 'q':
    case 'Q':
        return SCREEN_QUIT;
    default:
        return SCREEN_OTHER;
    }
}
