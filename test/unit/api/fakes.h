/* fakes.h - what api/ stands on, replaced at link time: an HTTP server that keeps what it is told
 * to answer, a loop that is a clock, and the node of fake_node.h.
 *
 * A test asks, gets a struct asked, looks at it, and forgets it. Every test runs between fake_setup
 * and fake_teardown. */
#pragma once

#include "fake_node.h"

#include "api/api.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define FAKE_HEADERS_MAX 8
#define FAKE_TIMEOUT_MS  2000
#define FAKE_TIMERS_MAX  4

/* One request and what came back. */
struct asked {
    struct http_request http;
    struct http_header headers[FAKE_HEADERS_MAX];
    bool begun; /* streamed */
    bool done;
    bool ends_connection; /* with its answer */
    bool aborted;
    int status;
    struct buf type;
    struct buf extra; /* headers of this answer */
    struct buf body;
    uint32_t chunks;
    size_t unsent;      /* the test says what the connection has not taken */
    const void *shared; /* where the bytes of the last shared chunk are */
};

extern struct api *fake_api;
/* Streams are told to stop after so many chunks until fake_writable. */
extern uint32_t fake_chunks_room;
/* How the next requests come; NULL at first. */
extern struct conn *fake_conn;
/* The next requests have waited so long, of FAKE_TIMEOUT_MS, before they are told. */
extern uint64_t fake_waited_ms;
/* Nothing waits to be sent; the test may say otherwise. */
extern struct loop_unsent fake_unsent;
/* So long has this turn taken. */
extern uint64_t fake_spent_ms;

int fake_setup(void **state);
int fake_teardown(void **state);
/* Replace the api by one with other options. */
void fake_restart(const char *cors_origin, enum node_ack ack);
/* As a member that listens on loopback; `allowed_hosts` may be NULL. */
void fake_restart_for_hosts(const char *allowed_hosts);
void fake_restart_on_follower(enum api_on_follower on_follower);
void fake_restart_with_faults(void);
void fake_restart_with_root_password(const char *password);
void fake_restart_with_audit(struct line_file *audit);
void fake_restart_with_root_reset(struct line_file *audit, const char *password);
/* Members show certificates, and perhaps clients as well. */
void fake_restart_with_certificates(bool of_clients);
void fake_become_follower(const char *leader);

/* Hand a request to the api. `headers`: "Name: value\n" lines or NULL. */
struct asked *ask(const char *method, const char *target, const char *headers, struct slice body);
/* The client is gone before the answer. */
void hang_up(struct asked *a);
void forget(struct asked *a);
/* The connection takes more. */
void fake_writable(struct asked *a);
/* Time passes on the loop: slow work is done, timers fire, and the node answers what waits. */
void fake_pass(uint64_t ms);
/* A second of it, in which so many requests came of each kind. */
void fake_second(uint64_t requests, uint64_t grpc_requests);
/* The headers that every answer to this request would carry. */
void common_headers_of(const struct asked *a, struct buf *out);
/* Straight into the store. */
void store(const char *key, struct slice value);
