/* api/etcd_error.h - one table of what the etcd v3 API says when it does not do what was asked.
 *
 * Codes are gRPC's, and clients decide by them whether to ask again; texts are etcd's, word for
 * word, because some clients compare them. */
#pragma once

#include "base/status.h"
#include "net/grpc.h"

/* X(name, code, text) */
#define ETCD_ERROR_TABLE(X)                                                                        \
    X(REQUEST_CANCELED, CANCELED, "etcdserver: request canceled")                                  \
    X(WATCH_CANCELED, CANCELED, "etcdserver: watch canceled")                                      \
    X(ELECTION_NOT_LEADER, UNKNOWN, "election: not leader")                                        \
    X(ELECTION_NO_LEADER, UNKNOWN, "election: no leader")                                          \
    X(ELECTION_LEADER_MISSING, UNKNOWN, "\"leader\" field must be provided")                       \
    X(SESSION_EXPIRED, UNKNOWN, "mutex: session is expired")                                       \
    X(AUTH_FAILED, INVALID_ARGUMENT,                                                               \
      "etcdserver: authentication failed, invalid user ID or password")                            \
    X(DUPLICATE_KEY, INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")           \
    X(BAD_MEMBER_URLS, INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")              \
    X(BAD_SORT, INVALID_ARGUMENT, "etcdserver: invalid sort option")                               \
    X(BAD_AUTH_MANAGEMENT, INVALID_ARGUMENT, "etcdserver: invalid auth management")                \
    X(BAD_DOWNGRADE_VERSION, INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")     \
    X(EMPTY_KEY, INVALID_ARGUMENT, "etcdserver: key is not provided")                              \
    X(KEY_NOT_FOUND, INVALID_ARGUMENT, "etcdserver: key not found")                                \
    X(LEASE_PROVIDED, INVALID_ARGUMENT, "etcdserver: lease is provided")                           \
    X(PERMISSION_NOT_GIVEN, INVALID_ARGUMENT, "etcdserver: permission not given")                  \
    X(REQUEST_TOO_LARGE, INVALID_ARGUMENT, "etcdserver: request is too large")                     \
    X(AUTH_OLD_REVISION, INVALID_ARGUMENT, "etcdserver: revision of auth store is old")            \
    X(ROLE_EMPTY, INVALID_ARGUMENT, "etcdserver: role name is empty")                              \
    X(TOO_MANY_OPS, INVALID_ARGUMENT, "etcdserver: too many operations in txn request")            \
    X(USER_EMPTY, INVALID_ARGUMENT, "etcdserver: user name is empty")                              \
    X(VALUE_PROVIDED, INVALID_ARGUMENT, "etcdserver: value is provided")                           \
    X(BAD_DOWNGRADE_FORMAT, INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format") \
    X(DEADLINE, DEADLINE_EXCEEDED, "context deadline exceeded")                                    \
    X(MEMBER_NOT_FOUND, NOT_FOUND, "etcdserver: member not found")                                 \
    X(LEASE_NOT_FOUND, NOT_FOUND, "etcdserver: requested lease not found")                         \
    X(PERMISSION_DENIED, PERMISSION_DENIED, "etcdserver: permission denied")                       \
    X(NO_SPACE, RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")                   \
    X(TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED, "etcdserver: too many requests")                      \
    X(PEER_URL_EXISTS, FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")                \
    X(AUTH_NOT_ENABLED, FAILED_PRECONDITION, "etcdserver: authentication is not enabled")          \
    X(BAD_TRANSFEREE, FAILED_PRECONDITION, "etcdserver: bad leader transferee")                    \
    X(LEARNER_NOT_READY, FAILED_PRECONDITION,                                                      \
      "etcdserver: can only promote a learner member which is in sync with leader")                \
    X(NOT_LEARNER, FAILED_PRECONDITION, "etcdserver: can only promote a learner member")           \
    X(CLUSTER_MISMATCH, FAILED_PRECONDITION, "etcdserver: cluster ID mismatch")                    \
    X(DOWNGRADE_IN_PROGRESS, FAILED_PRECONDITION,                                                  \
      "etcdserver: cluster has a downgrade job in progress")                                       \
    X(LEASE_EXISTS, FAILED_PRECONDITION, "etcdserver: lease already exists")                       \
    X(MEMBER_EXISTS, FAILED_PRECONDITION, "etcdserver: member ID already exist")                   \
    X(NO_DOWNGRADE, FAILED_PRECONDITION, "etcdserver: no inflight downgrade job")                  \
    X(NOT_LEADER, FAILED_PRECONDITION, "etcdserver: not leader")                                   \
    X(PERMISSION_NOT_GRANTED, FAILED_PRECONDITION,                                                 \
      "etcdserver: permission is not granted to the role")                                         \
    X(NOT_ENOUGH_STARTED, FAILED_PRECONDITION,                                                     \
      "etcdserver: re-configuration failed due to not enough started members")                     \
    X(ROLE_NOT_GRANTED, FAILED_PRECONDITION, "etcdserver: role is not granted to the user")        \
    X(ROLE_EXISTS, FAILED_PRECONDITION, "etcdserver: role name already exists")                    \
    X(ROLE_NOT_FOUND, FAILED_PRECONDITION, "etcdserver: role name not found")                      \
    X(ROOT_USER_MISSING, FAILED_PRECONDITION, "etcdserver: root user does not exist")              \
    X(ROOT_ROLE_MISSING, FAILED_PRECONDITION, "etcdserver: root user does not have root role")     \
    X(TOO_MANY_LEARNERS, FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")   \
    X(USER_EXISTS, FAILED_PRECONDITION, "etcdserver: user name already exists")                    \
    X(USER_NOT_FOUND, FAILED_PRECONDITION, "etcdserver: user name not found")                      \
    X(COMPACTED, OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")           \
    X(FUTURE_REVISION, OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")   \
    X(TTL_TOO_LARGE, OUT_OF_RANGE, "etcdserver: too large lease TTL")                              \
    X(DOWNGRADE_NO_VERSION, UNAVAILABLE, "etcdserver: cluster version not found during downgrade") \
    X(LEADER_CHANGED, UNAVAILABLE, "etcdserver: leader changed")                                   \
    X(NO_LEADER, UNAVAILABLE, "etcdserver: no leader")                                             \
    X(NOT_CAPABLE, UNAVAILABLE, "etcdserver: not capable")                                         \
    X(TIMED_OUT, UNAVAILABLE, "etcdserver: request timed out")                                     \
    X(TIMED_OUT_CONNECTION, UNAVAILABLE,                                                           \
      "etcdserver: request timed out, possibly due to connection lost")                            \
    X(TIMED_OUT_LEADER, UNAVAILABLE,                                                               \
      "etcdserver: request timed out, possibly due to previous leader failure")                    \
    X(TIMED_OUT_APPLY, UNAVAILABLE,                                                                \
      "etcdserver: request timed out, waiting for the applied index took too long")                \
    X(NOT_FOR_LEARNER, UNAVAILABLE, "etcdserver: rpc not supported for learner")                   \
    X(STOPPED, UNAVAILABLE, "etcdserver: server stopped")                                          \
    X(UNHEALTHY, UNAVAILABLE, "etcdserver: unhealthy cluster")                                     \
    X(CORRUPT, DATA_LOSS, "etcdserver: corrupt cluster")                                           \
    X(BAD_TOKEN, UNAUTHENTICATED, "etcdserver: invalid auth token")

enum etcd_error {
#define ETCD_ERROR_ENUM(name, code, text) ETCD_##name,
    ETCD_ERROR_TABLE(ETCD_ERROR_ENUM)
#undef ETCD_ERROR_ENUM
};

enum grpc_code etcd_error_code(enum etcd_error e);
/* Static storage. */
const char *etcd_error_text(enum etcd_error e);
/* What the gateway answers with. */
int etcd_code_http(enum grpc_code code);
/* What a node's refusal means to a client, where the handler knows nothing better. `s` is not OK.
 * Nothing was written: NOT_LEADER and NO_QUORUM (no leader), OVERLOADED, NO_SPACE, TOO_LARGE, BUSY
 * (leader changed), CLOSED (stopped). Whatever is not known: timed out. */
enum etcd_error etcd_error_of(enum status s);
