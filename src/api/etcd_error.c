#include "api/etcd_error.h"

#include <stddef.h>

static const struct {
    enum grpc_code code;
    const char *text;
} errors[] = {
#define ETCD_ERROR_ROW(name, error_code, error_text) {GRPC_##error_code, error_text},
    ETCD_ERROR_TABLE(ETCD_ERROR_ROW)
#undef ETCD_ERROR_ROW
};

enum grpc_code etcd_error_code(enum etcd_error e)
{
    return errors[e].code;
}

const char *etcd_error_text(enum etcd_error e)
{
    return errors[e].text;
}

int etcd_code_http(enum grpc_code code)
{
    static const int http[] = {
        [GRPC_OK] = 200,
        [GRPC_CANCELED] = 408,
        [GRPC_UNKNOWN] = 500,
        [GRPC_INVALID_ARGUMENT] = 400,
        [GRPC_DEADLINE_EXCEEDED] = 504,
        [GRPC_NOT_FOUND] = 404,
        [GRPC_ALREADY_EXISTS] = 409,
        [GRPC_PERMISSION_DENIED] = 403,
        [GRPC_RESOURCE_EXHAUSTED] = 429,
        [GRPC_FAILED_PRECONDITION] = 400,
        [GRPC_ABORTED] = 409,
        [GRPC_OUT_OF_RANGE] = 400,
        [GRPC_UNIMPLEMENTED] = 501,
        [GRPC_INTERNAL] = 500,
        [GRPC_UNAVAILABLE] = 503,
        [GRPC_DATA_LOSS] = 500,
        [GRPC_UNAUTHENTICATED] = 401,
    };
    return http[code];
}

enum etcd_error etcd_error_of(enum status s)
{
    static const struct {
        enum status status;
        enum etcd_error error;
    } table[] = {
        {STATUS_NOT_LEADER, ETCD_NO_LEADER},
        {STATUS_NO_QUORUM, ETCD_NO_LEADER},
        {STATUS_OVERLOADED, ETCD_TOO_MANY_REQUESTS},
        {STATUS_NO_SPACE, ETCD_NO_SPACE},
        {STATUS_TOO_LARGE, ETCD_REQUEST_TOO_LARGE},
        {STATUS_BUSY, ETCD_LEADER_CHANGED},
        {STATUS_CLOSED, ETCD_STOPPED},
        {STATUS_COMPACTED, ETCD_COMPACTED},
        {STATUS_FUTURE, ETCD_FUTURE_REVISION},
        {STATUS_NO_LEASE, ETCD_LEASE_NOT_FOUND},
        {STATUS_CORRUPT, ETCD_CORRUPT},
        {STATUS_AUTH_OLD, ETCD_AUTH_OLD_REVISION},
        {STATUS_UNSUPPORTED, ETCD_NOT_CAPABLE}, /* by a member of an older version */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].status == s) {
            return table[i].error;
        }
    }
    return ETCD_TIMED_OUT;
}
