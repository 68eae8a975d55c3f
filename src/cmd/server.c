/* cmd/server.c - run one member. */
#include "base/buf.h"
#include "cmd/server_run.h"
#include "cmd/server_settings.h"
#include "cmd/verbs.h"

#include <signal.h>
#include <stdio.h>

/* Row B1. */
static void append_lesson_banner(struct buf *text, const struct server_settings *s)
{
    const char *name = s->node.name;
    buf_printf(text, "[%s] Node %s listening on port %u\n", name, s->number, s->node.listen_port);
    buf_printf(text, "[%s] Cluster file: %s\n", name, s->registry != NULL ? s->registry : "none");
    buf_printf(text, "[%s] Available endpoints:\n", name);
    buf_append_str(text, "  GET /status - Node status and role\n"
                         "  GET /cluster - All members and the leader\n"
                         "  POST /step-down - Hand leadership over (leader only)\n");
    buf_printf(text, "[%s] Press Ctrl+C to stop\n", name);
}

/* Row A2. */
static void append_banner(struct buf *text, const struct server_settings *s)
{
    const char *name = s->node.name;
    buf_printf(text, "[%s] Store Node listening on port %u\n", name, s->node.listen_port);
    buf_printf(text, "[%s] Peers: ", name);
    for (uint32_t i = 0; i < s->node.peer_count; i++) {
        buf_printf(text, "%s%s", i > 0 ? ", " : "", s->node.peers[i]);
    }
    buf_printf(text, "%s\n", s->node.peer_count == 0 ? "none" : "");
    buf_printf(text, "[%s] Available endpoints:\n", name);
    buf_append_str(text, "  GET /status - Node status and role\n"
                         "  GET /key/{key} - Get value\n"
                         "  PUT /key/{key} - Set value (leader only)\n"
                         "  DEL /key/{key} - Delete key (leader only)\n");
}

/* As one write, so that the lines of several members never mix. */
static void print_banner(const struct server_settings *s)
{
    struct buf text = {0};
    if (s->number != NULL) {
        append_lesson_banner(&text, s);
    } else {
        append_banner(&text, s);
    }
    fwrite(text.data, 1, text.size, stdout);
    fflush(stdout);
    buf_deinit(&text);
}

static int run_server(struct options *o)
{
    struct server_settings s;
    int code;
    if (server_settings_read(o, &s) != STATUS_OK) {
        code = verb_refuse(o, "%s", options_error(o));
    } else {
        signal(SIGPIPE, SIG_IGN); /* a closed connection is an answer of write, not a death */
        code = server_run(&s, print_banner);
    }
    server_settings_deinit(&s);
    return code;
}

const struct verb verb_server = {
    .name = "server",
    .summary = "run one member",
    .details =
        "Without any flag: a cluster of one on port 4000. Founding members list each other with\n"
        "--peers; they start to serve once they all have met. With --registry FILE they find each\n"
        "other through a shared file: the first founds a cluster of one, later ones join it. A\n"
        "number and a port, `server 2 4002`, say --name node-2, --listen 127.0.0.1:4002 (3000 and\n"
        "the number without a port) and --registry ./cluster.json. SIGTERM hands leadership over,\n"
        "finishes requests and ends with exit code 0.\n",
    .arguments = "[NUMBER [PORT]]",
    .examples = "  conclave server\n"
                "  conclave server --name node-1 --listen 127.0.0.1:4001 \\\n"
                "      --peers http://127.0.0.1:4002,http://127.0.0.1:4003\n"
                "  NODE_ID=node-2 PORT=4002 PEERS=http://127.0.0.1:4001,http://127.0.0.1:4003 "
                "conclave server\n"
                "  conclave server 1; conclave server 2; conclave server 3 3003\n"
                "  conclave server --name node-3 --config conclave.yaml\n",
    .options = server_option_rows,
    .option_count = SERVER_OPTION_COUNT,
    .arguments_max = 2,
    .is_configurable = true,
    .run = run_server,
};
