/* base/limits.h - every bound of the system, by name, with what happens when it is reached.
 *
 * Style: a queue, buffer, list or loop without a name here is a bug. */
#pragma once

#define KIB (1024u)
#define MIB (1024u * 1024u)

/* Members. A configuration beyond is refused at the door. */
#define LIMIT_MEMBERS          16
#define LIMIT_NAME_BYTES       64
#define LIMIT_URL_BYTES        512
/* Of --registry. Further entries are not read; in a full file the oldest makes room. */
#define LIMIT_REGISTRY_ENTRIES 64
#define LIMIT_REGISTRY_BYTES   (256u * KIB)

/* Kept by each struct pool for what comes next. Beyond: given back to the system's allocator. */
#define LIMIT_POOL_SPARE_BYTES (256u * KIB)

/* Keys and values (contract: "A key", "A value"). Beyond: 400 and 413. */
#define LIMIT_KEY_BYTES           4096
#define LIMIT_VALUE_BYTES_DEFAULT (1536u * KIB)
#define LIMIT_VALUE_BYTES_MAX     (64u * MIB)
#define LIMIT_JSON_DEPTH          64

/* HTTP/1. URL beyond: 414. Headers beyond: 431. Body beyond: 413. Idle or slow: 408 or close. */
#define LIMIT_URL_LINE_BYTES        (16u * KIB)
#define LIMIT_HEADERS_BYTES         (32u * KIB)
#define LIMIT_HEADERS_COUNT         100
#define LIMIT_PIPELINED             64    /* further requests wait in the kernel's socket buffer */
#define LIMIT_HTTP_IDLE_MS          75000 /* keep-alive without a request: closed */
#define LIMIT_HTTP_REQUEST_MS       10000 /* from the first byte of a request to its last: 408 */
#define LIMIT_HTTP_WRITE_STALL_MS   30000 /* a reader that takes nothing: closed */
/* Deadlines are looked at this often, of requests that come and of anything else; more often where
 * an option makes the deadline shorter. */
#define LIMIT_HTTP_REQUEST_LOOK_MS  1000
#define LIMIT_HTTP_IDLE_LOOK_MS     5000
/* Bytes that wait to be sent, of all connections together. Beyond: reads with more than so many
 * bytes of answer are 429, and a reader that takes nothing for so long is closed. */
#define LIMIT_UNSENT_BYTES          (256u * MIB)
#define LIMIT_CROWDED_ANSWER_BYTES  (16u * KIB)
#define LIMIT_CROWDED_STALL_MS      1000
/* While the member leaves, both are shorter: the grace of idle ones, and of requests begun. */
#define LIMIT_HTTP_DRAIN_IDLE_MS    200
#define LIMIT_HTTP_DRAIN_REQUEST_MS 2000
#define LIMIT_CONN_UNSENT_BYTES     (1u * MIB) /* pipelining stops */
/* A streamed answer pauses: so much is made for one reader in one turn of the loop, 1 or 2 ms of
 * small documents or keys. Fifty readers may come in the same turn, and heartbeats wait for it. */
#define LIMIT_STREAM_UNSENT_BYTES   (128u * KIB)
#define LIMIT_CONNECTIONS           16384 /* HTTP/2 too; beyond: idle ones are reset */
#define LIMIT_LIVE_STREAMS          12288 /* open pages and listeners of events: then 503 */
#define LIMIT_LIVE_LATE_MS          30000 /* one that has not taken what it got: closed */

/* What clients make a member keep (net/client_memory.h), by default an eighth of the memory within
 * these: beyond, the largest connections are reset. One that keeps less than the third is not
 * looked at, and the others so often. */
#define LIMIT_CLIENT_BYTES_LEAST (32u * MIB)
#define LIMIT_CLIENT_BYTES_MOST  (512u * MIB)
#define LIMIT_CLIENT_SMALL_BYTES (64u * KIB)
#define LIMIT_CLIENT_LOOK_MS     50

#define LIMIT_PIPELINED_BODY_BYTES (1u * MIB) /* of requests in progress: no more are read */
#define LIMIT_CONNECTIONS_REFUSED  256        /* beyond, until they are told 503; more: reset */
/* Bodies of requests, of all connections together, as they come: beyond, a request with one that is
 * not small is 429. */
#define LIMIT_BODIES_BYTES         (128u * MIB)
#define LIMIT_BODY_SMALL_BYTES     (16u * KIB)
#define LIMIT_PIPELINED_OUT_BYTES  (64u * KIB) /* of answers before their turn: the next waits */

/* The etcd v3 API. A request beyond either: INVALID_ARGUMENT "request is too large"; the gateway's
 * body is longer than what it means, beyond: 413. */
