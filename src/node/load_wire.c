/* node/load_wire.c - loads and views as bytes. docs/PROTOCOL.md has the tables. */
#include "base/codec.h"
#include "net/url.h"
#include "node/loads.h"
#include "node/roster.h"

#include <string.h>

#define PERMILLE_MAX 1000

enum load_flags { LOAD_SERVES = 1, LOAD_KNOWS_LEASES = 2, LOAD_FLAGS_ALL = 3 };

void load_note_encode(const struct load_note *note, struct buf *out)
{
    put_u8(out, (uint8_t)((note->serves ? LOAD_SERVES : 0) |
                          (note->knows_leases ? LOAD_KNOWS_LEASES : 0)));
    put_u32(out, note->load.connections);
    put_u32(out, note->load.requests_per_second);
    put_u16(out, note->load.loop_permille);
    put_u64(out, note->applied_index);
}

enum status load_note_decode(struct slice body, struct load_note *note)
{
    struct reader in = reader_of(body);
    uint8_t flags = get_u8(&in);
    note->serves = (flags & LOAD_SERVES) != 0;
    note->knows_leases = (flags & LOAD_KNOWS_LEASES) != 0;
    note->load.connections = get_u32(&in);
    note->load.requests_per_second = get_u32(&in);
    note->load.loop_permille = get_u16(&in);
    note->applied_index = get_u64(&in);
    bool is_good =
        reader_done(&in) && flags <= LOAD_FLAGS_ALL && note->load.loop_permille <= PERMILLE_MAX;
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

void view_encode(const struct node_view *view, struct buf *out)
{
    put_u64(out, view->term);
    put_u64(out, view->number);
    put_u8(out, (uint8_t)view->count);
    for (uint32_t i = 0; i < view->count; i++) {
        const struct node_view_item *item = &view->items[i];
        char url[URL_TEXT_BYTES];
        url_format(&item->address, url, sizeof(url));
        put_name(out, item->name);
        put_url(out, url);
        put_u8(out, (uint8_t)item->presence);
        put_u32(out, item->connections);
    }
}

/* In the one way that url_format has. */
static bool get_address(struct reader *in, struct url *u)
{
    char url[LIMIT_URL_BYTES];
    char again[URL_TEXT_BYTES];
    get_url(in, url);
    if (!reader_ok(in) || url_parse(url, u, NULL) != STATUS_OK) {
        return false;
    }
    url_format(u, again, sizeof(again));
    return strcmp(url, again) == 0;
}

static bool get_item(struct reader *in, struct node_view_item *item)
{
    get_name(in, item->name);
    bool has_address = get_address(in, &item->address);
    uint8_t presence = get_u8(in);
    item->presence = (enum node_presence)presence;
    item->connections = get_u32(in);
    return has_address && reader_ok(in) && presence <= NODE_LEADS;
}

enum status view_decode(struct slice body, struct node_view *view)
{
    struct reader in = reader_of(body);
    view->term = get_u64(&in);
    view->number = get_u64(&in);
    view->count = get_u8(&in);
    if (!reader_ok(&in) || view->term == 0 || view->count == 0 || view->count > LIMIT_MEMBERS) {
        return STATUS_CORRUPT;
    }
    for (uint32_t i = 0; i < view->count; i++) {
        /* By name; two of one name while one replaces the other. */
        if (!get_item(&in, &view->items[i]) ||
            (i > 0 && strcmp(view->items[i - 1].name, view->items[i].name) > 0)) {
            return STATUS_CORRUPT;
        }
    }
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}
