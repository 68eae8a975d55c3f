/* rest_root.c - GET /: what there is here. Links for a browser, lines for curl. */
#include "api/rest.h"

static const struct {
    const char *path;
    const char *what;
    bool is_link; /* a plain GET of it shows something */
} entries[] = {
    {"GET /status", "this member and its keys", true},
    {"GET /cluster", "every member, asked now", true},
    {"GET /live", "the members and who watches, as it happens", true},
    {"GET /events", "the same for programs: server-sent events", true},
    {"GET /dispatch/{path}", "to {path} at the member with the fewest clients", false},
    {"GET /leader", "who leads; 200 only at the leader", true},
    {"GET /key/{key}", "read a value, at any member", false},
    {"PUT /key/{key}", "write a JSON value, at the leader", false},
    {"DELETE /key/{key}", "delete a key, at the leader", false},
    {"GET /keys", "list keys; ?prefix= limit= after= delimiter= values=", true},
    {"GET /watch", "changes of keys as they happen; ?prefix= key= from=", true},
    {"GET /log", "committed entries; ?from= limit=", true},
    {"GET /replication", "how far the others are; at the leader", true},
    {"POST /write", "write a document {content}, at the leader", false},
    {"GET /read", "documents, newest first; ?limit= before=", true},
    {"POST /step-down", "hand leadership over", false},
    {"POST /election", "make this member the leader, if it may", false},
    {"GET /faults", "faults played for experiments; POST, DELETE (--enable-faults)", false},
    {"GET /livez", "is it alive", true},
    {"GET /readyz?verbose", "is it ready, and if not, why", true},
    {"GET /health", "the same for etcd's health checkers", true},
    {"GET /version", "version", true},
    {"GET /ping", "pong", true},
};
#define ENTRY_COUNT (sizeof(entries) / sizeof(entries[0]))

static void print_text(struct buf *out, const char *name)
{
    buf_printf(out, "conclave %s, member %s\n\n", CONCLAVE_VERSION, name);
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        buf_printf(out, "%-22s %s\n", entries[i].path, entries[i].what);
    }
}

/* Names are letters, digits, dots, dashes and underscores: nothing needs escaping. */
static void print_html(struct buf *out, const char *name)
{
    buf_printf(out,
               "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width\">\n"
               "<title>%s - conclave</title>\n"
               "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem}"
               "td{padding:.1rem 1rem .1rem 0}</style>\n"
               "<h1>conclave %s, member %s</h1>\n<table>\n",
               name, CONCLAVE_VERSION, name);
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const char *path = entries[i].path;
        buf_append_str(out, "<tr><td><code>");
        if (entries[i].is_link) {
            buf_printf(out, "<a href=\"%s\">%s</a>", strchr(path, '/'), path);
        } else {
            buf_append_str(out, path);
        }
        buf_printf(out, "</code><td>%s\n", entries[i].what);
    }
    buf_append_str(out, "</table>\n</html>\n");
}

void rest_root(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    const char *name = node_name(api->options.node);
    struct slice accept = http_header_find(r, "Accept");
    bool is_browser = accept.size > 0 && memmem(accept.data, accept.size, "text/html", 9) != NULL;
    struct buf body = {0};
    if (is_browser) {
        print_html(&body, name);
    } else {
        print_text(&body, name);
    }
    answer_bytes(r, 200, is_browser ? TYPE_HTML : TYPE_TEXT, "Vary: Accept\r\n", buf_slice(&body));
    buf_deinit(&body);
}