#define LIMIT_ETCD_REQUEST_BYTES  (1536u * KIB)
#define LIMIT_ETCD_JSON_BYTES     (3u * MIB)
#define LIMIT_ETCD_JSON_MESSAGES  16384 /* of a stream's body: then RESOURCE_EXHAUSTED */
#define LIMIT_PROTOBUF_DEPTH      100
#define LIMIT_PROTOBUF_FIELDS     262144u
#define LIMIT_PROTOBUF_JSON_MARKS 262144u /* brackets, colons and commas */

/* HTTP/2. Calls open at a time: told to the client in advance; one that has agreed to it and opens
 * more breaks the protocol, and its connection ends. */
#define LIMIT_H2_STREAMS          1024
/* What a client may send unasked: for one call, and for all of a connection. Given back as handlers
 * are told. */
#define LIMIT_H2_STREAM_WINDOW    (128u * KIB)
#define LIMIT_H2_WINDOW           (1u * MIB)
/* Of messages of one connection that are not whole yet, or wait for their handler: then only the
 * oldest gets more window, the others stop at theirs. */
#define LIMIT_H2_UNTOLD_BYTES     (8u * MIB)
/* Answers that wait in the calls of one connection: then no more of its messages are told, and its
 * streams pause. One call stops at LIMIT_STREAM_UNSENT_BYTES. */
#define LIMIT_H2_UNSENT_BYTES     (4u * MIB)
#define LIMIT_H2_CONN_BYTES       (256u * KIB) /* handed to a connection; the rest waits in calls */
#define LIMIT_H2_IDLE_MS          300000       /* a connection without calls: GOAWAY, and closed */
/* One that has calls and says nothing is asked (PING), and closed when it still says nothing. */
#define LIMIT_H2_SILENCE_MS       75000
#define LIMIT_H2_PING_ANSWER_MS   20000
/* In a second, of frames that ask for nothing (PING, SETTINGS, PRIORITY, empty DATA, unknown ones,
 * more WINDOW_UPDATEs than what was sent gives reason for) between two answers of ours: then GOAWAY
 * "too_many_pings". A piece of an answer that is smaller than the second, as a client's windows
 * have it, is none. */
#define LIMIT_H2_EMPTY_FRAMES     200
#define LIMIT_H2_SMALL_DATA_BYTES 256
/* Calls that end by a reset: so many at once, and so many a second: then GOAWAY. */
#define LIMIT_H2_RESETS           1000
#define LIMIT_H2_RESETS_PER_S     100
#define LIMIT_H2_CONTINUATIONS    8   /* frames of one block of headers: then GOAWAY */
#define LIMIT_H2_ACKS             256 /* owed to a client that does not read: closed */
#define LIMIT_H2_HPACK_BYTES      512 /* what is remembered of our headers */
/* One message of gRPC, as etcd has it: a request of 1.5 MiB and what is around it. */
#define LIMIT_GRPC_MESSAGE_BYTES  (2u * MIB)

/* The client of gRPC. Calls under way on one connection, and what waits to be sent on one stream
 * (one message may be longer): then OVERLOADED. */
#define LIMIT_GRPC_CLIENT_CALLS         65536
#define LIMIT_GRPC_CLIENT_UNSENT_BYTES  (4u * MIB)
/* One message of a server, and all of a connection that are not whole: the call ends as
 * RESOURCE_EXHAUSTED. */
#define LIMIT_GRPC_CLIENT_MESSAGE_BYTES (LIMIT_VALUE_BYTES_MAX + 1u * MIB)
#define LIMIT_GRPC_CLIENT_PARTIAL_BYTES (128u * MIB)
/* What a server may send unasked, for one call and for all of a connection: so much that it never
 * waits, as everything is taken at once. */
#define LIMIT_GRPC_CLIENT_WINDOW        (256u * MIB)
/* Of a server's text for the end of a call, or of a connection: the rest is left out. */
#define LIMIT_GRPC_CLIENT_TEXT_BYTES    1024

/* TLS. A handshake that is not done in that time is reset. Accepted ones under way: beyond, the one
 * that has been at it for longest is reset. So many take the processor in one turn, the others wait
 * for the next (one costs up to a millisecond). What one may send before it is done: then reset. */
#define LIMIT_TLS_HANDSHAKE_MS    10000
#define LIMIT_TLS_HANDSHAKES      1024
#define LIMIT_TLS_HANDSHAKES_TURN 8
#define LIMIT_TLS_HANDSHAKE_BYTES (64u * KIB)
/* What was written in one turn and is not encrypted yet: beyond, it is at once. */
#define LIMIT_TLS_PLAIN_BYTES     (64u * KIB)
/* Of what the other side makes us send by protocol alone (new keys) while it takes nothing: then
 * reset. */
