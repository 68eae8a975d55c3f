/* Rosters and identities as bytes: what is written comes back, and nothing else is read. */
#include "node/roster.h"

#include "base/codec.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct uuid uuid_of(uint8_t n)
{
    struct uuid id = {{n, 1, 2, 3}};
    return id;
}

static struct roster roster_of(uint32_t count)
{
    struct roster r = {.cluster = uuid_of(200), .count = count};
    for (uint32_t i = 0; i < count; i++) {
        snprintf(r.members[i].name, sizeof(r.members[i].name), "node-%c", 'a' + (int)i);
        snprintf(r.members[i].url, sizeof(r.members[i].url), "http://host-%u:4000", i);
        r.members[i].incarnation = uuid_of((uint8_t)(i + 1));
    }
    return r;
}

static bool roster_reads(struct slice bytes)
{
    struct reader in = reader_of(bytes);
    struct roster r;
    roster_decode(&in, &r);
    return reader_done(&in);
}

static void rosters_come_back(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= LIMIT_MEMBERS; count++) {
        struct roster r = count > 0 ? roster_of(count) : (struct roster){0};
        struct buf b = {0};
        roster_encode(&r, &b);
        struct reader in = reader_of(buf_slice(&b));
        struct roster back;
        roster_decode(&in, &back);
        assert_true(reader_done(&in));
        assert_true(roster_equal(&r, &back));
        buf_deinit(&b);
    }
}

static void rosters_differ_in_every_field(void **state)
{
    (void)state;
    const struct roster r = roster_of(3);
    struct roster other = r;
    assert_true(roster_equal(&r, &other));
    other.cluster = uuid_of(9);
    assert_false(roster_equal(&r, &other));
    other = r;
    other.count = 2;
    assert_false(roster_equal(&r, &other));
    other = r;
    other.members[2].name[0] = 'x';
    assert_false(roster_equal(&r, &other));
    other = r;
    other.members[1].url[0] = 'x';
    assert_false(roster_equal(&r, &other));
    other = r;
    other.members[0].incarnation = uuid_of(77);
    assert_false(roster_equal(&r, &other));
}

static void rosters_out_of_order_or_with_doubles_are_refused(void **state)
{
    (void)state;
    for (int trouble = 0; trouble < 6; trouble++) {
        struct roster r = roster_of(3);
        switch (trouble) {
        case 0: {
            struct roster_member first = r.members[0];
            r.members[0] = r.members[1];
            r.members[1] = first;
            break;
        }
        case 1:
            memcpy(r.members[1].name, r.members[0].name, sizeof(r.members[0].name));
            break;
        case 2:
            r.members[2].incarnation = r.members[0].incarnation;
            break;
        case 3:
            r.members[1].url[3] = '\n';
            break;
        case 4:
            r.members[1].incarnation = (struct uuid){0};
            break;
        case 5:
            r.members[0].url[0] = '\x7f';
            break;
        default:
            break;
        }
        struct buf b = {0};
        roster_encode(&r, &b);
        assert_false(roster_reads(buf_slice(&b)));
        buf_deinit(&b);
    }
}

static void cut_or_longer_rosters_are_refused(void **state)
{
    (void)state;
    struct roster r = roster_of(3);
    struct buf b = {0};
    roster_encode(&r, &b);
    for (size_t size = 0; size < b.size; size++) {
        assert_false(roster_reads(slice_of(b.data, size)));
    }
    assert_true(roster_reads(buf_slice(&b)));
    put_u8(&b, 0);
    assert_false(roster_reads(buf_slice(&b)));
    buf_deinit(&b);
}

static struct identity identity_of(enum founding_phase phase)
{
    struct identity id = {.incarnation = uuid_of(1), .log_id = uuid_of(99), .phase = phase};
    snprintf(id.name, sizeof(id.name), "node-a");
    if (phase != FOUNDING_FRESH) {
        id.roster = roster_of(3);
    }
    return id;
}

static void identities_come_back_in_every_phase(void **state)
{
    (void)state;
    for (int phase = FOUNDING_FRESH; phase <= FOUNDING_FOUNDED; phase++) {
        struct identity id = identity_of((enum founding_phase)phase);
        struct identity back;
        struct buf b = {0};
        identity_encode(&id, &b);
        assert_int_equal(identity_decode(buf_slice(&b), &back), STATUS_OK);
        assert_string_equal(back.name, "node-a");
        assert_true(uuid_equal(back.incarnation, id.incarnation));
        assert_true(uuid_equal(back.log_id, id.log_id));
        assert_int_equal(back.phase, phase);
        assert_true(roster_equal(&back.roster, &id.roster));
        buf_deinit(&b);
    }
}

/* d joined a, b and c, and was removed later. */
static struct identity joined_identity(void)
{
    struct identity id = identity_of(FOUNDING_FOUNDED);
    snprintf(id.name, sizeof(id.name), "node-d");
    id.incarnation = uuid_of(4);
    id.joined = roster_of(4);
    id.joined_index = 17;
    id.boots = 3;
    id.end = IDENTITY_REMOVED;
    id.end_index = 40;
    return id;
}

static enum status round_trip(const struct identity *id, struct identity *back)
{
    struct buf b = {0};
    identity_encode(id, &b);
    enum status s = identity_decode(buf_slice(&b), back);
    buf_deinit(&b);
    return s;
}

