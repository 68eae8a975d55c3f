/* cmd/server_settings.h - one member's settings, whole and checked: what `conclave server` was told
 * by flags, environment and file, as the other rooms want it. */
#pragma once

#include "api/api.h"
#include "base/buf.h"
#include "base/log.h"
#include "cmd/options.h"
#include "net/tls.h"
#include "net/url.h"
#include "node/node.h"

#include <stdbool.h>

struct server_settings {
    /* name .. value_bytes_max are set; on_fatal and context are for the caller. Strings are
     * borrowed from the struct options that was read, or from this struct. */
    struct node_options node;
    const char *data_dir;
    const char *registry; /* NULL = none */
    uint32_t registry_attempts;
    const char *state_file; /* NULL = none */
    const char *audit_log;  /* NULL = none; "-" = standard output */
    uint64_t audit_log_bytes;
    const char *number; /* "2" of `server 2 4002`, or NULL */
    enum node_ack ack;
    enum api_on_follower on_follower;
    const char *cors_origin;   /* NULL = as the contract says */
    bool knows_hosts;          /* requests under other names are refused */
    const char *allowed_hosts; /* NULL = none beside what is known anyway */
    bool json_snake;
    bool enable_faults;
    uint32_t connections_max;
    uint64_t client_bytes_max;
    uint32_t streams_max;
    uint32_t idle_ms; /* 0 = as the servers have it */
    uint32_t receive_ms;
    struct log_options log;
    struct tls *tls;              /* NULL = none */
    bool peers_show_certificates; /* so members prove by these who they are */
    bool clients_show_certificates;
    bool is_insecure; /* serves others without a secret because --insecure said so */

    /* What the above points to. */
    char *data_dir_owned;
    struct url listen;
    const char *peers[LIMIT_MEMBERS];
    const char *join[LIMIT_MEMBERS];
    struct buf secret;
    struct buf root_password; /* to be set; empty = none */
};

/* The table of flags of `conclave server`, for its row among the verbs. */
enum { SERVER_OPTION_COUNT = 47 };
extern const struct option server_option_rows[SERVER_OPTION_COUNT];

/* Complete `o`, whose arguments are read already, from environment, file and defaults, and check it
 * all. INVALID: options_error says what is wrong and what would be right. Warnings are logged. `o`
 * must outlive the settings. */
enum status MUST_CHECK server_settings_read(struct options *o, struct server_settings *s);
void server_settings_deinit(struct server_settings *s);
