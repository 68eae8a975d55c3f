/* base/status.h - one table of outcomes for every fallible function.
 *
 * Environment trouble (a peer gone, a disk full, malformed bytes from outside) is a status; a bug
 * of ours is a CHECK (check.h). Context is logged where the failure is seen, never stored in
 * objects. HTTP and exit codes are in the same table, so that the outside never disagrees with
 * itself. */
#pragma once

/* X(name, text, HTTP status, exit code of a verb) */
#define STATUS_TABLE(X)                                                                            \
    X(OK, "ok", 200, 0)                                                                            \
    X(INVALID, "invalid argument", 400, 2)                                                         \
    X(NOT_FOUND, "not found", 404, 3)                                                              \
    X(NO_LEASE, "no such lease", 404, 3)                                                           \
    X(CONFLICT, "precondition failed", 412, 4)                                                     \
    X(MISMATCH, "used before for another request", 422, 4)                                         \
    X(COMPACTED, "Compacted", 410, 4)                                                              \
    X(FUTURE, "revision is in the future", 400, 2)                                                 \
    X(NOT_LEADER, "Not the leader", 503, 5)                                                        \
    X(NO_QUORUM, "No quorum", 503, 5)                                                              \
    X(BEHIND, "Behind", 503, 6)                                                                    \
    X(UNKNOWN, "Outcome unknown", 504, 6)                                                          \
    X(NOT_CONFIRMED, "Not confirmed by all", 504, 6)                                               \
    X(TIMEOUT, "timed out", 504, 6)                                                                \
    X(AUTH_OLD, "revision of auth store is old", 503, 7)                                           \
    X(DENIED, "not allowed", 403, 7)                                                               \
    X(UNREACHABLE, "cannot connect", 503, 8)                                                       \
    X(OVERLOADED, "overloaded", 429, 9)                                                            \
    X(NO_SPACE, "Out of space", 507, 9)                                                            \
    X(TOO_LARGE, "too large", 413, 2)                                                              \
    X(CORRUPT, "corrupt", 500, 1)                                                                  \
    X(IO, "input/output error", 500, 1)                                                            \
    X(BUSY, "in use", 503, 2)                                                                      \
    X(UNSUPPORTED, "unsupported", 501, 2)                                                          \
    X(CLOSED, "closed", 503, 8)

enum status {
#define STATUS_ENUM(name, text, http, exit_code) STATUS_##name,
    STATUS_TABLE(STATUS_ENUM)
#undef STATUS_ENUM
};

/* Marks a function whose status must be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* A short text, without a full stop; static storage. */
const char *status_text(enum status s);
/* "OK", "NOT_LEADER" ...; static storage. */
const char *status_name(enum status s);
int status_http(enum status s);
int status_exit_code(enum status s);
