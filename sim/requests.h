/* requests.h - what simulated clients may ask, as it stands in a schedule's item. */
#pragma once

/* X(name, weight) */
#define REQUEST_TABLE(X)                                                                           \
    X(put, 30)                                                                                     \
    X(put_if_absent, 5)                                                                            \
    X(put_if_exists, 5)                                                                            \
    X(swap, 12) /* read it, then put if the revision is still that one */                          \
    X(delete, 8)                                                                                   \
    X(get, 22)                                                                                     \
    X(get_session, 6)                                                                              \
    X(get_stale, 4)                                                                                \
    X(get_old, 5)                                                                                  \
    X(range, 3)                                                                                    \
    /* Drawn in place of some of the others, so that schedules of before keep their course. */     \
    X(document, 0)                                                                                 \
    X(txn, 0)                                                                                      \
    X(txn_read, 0)                                                                                 \
    X(range_read, 0)                                                                               \
    X(grant, 0)                                                                                    \
    X(revoke, 0)                                                                                   \
    X(keep_alive, 0)                                                                               \
    X(time_to_live, 0)                                                                             \
    X(put_lease, 0)                                                                                \
    X(put_ttl, 0)

enum request_kind {
#define REQUEST_ENUM(name, weight) REQUEST_##name,
    REQUEST_TABLE(REQUEST_ENUM)
#undef REQUEST_ENUM
        REQUEST_COUNT
};

/* Bits of an item's `d`. */
#define REQUEST_ACK_LEADER 1u
#define REQUEST_ACK_ALL    2u
#define REQUEST_OPEN_LOOP  4u  /* does not wait for the client's request before */
#define REQUEST_ANYWHERE   8u  /* asked of whichever member, not of the one believed to lead */
#define REQUEST_ABANDONED  16u /* the client goes away before the answer */
#define REQUEST_KEYED      32u /* with an Idempotency-Key: asked again when nobody knows (K2b) */
#define REQUEST_FORWARD    64u /* whoever does not lead hands it to the leader (R15) */
#define REQUEST_MARK_SHIFT 8   /* from here: a number of the request */