#define LIMIT_TLS_PROTOCOL_BYTES  (16u * KIB)
/* Of a file with certificates or a key: refused. */
#define LIMIT_TLS_FILE_BYTES      (1u * MIB)
/* How often the files are looked at. */
#define LIMIT_TLS_REFRESH_MS      3000

/* TCP. After the last byte of ours was sent, the other side may take so long, and send so much,
 * until its FIN: an answer that a reset overtakes is lost. Beyond: reset. */
#define LIMIT_CONN_LINGER_MS    3000
#define LIMIT_CONN_LINGER_BYTES (16u * MIB)
/* Acknowledged, and nothing came or went for so long: has arrived, and is not waited for. */
#define LIMIT_CONN_SETTLED_MS   500
/* Of one turn of the loop, for clients: then they wait for the next one, so that members,
 * heartbeats and deadlines do not wait for all of them. One step of one client may go beyond. */
#define LIMIT_TURN_CLIENTS_MS   5
/* Who waited so and is read again in the next turn; the others wait for the one after that. */
#define LIMIT_TURN_RESUMED      512
/* Handed over in one piece; libuv hands over up to 32 of one connection before the next one's
 * turn. */
#define LIMIT_READ_BYTES        (64u * KIB)
#define LIMIT_ACCEPT_BACKLOG    1024 /* the kernel's queue; beyond: clients try again */
/* Descriptors that accepted connections leave to the log and to dials; of a limit below twice that,
 * half. A connection beyond is reset. */
#define LIMIT_FILES_KEPT        64

/* Proposals. Beyond either: 429, nothing was written (rules O1, R14). */
#define LIMIT_UNCOMMITTED_BYTES   (64u * MIB)
#define LIMIT_UNCOMMITTED_ENTRIES 65536
/* A write beyond these bytes is 429 already when the oldest proposal waits for this part of the
 * request's time: it would wait behind all of them, and not know its outcome in the end. */
#define LIMIT_PATIENT_WRITE_BYTES (16u * KIB)
#define LIMIT_PATIENT_WRITE_PART  4
#define LIMIT_SURVEYS             256 /* members asked for their state at once: then 429 */
#define LIMIT_WAITING_REQUESTS    65536
#define LIMIT_FORWARDS            4096 /* writes that others handed to this leader: then 429 */
/* Questions about leases that wait here, and those of them that others handed to this leader:
 * then OVERLOADED. */
#define LIMIT_LEASE_ASKS          16384
#define LIMIT_LEASE_ASKS_IN       8192
/* Keys that one expiry in the log ends with their leases, unless its last lease has more: the rest
 * is for the next one. */
#define LIMIT_LEASE_EXPIRY_KEYS   8192

/* The log (rules R7, R14; architecture rule 6). */
#define LIMIT_LOG_TAIL_BYTES                                                                       \
    (16u * MIB) /* applied and durable entries are dropped from memory beyond */
#define LIMIT_PERSIST_BATCH_BYTES                                                                  \
    (256u * KIB) /* one write and sync; a larger single entry goes alone */
#define LIMIT_APPEND_BYTES      (256u * KIB) /* entries of one append message; at least one entry */
#define LIMIT_INFLIGHT_MESSAGES 64 /* a follower's window: full = probe by empty appends */
#define LIMIT_INFLIGHT_BYTES    (4u * MIB)
#define LIMIT_LOAD_BYTES        (1u * MIB) /* read back from disk at a time for a slow follower */
/* Of one GET /log: entries, and bytes of their payloads, but at least one entry; and how many are
 * being read at once: then 429. */
#define LIMIT_LOG_READ_ENTRIES  1000
#define LIMIT_LOG_READ_BYTES    (256u * KIB)
#define LIMIT_LOG_READS         4
#define LIMIT_ENTRY_BYTES       (LIMIT_VALUE_BYTES_MAX + LIMIT_KEY_BYTES + 1024u)

/* Rule P12. When the next segment can't be made and less than this is left of the log's room,
 * writes are refused: what is left is for deletes, compactions and terms. */
#define LIMIT_LOG_RESERVE_BYTES (2u * MIB)

/* One batch in the log is one record: more in one wal_append is a bug of the caller. */
#define LIMIT_WAL_RECORD_BYTES  (128u * MIB)
/* A small record under its own name (identity, roster). Saving more is a bug; a file that claims
 * more is CORRUPT. */