static void identities_of_members_that_joined_come_back_and_impossible_ones_do_not(void **state)
{
    (void)state;
    const struct identity id = joined_identity();
    struct identity back;
    assert_int_equal(round_trip(&id, &back), STATUS_OK);
    assert_true(roster_equal(&back.joined, &id.joined));
    assert_int_equal(back.joined_index, 17);
    assert_int_equal(back.boots, 3);
    assert_int_equal(back.end, IDENTITY_REMOVED);
    assert_int_equal(back.end_index, 40);
    struct identity bad = id;
    bad.end = IDENTITY_GOES_ON;
    assert_int_equal(round_trip(&bad, &back), STATUS_CORRUPT);
    bad = id;
    bad.joined_index = 0;
    assert_int_equal(round_trip(&bad, &back), STATUS_CORRUPT);
    bad = id;
    bad.joined = roster_of(3); /* not itself */
    assert_int_equal(round_trip(&bad, &back), STATUS_CORRUPT);
    bad = id;
    bad.joined.cluster = uuid_of(77);
    assert_int_equal(round_trip(&bad, &back), STATUS_CORRUPT);
    bad = id;
    bad.phase = FOUNDING_PROMISED;
    assert_int_equal(round_trip(&bad, &back), STATUS_CORRUPT);
}

static void an_identity_of_another_format_is_named_and_a_wrong_one_refused(void **state)
{
    (void)state;
    struct identity id = identity_of(FOUNDING_FOUNDED);
    struct identity back;
    struct buf b = {0};
    identity_encode(&id, &b);
    b.data[0]++;
    assert_int_equal(identity_decode(buf_slice(&b), &back), STATUS_UNSUPPORTED);
    b.data[0]--;
    for (size_t size = 0; size < b.size; size++) {
        assert_int_equal(identity_decode(slice_of(b.data, size), &back), STATUS_CORRUPT);
    }
    /* A roster that does not hold its owner. */
    id.roster.members[0].incarnation = uuid_of(50);
    buf_clear(&b);
    identity_encode(&id, &b);
    assert_int_equal(identity_decode(buf_slice(&b), &back), STATUS_CORRUPT);
    buf_deinit(&b);
}

static void changed_bytes_never_give_what_the_encoder_would_not_write(void **state)
{
    (void)state;
    struct rng chance;
    rng_init(&chance, 7);
    struct identity id = joined_identity();
    struct buf b = {0};
    identity_encode(&id, &b);
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rng_below(&chance, b.size);
        uint8_t before = b.data[at];
        b.data[at] = (uint8_t)rng_next(&chance);
        struct identity back;
        if (identity_decode(buf_slice(&b), &back) == STATUS_OK) {
            struct buf again = {0};
            identity_encode(&back, &again);
            assert_true(slice_equal(buf_slice(&b), buf_slice(&again)));
            buf_deinit(&again);
        }
        b.data[at] = before;
    }
    buf_deinit(&b);
}

static void names_follow_the_contract(void **state)
{
    (void)state;
    char long_name[LIMIT_NAME_BYTES + 2];
    memset(long_name, 'a', sizeof(long_name));
    long_name[LIMIT_NAME_BYTES + 1] = 0;
    assert_false(member_name_is_valid(long_name));
    long_name[LIMIT_NAME_BYTES] = 0;
    assert_true(member_name_is_valid(long_name));
    assert_true(member_name_is_valid("node-1"));
    assert_true(member_name_is_valid("A.b_9"));
    assert_false(member_name_is_valid(""));
    assert_false(member_name_is_valid(".hidden"));
    assert_false(member_name_is_valid("a/b"));
    assert_false(member_name_is_valid("a b"));
    assert_false(member_name_is_valid("n\xc3\xb6"));
}

static bool url_comes_back(size_t size)
{
    char url[LIMIT_URL_BYTES];
    struct buf bytes = {0};
    put_u16(&bytes, (uint16_t)size);
    memset(buf_reserve(&bytes, size), 'u', size);
    bytes.size += size;
    struct reader in = reader_of(buf_slice(&bytes));
    get_url(&in, url);
    bool is_fine = reader_done(&in) && strlen(url) == size;
    if (is_fine) {
        struct buf again = {0};
        put_url(&again, url);
        assert_true(slice_equal(buf_slice(&again), buf_slice(&bytes)));
        buf_deinit(&again);
    }
    buf_deinit(&bytes);
    return is_fine;
}

static void rule_o1_an_url_is_so_long_and_no_longer(void **state)
{
    (void)state;
    assert_true(url_comes_back(0));
    assert_true(url_comes_back(LIMIT_URL_BYTES - 1));
    assert_false(url_comes_back(LIMIT_URL_BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rosters_come_back),
        cmocka_unit_test(rosters_differ_in_every_field),
        cmocka_unit_test(rosters_out_of_order_or_with_doubles_are_refused),
        cmocka_unit_test(cut_or_longer_rosters_are_refused),
        cmocka_unit_test(identities_come_back_in_every_phase),
        cmocka_unit_test(identities_of_members_that_joined_come_back_and_impossible_ones_do_not),
        cmocka_unit_test(an_identity_of_another_format_is_named_and_a_wrong_one_refused),
        cmocka_unit_test(changed_bytes_never_give_what_the_encoder_would_not_write),
        cmocka_unit_test(names_follow_the_contract),
        cmocka_unit_test(rule_o1_an_url_is_so_long_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
