/* One port for clients and for members with certificates of their own, and what was revoked. */
#include "base/mem.h"
#include "tls_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, text);
    }
}

/* --- members and clients ---------------------------------------------------------------------- */

/* Clients are met with what "ca" signed, members with what "other-ca" signed. */
static const struct tls_options member = {.cert = "node",
                                          .key = "node",
                                          .ca = "ca",
                                          .peer_cert = "stranger",
                                          .peer_key = "stranger",
                                          .peer_ca = "other-ca",
                                          .client_auth = TLS_CLIENT_OPTIONAL};

static void meet(struct tls_world *w, const struct tls_options *dialler, const char *protocol)
{
    tls_world_begin(w);
    tls_world_start_with(w, &member, dialler);
    w->protocol = protocol;
    tls_world_connect(w, "node");
}

static void members_meet_with_certificates_of_their_own(void **state)
{
    (void)state;
    struct tls_world w;
    meet(&w, &member, LOOP_PEER_PROTOCOL);
    assert_string_equal(w.log, "Oo");
    assert_true(w.server.conn->tls->is_member);
    assert_null(w.server.conn->tls->peer_name); /* it is no user */
    assert_true(w.client.conn->tls->is_member);
    tls_world_finish(&w);
}

static void a_clients_ca_makes_no_members(void **state)
{
    (void)state;
    const struct tls_options dialler = {.cert = "node", .key = "node", .ca = "other-ca"};
    struct tls_world w;
    meet(&w, &dialler, LOOP_PEER_PROTOCOL); /* says that it is a member */
    assert_null(w.server.conn);
    expect_text(w.client.trouble, "unknown ca");
    tls_world_finish(&w);

    const struct tls_options as_client = {.cert = "node", .key = "node", .ca = "ca"};
    meet(&w, &as_client, "http/1.1"); /* comes as a client, with what was good for members */
    assert_false(w.server.conn->tls->is_member);
    assert_string_equal(w.server.conn->tls->peer_name, "node");
    tls_world_finish(&w);
}

static void who_comes_as_a_member_must_show_a_certificate(void **state)
{
    (void)state;
    const struct tls_options dialler = {.ca = "other-ca"};
    struct tls_world w;
    meet(&w, &dialler, LOOP_PEER_PROTOCOL);
    assert_null(w.server.conn);
    expect_text(w.client.trouble, "certificate required");
    tls_world_finish(&w);
}

static void members_certificates_make_no_users(void **state)
{
    (void)state;
    const struct tls_options dialler = {.cert = "stranger", .key = "stranger", .ca = "ca"};
    struct tls_world w;
    meet(&w, &dialler, "http/1.1");
    assert_null(w.server.conn);
    expect_text(w.client.trouble, "unknown ca");
    tls_world_finish(&w);
}

/* As a dialler that was not told of members' certificates yet: what it is shown is another CA's. */
static void a_member_without_them_does_not_believe_it(void **state)
{
    (void)state;
    const struct tls_options dialler = {.cert = "node", .key = "node", .ca = "ca"};
    struct tls_world w;
    meet(&w, &dialler, LOOP_PEER_PROTOCOL);
    assert_null(w.client.conn);
    expect_text(w.client.trouble, "CN=stranger");
    tls_world_finish(&w);
}

/* The other way round: who accepts knows nothing of it, as versions before it. */
static void where_there_are_none_the_same_ones_do(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    const struct tls_options both = {
        .cert = "node", .key = "node", .ca = "ca", .client_auth = TLS_CLIENT_OPTIONAL};
    tls_world_start_with(&w, &both, &both);
    w.protocol = LOOP_PEER_PROTOCOL;
    tls_world_connect(&w, "node");
    assert_string_equal(w.log, "Oo");
    assert_true(w.server.conn->tls->is_member);
    assert_string_equal(w.server.conn->tls->peer_name, "node");
    tls_world_finish(&w);
}

/* --- what was revoked ------------------------------------------------------------------------- */

static const struct tls_options with_list = {
    .cert = "node", .key = "node", .ca = "ca", .crl = "ca", .client_auth = TLS_CLIENT_REQUIRE};
static const struct tls_options alice = {.cert = "alice", .key = "alice", .ca = "ca"};

static void revoked_ones_are_refused_by_name(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "alice", "ca", 30);
    tls_world_start_with(&w, &with_list, &alice);
    tls_world_connect(&w, "node");
    assert_null(w.server.conn);
    assert_int_equal(tls_side_count(&w.server).denied, 1);
    expect_text(w.client.trouble, "certificate revoked");
    tls_world_finish(&w);
}

