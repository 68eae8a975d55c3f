#include "net/unsent.h"

#define CHECK_BYTES (64u * KIB)

bool unsent_is_full(struct unsent *u, struct conn *conn, size_t limit)
{
    if (u->written - u->checked < CHECK_BYTES) {
        return false;
    }
    if (conn->loop->ops->conn_unsent(conn) >= limit) {
        return true;
    }
    u->checked = u->written;
    return false;
}

uint32_t unsent_patience_ms(const struct loop *loop)
{
    return loop_is_crowded(loop) ? LIMIT_CROWDED_STALL_MS : LIMIT_HTTP_WRITE_STALL_MS;
}

uint64_t unsent_stall_ms(struct unsent *u, struct conn *conn, uint64_t now_ms)
{
    size_t unsent = conn->loop->ops->conn_unsent(conn);
    uint64_t taken = u->written - unsent;
    if (unsent == 0) {
        u->taken_ms = 0;
        return UINT64_MAX;
    }
    if (u->taken_ms == 0 || taken != u->taken) {
        u->taken = taken;
        u->taken_ms = now_ms;
    }
    return u->taken_ms + unsent_patience_ms(conn->loop);
}
