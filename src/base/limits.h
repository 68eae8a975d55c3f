/* base/limits.h - every bound of the system, by name, with what happens when it is reached.
 *
 * Style: a queue, buffer, list or loop without a name here is a bug. */
#pragma once

#define KIB (1024u)
#define MIB (1024u * 1024u)

/* Members. A configuration beyond is refused at the door. */
#define LIMIT_MEMBERS    16
#define LIMIT_NAME_BYTES 64
#define LIMIT_URL_BYTES  512

/* Keys and values (contract: "A key", "A value"). Beyond: 400 and 413. */
#define LIMIT_KEY_BYTES           4096
#define LIMIT_VALUE_BYTES_DEFAULT (1536u * KIB)
#define LIMIT_VALUE_BYTES_MAX     (64u * MIB)
#define LIMIT_JSON_DEPTH          64

/* HTTP/1. URL beyond: 414. Headers beyond: 431. Body beyond: 413. Idle or slow: 408 or close. */
#define LIMIT_URL_LINE_BYTES      (16u * KIB)
#define LIMIT_HEADERS_BYTES       (32u * KIB)
#define LIMIT_HEADERS_COUNT       100
#define LIMIT_PIPELINED           64    /* further requests wait in the kernel's socket buffer */
#define LIMIT_HTTP_IDLE_MS        75000 /* keep-alive without a request: closed */
#define LIMIT_HTTP_REQUEST_MS     10000 /* from the first byte of a request to its last: 408 */
#define LIMIT_HTTP_WRITE_STALL_MS 30000 /* a reader that takes nothing: closed */
#define LIMIT_CONN_UNSENT_BYTES   (1u * MIB) /* a streamed answer pauses; pipelining stops */
#define LIMIT_CONNECTIONS         16384      /* beyond: accepted and closed with 503 */

#define LIMIT_CONNECTIONS_REFUSED 256         /* being told so at a time; beyond: reset */
#define LIMIT_PIPELINED_OUT_BYTES (64u * KIB) /* of a streamed answer before its turn: it pauses */

/* TCP. After the last byte of ours was sent, the other side may take so long, and send so much,
 * until its FIN: an answer that a reset overtakes is lost. Beyond: reset. */
#define LIMIT_CONN_LINGER_MS    3000
#define LIMIT_CONN_LINGER_BYTES (16u * MIB)
#define LIMIT_READ_BYTES        (64u * KIB) /* of one connection before the next one's turn */
#define LIMIT_ACCEPT_BACKLOG    1024        /* the kernel's queue; beyond: clients try again */

/* Proposals. Beyond either: 429, nothing was written (rules O1, R14). */
#define LIMIT_UNCOMMITTED_BYTES   (64u * MIB)
#define LIMIT_UNCOMMITTED_ENTRIES 65536
#define LIMIT_WAITING_REQUESTS    65536

/* The log (rules R7, R14; architecture rule 6). */
#define LIMIT_LOG_TAIL_BYTES                                                                       \
    (16u * MIB) /* applied and durable entries are dropped from memory beyond */
#define LIMIT_PERSIST_BATCH_BYTES                                                                  \
    (256u * KIB) /* one write and sync; a larger single entry goes alone */
#define LIMIT_APPEND_BYTES      (256u * KIB) /* entries of one append message; at least one entry */
#define LIMIT_INFLIGHT_MESSAGES 64 /* a follower's window: full = probe by empty appends */
#define LIMIT_INFLIGHT_BYTES    (4u * MIB)
#define LIMIT_LOAD_BYTES        (1u * MIB) /* read back from disk at a time for a slow follower */
#define LIMIT_ENTRY_BYTES       (LIMIT_VALUE_BYTES_MAX + LIMIT_KEY_BYTES + 1024u)

/* Peers. */
#define LIMIT_FRAME_BYTES       (64u * KIB) /* longer frames: the link is cut */
#define LIMIT_PEER_UNSENT_BYTES (16u * MIB) /* further messages are dropped and told to raft */
#define LIMIT_PEER_CONNECTIONS  64          /* not yet authenticated; beyond: closed at once */
#define LIMIT_PEER_HANDSHAKE_MS 3000