static void others_of_that_ca_are_not(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "alice", "ca", 30);
    const struct tls_options node = {.cert = "node", .key = "node", .ca = "ca"};
    tls_world_start_with(&w, &with_list, &node);
    tls_world_connect(&w, "node");
    assert_string_equal(w.log, "Oo");
    tls_world_finish(&w);
}

static void who_dials_looks_at_it_too(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "node", "ca", 30);
    const struct tls_options server = {.cert = "node", .key = "node"};
    const struct tls_options client = {.ca = "ca", .crl = "ca"};
    tls_world_start_with(&w, &server, &client);
    tls_world_connect(&w, "node");
    assert_null(w.client.conn);
    expect_text(w.client.trouble, "the other side's certificate, CN=node, was revoked");
    tls_world_finish(&w);
}

static void a_list_grows_and_holds_on_when_it_has_run_out(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "alice", "ca", 30);
    tls_files_revoke(&w.files, "node", "ca", 0); /* to be renewed at once */
    tls_world_start_with(&w, &with_list, &alice);
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    assert_int_equal(tls_certificates(w.server.tls, list), 3);
    assert_true(list[2].is_crl);
    assert_string_equal(list[2].subject, "CN=ca");
    tls_world_connect(&w, "node");
    assert_null(w.server.conn);
    expect_text(w.client.trouble, "certificate revoked");
    tls_world_finish(&w);
}

static void a_ca_without_a_list_has_revoked_nothing(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "stranger", "other-ca", 30);
    struct tls_options server = with_list;
    server.crl = "other-ca";
    tls_world_start_with(&w, &server, &alice);
    tls_world_connect(&w, "node");
    assert_string_equal(w.log, "Oo");
    tls_world_finish(&w);
}

static void a_new_list_is_read_and_a_bad_one_is_not_used(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_begin(&w);
    tls_files_revoke(&w.files, "node", "ca", 30);
    struct tls_options server = with_list;
    server.client_auth = TLS_CLIENT_OPTIONAL;
    tls_world_start_with(&w, &server, &alice);
    char *detail = NULL;
    assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_BUSY);
    tls_files_revoke(&w.files, "alice", "ca", 30);
    assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_OK);
    tls_files_renew(&w.files, "renewed", "ca", false, 0);
    assert_int_equal(
        rename(tls_files_path(&w.files, "renewed.crt"), tls_files_path(&w.files, "ca.crl")),
        0); /* no list */
    assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_INVALID);
    expect_text(detail, "ca.crl is no PEM file with revocation lists");
    mem_free(detail);
    tls_world_connect(&w, "node");
    assert_null(w.server.conn);
    expect_text(w.client.trouble, "certificate revoked");
    tls_world_finish(&w);
}

static void who_is_revoked_while_it_is_there_is_cut_off(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tls_world w;
        tls_world_begin(&w);
        tls_files_revoke(&w.files, "node", "ca", 30);
        tls_world_start_with(&w, &with_list, &alice);
        tls_world_connect(&w, "node");
        tls_side_say(&w.client, "before");
        tls_world_run(&w);
        assert_true(tls_side_has(&w.server, "before"));
        char *detail = NULL;
        tls_files_renew(&w.files, "node", "ca", true, 0); /* others stay, whatever is new */
        assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_OK);
        tls_side_say(&w.client, ", after");
        tls_world_run(&w);
        assert_true(tls_side_has(&w.server, "before, after"));
        tls_files_revoke(&w.files, "alice", "ca", 30);
        assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_OK);
        tls_side_say(i == 0 ? &w.client : &w.server, "nobody is to read this");
        tls_world_run(&w);
        assert_null(w.server.conn);
        expect_text(w.server.trouble, "CN=alice, was revoked");
        assert_true(tls_side_has(&w.server, "before, after"));
        assert_true(tls_side_has(&w.client, ""));
        tls_world_finish(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_meet_with_certificates_of_their_own),
        cmocka_unit_test(a_clients_ca_makes_no_members),
        cmocka_unit_test(who_comes_as_a_member_must_show_a_certificate),
        cmocka_unit_test(members_certificates_make_no_users),
        cmocka_unit_test(a_member_without_them_does_not_believe_it),
        cmocka_unit_test(where_there_are_none_the_same_ones_do),
        cmocka_unit_test(revoked_ones_are_refused_by_name),
        cmocka_unit_test(others_of_that_ca_are_not),
        cmocka_unit_test(who_dials_looks_at_it_too),
        cmocka_unit_test(a_list_grows_and_holds_on_when_it_has_run_out),
        cmocka_unit_test(a_ca_without_a_list_has_revoked_nothing),
        cmocka_unit_test(a_new_list_is_read_and_a_bad_one_is_not_used),
        cmocka_unit_test(who_is_revoked_while_it_is_there_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
