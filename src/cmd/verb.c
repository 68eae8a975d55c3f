#include "cmd/verb.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/suggest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *program = "conclave";

const char *verb_program(void)
{
    return program;
}

/* --- messages --------------------------------------------------------------------------------- */

static void complain(const char *verb, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void complain(const char *verb, const char *format, va_list args)
{
    struct buf line = {0};
    buf_printf(&line, "%s: ", verb);
    char text[2048];
    vsnprintf(text, sizeof(text), format, args);
    buf_printf(&line, "%s\n", text);
    fwrite(line.data, 1, line.size, stderr);
    buf_deinit(&line);
}

void verb_complain(const struct options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(o->verb, format, args);
    va_end(args);
}

int verb_refuse(const struct options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(o->verb, format, args);
    va_end(args);
    fprintf(stderr, "Try `%s --help`.\n", o->verb);
    return EXIT_USAGE;
}

static int refuse_words(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse_words(const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(path, format, args);
    va_end(args);
    fprintf(stderr, "Try `%s --help`.\n", path);
    return EXIT_USAGE;
}

/* --- help ------------------------------------------------------------------------------------- */

#define HELP_COLUMN_MAX 30

static void help_row(FILE *out, const char *left, size_t column, const char *right)
{
    if (strlen(left) > column) {
        fprintf(out, "  %s\n  %*s  %s", left, (int)column, "", right);
    } else {
        fprintf(out, "  %-*s  %s", (int)column, left, right);
    }
}

static void help_option(FILE *out, const struct option *row)
{
    char left[128];
    const char *unit = row->unit != NULL ? row->unit : "";
    if (row->letter != 0) {
        snprintf(left, sizeof(left), "-%c, --%s %s", row->letter, row->name, unit);
    } else {
        snprintf(left, sizeof(left), "--%s %s", row->name, unit);
    }
    help_row(out, left, HELP_COLUMN_MAX, row->meaning);
    if (row->fallback != NULL && row->type != OPTION_BOOL) {
        fprintf(out, " (default %s)", row->fallback);
    }
    if (row->env != NULL) {
        fprintf(out, " [%s]", row->env);
    }
    fputc('\n', out);
}

static void help_children(FILE *out, const struct verb *v)
{
    size_t column = 0;
    for (size_t i = 0; i < v->child_count; i++) {
        const struct verb *c = &v->children[i];
        size_t size = strlen(c->name) + (c->arguments != NULL ? strlen(c->arguments) + 1 : 0);
        column = size > column ? size : column;
    }
    column = column > HELP_COLUMN_MAX ? HELP_COLUMN_MAX : column;
    fputs("\nVerbs:\n", out);
    for (size_t i = 0; i < v->child_count; i++) {
        const struct verb *c = &v->children[i];
        char left[128];
        snprintf(left, sizeof(left), "%s%s%s", c->name, c->arguments != NULL ? " " : "",
                 c->arguments != NULL ? c->arguments : "");
        help_row(out, left, column, c->summary);
        fputc('\n', out);
    }
}

static void print_help(FILE *out, const struct verb *v, const char *path)
{
    fprintf(out, "%s - %s\n\nUsage: %s", path, v->summary, path);
    if (v->children != NULL) {
        fputs(" VERB", out);
    }
    if (v->option_count > 0 || v->children != NULL) {
        fputs(" [flags]", out);
    }
    fprintf(out, "%s%s\n", v->arguments != NULL ? " " : "",
            v->arguments != NULL ? v->arguments : "");
    if (v->details != NULL) {
        fprintf(out, "\n%s", v->details);
    }
    if (v->children != NULL) {
        help_children(out, v);
    }
    if (v->option_count > 0) {
        fputs("\nFlags:\n", out);
        for (size_t i = 0; i < v->option_count; i++) {
            help_option(out, &v->options[i]);
        }
        if (v->is_configurable) {
            fputs("\nEvery flag is also an environment variable: CONCLAVE_ and the flag in "
                  "capitals,\n"
                  "with _ for -. Names in brackets are read after that; then comes the file of\n"
                  "--config, then the default.\n",
                  out);
        }
    }
    if (v->examples != NULL) {
        fprintf(out, "\nExamples:\n%s", v->examples);
    }
    if (v->children != NULL) {
        fprintf(out, "\n`%s VERB --help` tells more about a verb.\n", path);
    }
}

/* --- finding and running ---------------------------------------------------------------------- */

static bool asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int check_argument_count(const struct verb *v, const struct options *o)
{
    const char *wanted = v->arguments != NULL ? v->arguments : "none";
    if (o->argument_count < v->arguments_min) {
        return verb_refuse(o, "an argument is missing; the arguments are: %s", wanted);
    }
    if (o->argument_count > v->arguments_max) {
        return verb_refuse(o, "one argument too many: \"%.100s\"; the arguments are: %s",
                           o->arguments[v->arguments_max], wanted);
    }
    return EXIT_DONE;
}

static int run_leaf(const struct verb *v, const char *path, int argc, char **argv)
{
    struct options o;
    options_init(&o, path, v->options, v->option_count);
    int code = EXIT_DONE;
    enum status status = options_read_arguments(&o, argc, argv);
    if (status == STATUS_OK && !v->is_configurable) {
        status = options_read_environment(&o, false);
    }
    if (status == STATUS_OK && !v->is_configurable) {
        status = options_apply_defaults(&o);
    }
    if (status != STATUS_OK) {
        code = verb_refuse(&o, "%s", options_error(&o));
    } else {
        code = check_argument_count(v, &o);
    }
    if (code == EXIT_DONE && v->prepare != NULL) {
        code = v->prepare(&o);
    }
    if (code == EXIT_DONE) {
        code = v->run(&o);
    }
    options_deinit(&o);
    return code;
}

static int refuse_verb(const struct verb *group, const char *path, const char *word)
{
    struct suggestion s = suggestion_of(word);
    for (size_t i = 0; i < group->child_count; i++) {
        suggestion_offer(&s, group->children[i].name);
    }
    const char *kind = word[0] == '-' ? "flag" : "verb";
    if (s.best != NULL) {
        return refuse_words(path, "unknown %s \"%.100s\"; did you mean %s?", kind, word, s.best);
    }
    int code = refuse_words(path, "unknown %s \"%.100s\"", kind, word);
    if (word[0] != '-') {
        fputc('\n', stderr);
        print_help(stderr, group, path); /* row B13: nothing near it, so all there is */
    }
    return code;
}

/* argv[0] is the first word after `path`. */
static int run_verb(const struct verb *v, const char *path, int argc, char **argv)
{
    if (v->children == NULL) {
        if (asks_help(argc, argv)) {
            print_help(stdout, v, path);
            return EXIT_DONE;
        }
        return run_leaf(v, path, argc, argv);
    }
    if (argc == 0) {
        print_help(stderr, v, path);
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        print_help(stdout, v, path);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < v->child_count; i++) {
        if (strcmp(v->children[i].name, argv[0]) == 0) {
            char *inner = mem_printf("%s %s", path, argv[0]);
            int code = run_verb(&v->children[i], inner, argc - 1, argv + 1);
            mem_free(inner);
            return code;
        }
    }
    return refuse_verb(v, path, argv[0]);
}

/* `conclave help put` is `conclave put --help`. */
static int run_help(const struct verb *root, int argc, char **argv)
{
    struct buf path = {0};
    buf_append_str(&path, root->name);
    const struct verb *v = root;
    int code = EXIT_DONE;
    for (int i = 0; code == EXIT_DONE && i < argc; i++) {
        const struct verb *next = NULL;
        for (size_t k = 0; k < v->child_count; k++) {
            if (strcmp(v->children[k].name, argv[i]) == 0) {
                next = &v->children[k];
            }
        }
        if (next == NULL) {
            code = refuse_verb(v, root->name, argv[i]);
        } else {
            buf_printf(&path, " %s", argv[i]);
            v = next;
        }
    }
    if (code == EXIT_DONE) {
        buf_append_byte(&path, 0);
        print_help(stdout, v, (const char *)path.data);
    }
    buf_deinit(&path);
    return code;
}

int verb_main(const struct verb *root, int argc, char **argv)
{
    CHECK(root->children != NULL);
    if (argc > 0) {
        program = argv[0];
    }
    int code;
    if (argc > 1 && strcmp(argv[1], "help") == 0) {
        code = run_help(root, argc - 2, argv + 2);
    } else if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("conclave " CONCLAVE_VERSION);
        code = EXIT_DONE;
    } else {
        code = run_verb(root, root->name, argc - 1, argv + 1);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: cannot write to stdout\n", root->name);
        return code == EXIT_DONE ? EXIT_VERDICT : code;
    }
    return code;
}