#define LIMIT_RECORD_FILE_BYTES (1u * MIB)

/* Peers. */
#define LIMIT_FRAME_BYTES           (64u * KIB) /* longer frames: the link is cut */
#define LIMIT_PEER_UNSENT_BYTES     (16u * MIB) /* further messages are dropped and told to raft */
/* Accepted and not yet authenticated: beyond, the oldest is reset, and if more than the second are
 * of the newcomer's host, the oldest of these. */
#define LIMIT_PEER_CONNECTIONS      64
#define LIMIT_PEER_CONNECTIONS_HOST 16
#define LIMIT_PEER_HANDSHAKE_MS     3000

/* The core. Each is per member of the cluster. */
#define LIMIT_RAFT_HELD   64    /* messages that wait for the term to be durable: dropped beyond */
#define LIMIT_RAFT_EVENTS 4096  /* of one turn: not recorded beyond */
#define LIMIT_RAFT_READS  65536 /* reads that wait for an index: OVERLOADED beyond */

/* What a voter promises, and how long it waits after a restart (rule Q6b). A message that asks for
 * more is dropped. */
#define LIMIT_RAFT_LEASE_MS 600000

/* Membership. Configurations in the log that are not applied yet; beyond: no change is taken, and
 * of an append only what comes before (rule C3). */
#define LIMIT_RAFT_CONFIGS        256
/* What the host gives along with a membership. Beyond: a change is refused, bytes are CORRUPT. */
#define LIMIT_CONFIG_ANNEX_BYTES  (64u * KIB)
/* A learner further behind is not promoted (rule C4), a member not handed leadership (rule E10). */
#define LIMIT_PROMOTE_LAG_ENTRIES 4096

/* incarnations and URLs; the longest gone goes */
#define LIMIT_PEERS_KNOWN        (2 * LIMIT_MEMBERS)
#define LIMIT_PEER_ANSWER_BYTES  (4u * KIB) /* what may answer a dial; beyond: not a member */
/* handed to a connection; the rest waits behind urgent ones */
#define LIMIT_PEER_CONN_BYTES    (256u * KIB)
/* votes, heartbeats, answers that wait: then dropped */
#define LIMIT_PEER_URGENT_BYTES  (1u * MIB)
#define LIMIT_PEER_STREAMS       4     /* messages of a link in pieces at once; beyond: cut */
#define LIMIT_PEER_PING_MS       500   /* a link that sends nothing says so */
#define LIMIT_PEER_SILENCE_MS    3000  /* a link that hears nothing is dialled anew */
#define LIMIT_APPEND_ENTRIES     65536 /* of one message; the rest is left for the next one */
/* One message, joined from its frames: an entry of any size goes, or a batch. Beyond: cut. */
#define LIMIT_PEER_MESSAGE_BYTES (LIMIT_ENTRY_BYTES + 2u * MIB)

/* Faults (rows F4, B15). Delayed messages for one member: further ones are lost, and counted. */
#define LIMIT_FAULT_DELAYED_BYTES (16u * MIB)

/* The command line. A settings file beyond either: exit 2. */
#define LIMIT_CONFIG_BYTES        (1u * MIB)
#define LIMIT_CONFIG_ENTRIES      512
/* A longer line of a member's log is shown in pieces. */
#define LIMIT_LOG_LINE_BYTES      (64u * KIB)
/* A line of `conclave shell`: it is left out, and the shell goes on. */
#define LIMIT_SHELL_LINE_BYTES    (LIMIT_VALUE_BYTES_MAX + 16u * KIB)
/* Lines that it remembers: the oldest goes. */
#define LIMIT_SHELL_HISTORY       1000
/* What `conclave monitor` saw: the oldest goes. */
#define LIMIT_MONITOR_EVENTS      64
#define LIMIT_MONITOR_RATES       256
/* Texts of one frame. Beyond: not shown. */
#define LIMIT_MONITOR_PIECES      1024
/* What a verb reads of one answer. Beyond: the answer counts as none. */
#define LIMIT_CLIENT_ANSWER_BYTES (256ull * MIB)
/* Of `conclave lock NAME -- COMMAND ...`; the system's own limit is in bytes. */
#define LIMIT_COMMAND_WORDS       100000

/* Rule K2b. Beyond either: 429 for new keyed writes, nothing unexpired is evicted. */
#define LIMIT_RETRY_KEY_BYTES 128
#define LIMIT_RETRY_KEYS      65536
#define LIMIT_RETRY_BYTES     (16u * MIB)

/* Transactions. Operations and compares along a path into nested ones and on all paths, nesting,
 * and bytes in the log: beyond, refused at the door. An answer beyond is not told. */
