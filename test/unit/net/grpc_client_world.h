/* A client of gRPC on the production loop and its log, with our own server, or with one that says
 * what the test wants. */
#pragma once

#include "base/limits.h"
#include "net/grpc_client.h"
#include "uv_story.h"

#define TOLD_CALLS_MAX 2000

/* A call and what was heard of it. */
struct told_call {
    struct grpc_client_call call; /* first */
    struct client_story *story;
    uint32_t message_count;
    struct buf last;
    uint32_t end_count;
    enum grpc_code code;
    bool is_answer;
    char text[256];
};

/* A server by hand: what it says when, and what it heard. */
struct hand_server {
    struct slice answer;  /* said at the first bytes that come */
    bool closes;          /* after the answer */
    bool resets;          /* at the first bytes, instead */
    uint32_t chunk_count; /* pieces in which bytes came */
    uint32_t call_count;  /* HEADERS frames in the first of them */
    struct conn *conn;
};

struct client_story {
    struct story story; /* first */
    struct grpc_client *client;
    struct grpc_client_conn *conn;
    struct told_call calls[TOLD_CALLS_MAX];
    uint32_t begun;
    uint32_t ended;
    uint32_t stop_after; /* calls that ended; then the connection is closed. 0 = when it closes */
    uint32_t opened;
    uint32_t closed;
    enum status why;
    char why_text[256];
    struct hand_server hand;
    /* What the test adds; may be NULL. After the notes above are made. */
    void (*on_open)(struct client_story *s);
    void (*on_message)(struct told_call *t, struct slice message);
    void (*on_end)(struct told_call *t);
};

/* The paths of our own server: /echo/x sends each message back and finishes when the client has
 * ended; /early/x finishes with the first message; /token/x answers with the metadata
 * `authorization`; /refuse/x ends at once, NOT_FOUND REFUSAL_TEXT;
 * /wait/x never. */
#define REFUSAL_TEXT "no such thing: 100% \xc3\xa9\n"

void client_story_begin(struct client_story *s);
/* The same against `hand`, which is set before. */
void client_story_begin_by_hand(struct client_story *s, const struct hand_server *hand);
/* Connect, and run until the connection is closed. */
void client_story_run(struct client_story *s);
/* Of what its calls hold. */
void client_story_free(struct client_story *s);
/* The next unary call. */
struct told_call *client_story_call(struct client_story *s, const char *path, const char *message);
/* The next stream. */
struct told_call *client_story_stream(struct client_story *s, const char *path);
/* Let our own server leave: as a member does at its end. */
void client_story_drain(struct client_story *s);
uint32_t client_story_served(void); /* calls that our own server has under way */
