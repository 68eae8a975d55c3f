#include "node/snapshot_wire.h"

#include "base/codec.h"
#include "node/roster.h"

#define META_VERSION 1

bool snapshot_id_equal(struct snapshot_id a, struct snapshot_id b)
{
    return a.index == b.index && a.term == b.term;
}

bool snapshot_tag_equal(struct snapshot_tag a, struct snapshot_tag b)
{
    return snapshot_id_equal(a.id, b.id) && a.crc == b.crc;
}

struct snapshot_tag snapshot_tag_of(const struct snapshot_file *file)
{
    return (struct snapshot_tag){.id = file->id, .crc = file->crc};
}

static void put_id(struct buf *out, struct snapshot_id id)
{
    put_u64(out, id.index);
    put_u64(out, id.term);
}

/* Nothing is a snapshot before the first entry, or of no term. */
static struct snapshot_id get_id(struct reader *r)
{
    struct snapshot_id id;
    id.index = get_u64(r);
    id.term = get_u64(r);
    r->bad = r->bad || id.index == 0 || id.term == 0;
    return id;
}

static void put_tag(struct buf *out, struct snapshot_tag tag)
{
    put_id(out, tag.id);
    put_u32(out, tag.crc);
}

static struct snapshot_tag get_tag(struct reader *r)
{
    struct snapshot_tag tag;
    tag.id = get_id(r);
    tag.crc = get_u32(r);
    return tag;
}

void snapshot_offer_encode(const struct snapshot_offer *o, struct buf *out)
{
    put_u64(out, o->term);
    put_uuid(out, o->file.cluster);
    put_tag(out, snapshot_tag_of(&o->file));
    put_u64(out, o->file.size_bytes);
}

enum status snapshot_offer_decode(struct slice bytes, struct snapshot_offer *o)
{
    struct reader r = reader_of(bytes);
    *o = (struct snapshot_offer){0};
    o->term = get_u64(&r);
    o->file.cluster = get_uuid(&r);
    struct snapshot_tag tag = get_tag(&r);
    o->file.id = tag.id;
    o->file.crc = tag.crc;
    o->file.size_bytes = get_u64(&r);
    bool ok = reader_done(&r) && o->file.size_bytes > 0 && o->term >= o->file.id.term;
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

void snapshot_want_encode(const struct snapshot_want *w, struct buf *out)
{
    put_tag(out, w->tag);
    put_u8(out, (uint8_t)w->answer);
    put_u64(out, w->offset);
}

enum status snapshot_want_decode(struct slice bytes, struct snapshot_want *w)
{
    struct reader r = reader_of(bytes);
    w->tag = get_tag(&r);
    uint8_t answer = get_u8(&r);
    w->answer = (enum snapshot_answer)answer;
    w->offset = get_u64(&r);
    bool known = answer >= SNAPSHOT_FROM && answer <= SNAPSHOT_REFUSED;
    return reader_done(&r) && known ? STATUS_OK : STATUS_CORRUPT;
}

void snapshot_piece_encode(const struct snapshot_piece *p, struct buf *out)
{
    put_tag(out, p->tag);
    put_u64(out, p->offset);
    buf_append_slice(out, p->bytes);
}

enum status snapshot_piece_decode(struct slice bytes, struct snapshot_piece *p)
{
    struct reader r = reader_of(bytes);
    p->tag = get_tag(&r);
    p->offset = get_u64(&r);
    p->bytes = get_raw(&r, reader_left(&r));
    bool fits = p->bytes.size > 0 && p->bytes.size <= SNAPSHOT_PIECE_BYTES;
    return reader_done(&r) && fits ? STATUS_OK : STATUS_CORRUPT;
}

void snapshot_meta_encode(const struct snapshot_meta *m, struct buf *out)
{
    struct blob *config = raft_config_encode(&m->config, m->annex);
    put_u8(out, META_VERSION);
    put_varint(out, m->config_index);
    put_varint(out, m->revision);
    put_bytes(out, blob_slice(config));
    blob_unref(config);
}

enum status snapshot_meta_decode(struct slice bytes, struct snapshot_meta *m)
{
    *m = (struct snapshot_meta){0};
    struct reader r = reader_of(bytes);
    uint8_t version = get_u8(&r);
    if (reader_ok(&r) && version != META_VERSION) {
        return version > META_VERSION ? STATUS_UNSUPPORTED : STATUS_CORRUPT;
    }
    m->config_index = get_varint(&r);
    m->revision = get_varint(&r);
    struct slice config = get_bytes(&r);
    if (!reader_done(&r) || bytes.size > LIMIT_SNAPSHOT_META_BYTES) {
        return STATUS_CORRUPT;
    }
    return raft_config_decode(config, &m->config, &m->annex);
}