#define LIMIT_TXN_OPS          128
#define LIMIT_TXN_OPS_ALL      1024
#define LIMIT_TXN_DEPTH        32
#define LIMIT_TXN_BYTES        (LIMIT_ENTRY_BYTES - 512u) /* as kv_txn_check measures them */
#define LIMIT_TXN_ANSWER_BYTES (64u * MIB)
/* Keys that one transaction's compares have looked at, and those that its reads have: another
 * compare is refused (TOO_LARGE), and after another read the answer is not told. It is applied
 * whole, by all members, so that it must not take them longer than an election. */
#define LIMIT_TXN_KEYS         (1024u * KIB)

/* Watches of one member. Beyond: OVERLOADED. */
#define LIMIT_WATCHES            131072
/* Told to one watch at a time: no more after either, but a revision stays whole. */
#define LIMIT_WATCH_EVENTS       512
#define LIMIT_WATCH_BYTES        (256u * KIB)
/* One step of the front, and one of the sweep (kv_watch.h): changes that are looked at, and events
 * that they are for all watches together; a revision stays whole. The rest is for the next turn. */
#define LIMIT_WATCH_CHANGES      2048
#define LIMIT_WATCH_TOLD         16384
/* Watches that go on the sweep, or from there to the front, in one step. */
#define LIMIT_WATCH_MOVED        1024
/* Steps of the front before a compaction. Of a backlog beyond, watches end with COMPACTED. */
#define LIMIT_WATCH_FLUSH        64
/* Election timeouts without a leader until streams that asked for it are told. */
#define LIMIT_NO_LEADER_TIMEOUTS 3

/* Leases. Beyond: OVERLOADED, nothing was granted. */
#define LIMIT_LEASES       262144
#define LIMIT_LEASE_TTL_S  9000000000u /* beyond: refused at the door */
#define LIMIT_LEASE_EXPIRY 1024        /* of one entry in the log: the rest is for the next one */

/* Users, roles, permissions: names, the text of a password's hash, and what all of them count (64
 * and their bytes each). Beyond: refused at the door, and for the last one "too many". */
#define LIMIT_AUTH_NAME_BYTES 256
#define LIMIT_AUTH_HASH_BYTES 128
#define LIMIT_AUTH_BYTES      (4u * MIB)
/* Passwords that wait to be hashed or checked: then "too many requests". One: refused at the
 * door. */
#define LIMIT_PASSWORDS       64
#define LIMIT_PASSWORD_BYTES  1024
/* Users and passwords that were right a moment ago, and are believed without another hash: the
 * oldest goes. */
#define LIMIT_AUTH_KNOWN      64
/* Users and addresses that wrong passwords are counted for: what matters least is forgotten. */
#define LIMIT_AUTH_GUESSES    1024
/* Lines of the audit log that wait to be written: beyond, they are lost, and counted. */
#define LIMIT_LINE_FILE_BYTES (1u * MIB)
/* Keys and names that one line tells of. */
#define LIMIT_AUDIT_TARGETS   16

/* What a snapshot says of the members. More is a bug; a file that claims more is CORRUPT. */
#define LIMIT_SNAPSHOT_META_BYTES (1u * MIB)
/* Rule P4: segments set aside because they were damaged; beyond, the oldest goes. */
#define LIMIT_DAMAGED_FILES       8
/* The same of snapshots, each of which holds a whole state. */
#define LIMIT_DAMAGED_SNAPSHOTS   2
/* Incarnations that were removed, as the membership remembers them: the oldest goes (rule C6). */
#define LIMIT_REMOVED             64
/* Changes of the membership that wait for their turn: then OVERLOADED. */
#define LIMIT_CHANGES             64

/* Rule S0: a snapshot is due when the log since the last one is this long, unless set otherwise. */
#define LIMIT_SNAPSHOT_LOG_BYTES    (64u * MIB)
#define LIMIT_SNAPSHOT_LOG_ENTRIES  1000000u
/* Or when it takes so many times that on the disk: small batches, each in blocks of its own. */
#define LIMIT_SNAPSHOT_LOG_TIMES    4
/* Rule S2: a member that lags holds back the log to so many times that; beyond, it gets a
 * snapshot. */
#define LIMIT_LOG_KEPT_TIMES        4
#define LIMIT_SNAPSHOTS_KEPT        4             /* on disk: what holds an older one is ended */
#define LIMIT_SNAPSHOT_TRANSFERS    2             /* being sent at once; more followers wait */
#define LIMIT_SNAPSHOT_WINDOW_BYTES (1024u * KIB) /* sent and not yet on the receiver's disk */
