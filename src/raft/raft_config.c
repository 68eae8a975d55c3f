/* The bytes of a configuration: a version, three counts, the ids of voters, outgoing voters and
 * learners in the order in which they are given, and the annex to the end. One configuration has
 * one encoding, so whatever decodes is what was encoded. */
#include "raft/raft_config.h"

#include "base/check.h"
#include "base/codec.h"
#include "raft/quorum.h"

#include <string.h>

#define CONFIG_VERSION 1

static bool is_list(const node_id *ids, uint32_t count)
{
    if (count > LIMIT_MEMBERS) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0) {
            return false;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (ids[k] == ids[i]) {
                return false;
            }
        }
    }
    return true;
}

bool raft_config_is_sound(const struct raft_config *config)
{
    if (config->voter_count == 0 || !is_list(config->voters, config->voter_count) ||
        !is_list(config->outgoing, config->outgoing_count) ||
        !is_list(config->learners, config->learner_count)) {
        return false;
    }
    for (uint32_t i = 0; i < config->voter_count; i++) {
        if (config_has_learner(config, config->voters[i])) {
            return false;
        }
    }
    return true;
}

static void put_ids(struct buf *out, const node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_u64(out, ids[i]);
    }
}

struct blob *raft_config_encode(const struct raft_config *config, struct slice annex)
{
    CHECK(raft_config_is_sound(config));
    CHECK_CMP(annex.size, <=, LIMIT_CONFIG_ANNEX_BYTES);
    struct buf out = {0};
    put_u8(&out, CONFIG_VERSION);
    put_u8(&out, (uint8_t)config->voter_count);
    put_u8(&out, (uint8_t)config->outgoing_count);
    put_u8(&out, (uint8_t)config->learner_count);
    put_ids(&out, config->voters, config->voter_count);
    put_ids(&out, config->outgoing, config->outgoing_count);
    put_ids(&out, config->learners, config->learner_count);
    buf_append_slice(&out, annex);
    struct blob *payload = blob_copy(buf_slice(&out));
    buf_deinit(&out);
    return payload;
}

static uint32_t get_count(struct reader *in)
{
    uint32_t count = get_u8(in);
    in->bad = in->bad || count > LIMIT_MEMBERS;
    return in->bad ? 0 : count;
}

static void get_ids(struct reader *in, node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = get_u64(in);
    }
}

enum status raft_config_decode(struct slice payload, struct raft_config *config,
                               struct slice *annex)
{
    struct reader in = reader_of(payload);
    *config = (struct raft_config){0};
    *annex = (struct slice){0};
    bool known = get_u8(&in) == CONFIG_VERSION;
    config->voter_count = get_count(&in);
    config->outgoing_count = get_count(&in);
    config->learner_count = get_count(&in);
    get_ids(&in, config->voters, config->voter_count);
    get_ids(&in, config->outgoing, config->outgoing_count);
    get_ids(&in, config->learners, config->learner_count);
    if (!known || !reader_ok(&in) || reader_left(&in) > LIMIT_CONFIG_ANNEX_BYTES ||
        !raft_config_is_sound(config)) {
        *config = (struct raft_config){0};
        return STATUS_CORRUPT;
    }
    *annex = get_raw(&in, reader_left(&in));
    return STATUS_OK;
}
