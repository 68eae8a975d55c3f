/* api/api.h - HTTP for people and curl, turned into calls of the node. docs/API.md is the outside.
 *
 * Parses, checks, asks the node, and prints; keeps nothing but the requests that wait. Which file
 * does what: api.c the table of paths and the headers that every answer carries; rest_*.c and
 * probes.c the requests, one file a family; answer.c what they share.
 *
 * cmd/server.c puts it together: node, then api, then an HTTP server with api_handler, then
 * api_set_server; undone in the order server, api, node. One thread, the loop's. */
#pragma once

#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"
#include "node/node.h"

#include <stdint.h>

struct api;
struct line_file;

/* What becomes of a write that a follower gets (rule R15; contract, --on-follower). */
enum api_on_follower { API_REJECT, API_FORWARD, API_REDIRECT };

struct api_options {
    struct loop *loop; /* borrowed, like node */
    struct node *node;
    /* For writes that do not say ?ack=. */
    enum node_ack ack;
    enum api_on_follower on_follower;
    /* One origin, "*" or "none"; NULL = "*". Copied. Only an origin given by its name may also
     * administer. */
    const char *cors_origin;
    /* Requests under names that are not known are refused (api/host.h). Strings are borrowed; each
     * may be NULL. */
    bool knows_hosts;
    const char *allowed_hosts;
    const char *advertise;
    /* Names in the answers of rows A4 to A10: leader_id instead of leaderId. */
    bool json_snake;
    bool enable_faults; /* opens /faults */
    /* A change that has waited for so long before it could be begun is refused (rule K6); 0 = none
     * is. */
    uint32_t request_timeout_ms;
    /* A longer body of a PUT is 413. */
    uint64_t value_bytes_max;
    /* Share of time that the loop works, for /status; NULL = unknown, shown as 0. */
    double (*loop_utilisation)(const struct loop *loop);
    /* Members prove by certificates who they are: one that shows none is refused at /peer. */
    bool peers_show_certificates;
    bool has_secret; /* or by a secret */
    /* Clients are asked for certificates, and may be users by them. */
    bool clients_show_certificates;
    /* Anyone who reaches the port may join (--insecure); told in /status and /cluster. */
    bool is_insecure;
    /* Further figures for /metrics, appended; NULL = none. */
    void (*more_metrics)(const void *context, struct buf *out);
    const void *more_context;
    /* What root's password is to be from now on (root_reset.h); copied. Empty: as it is. */
    struct slice root_password;
    /* Where the audit log goes (audit.h); borrowed. NULL: there is none. */
    struct line_file *audit;
};

struct api *api_create(const struct api_options *options);
/* What the HTTP server is to call; valid until api_destroy. */
const struct http_handler *api_handler(struct api *api);
/* The same for the gRPC server: the etcd v3 API (etcd_call.h). */
const struct grpc_handler *api_grpc_handler(struct api *api);
/* Whose connections and requests /status and /metrics report, both together; NULL = none. */
void api_set_servers(struct api *api, const struct http_server *http,
                     const struct grpc_server *grpc);
/* Before every turn of the node: how busy this member is, for the others. */
void api_tell_load(struct api *api);
/* Requests that still wait are forgotten without an answer. */
void api_destroy(struct api *api);
