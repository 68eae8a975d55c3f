/* node/old_copy.c - rule C7: a data directory that was put back from an older copy has forgotten
 * what it promised, and must not vote.
 *
 * Every start is counted in the identity before anybody hears of it, and every hello tells the
 * count. Whoever knows a member from before refuses a process that is new to it and counts no more
 * than the others did, or whose term went back. The knowledge is in memory only: it does not
 * survive a restart of all the others, and needs not to be exact, for it is a net below rule P7. */
#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void node_words_of_end(const struct node *n, char *text, size_t size)
{
    if (n->identity.end == IDENTITY_REMOVED) {
        snprintf(
            text, size,
            "%s was removed from its cluster by the configuration at entry %" PRIu64
            ", and %s is of no use any more. To come back as a new member: an empty --data and "
            "--join",
            n->name, n->identity.end_index, n->options.data_dir);
    } else if (n->identity.end == IDENTITY_UNFINISHED) {
        snprintf(text, size,
                 "%s holds a backup whose restoring was broken off: empty it and restore again",
                 n->options.data_dir);
    } else {
        snprintf(
            text, size,
            "the other members know a later state of %s than %s holds: it was put back from an "
            "older copy, or its disk lost what it had synced. It must not take part. Say "
            "\"conclave member replace %s\", then start with an empty --data and --join",
            n->name, n->options.data_dir, n->name);
    }
}

enum status node_count_boot(struct node *n, char **detail)
{
    if (n->identity.end != IDENTITY_GOES_ON) {
        char words[1024];
        node_words_of_end(n, words, sizeof(words));
        *detail = mem_strdup(words);
        return n->identity.end == IDENTITY_OLD_COPY ? STATUS_CORRUPT : STATUS_CONFLICT;
    }
    n->identity.boots++;
    buf_clear(&n->scratch);
    identity_encode(&n->identity, &n->scratch);
    enum status s = record_save(n->disk, IDENTITY_RECORD, buf_slice(&n->scratch));
    buf_clear(&n->scratch);
    if (s == STATUS_NO_SPACE) {
        /* A full disk must not keep a member down: it goes on, and is not judged by its count. */
        log_warn("this start could not be counted: %s", status_text(s));
        n->identity.boots--;
        return STATUS_OK;
    }
    n->boots_told = n->identity.boots;
    return s;
}

static struct acquaintance *find(struct node *n, struct uuid incarnation)
{
    for (uint32_t i = 0; i < LIMIT_PEERS_KNOWN; i++) {
        if (uuid_equal(n->acquaintances[i].incarnation, incarnation)) {
            return &n->acquaintances[i];
        }
    }
    return NULL;
}

const struct acquaintance *node_acquaintance(const struct node *n, struct uuid incarnation)
{
    return find((struct node *)(uintptr_t)n, incarnation);
}

/* There are twice as many as members, so one of them is no member (any more). */
static struct acquaintance *find_room(struct node *n)
{
    for (uint32_t i = 0; i < LIMIT_PEERS_KNOWN; i++) {
        struct acquaintance *a = &n->acquaintances[i];
        if (membership_find(&n->membership, a->incarnation) == NULL) {
            return a;
        }
    }
    return NULL;
}

/* What a process said once is not held against it later: its hellos overtake each other on several
 * links, messages overtake them, and one of a former life may come after those of the next. A copy
 * that was put back runs in a process that nobody has heard. */
static bool knows_boot(const struct acquaintance *a, struct uuid boot)
{
    for (uint32_t i = 0; i < BOOTS_KNOWN; i++) {
        if (uuid_equal(a->boot[i], boot)) {
            return true;
        }
    }
    return false;
}

bool node_remember_hello(struct node *n, const struct peer_hello *hello)
{
    struct acquaintance *a = find(n, hello->incarnation);
    if (a == NULL) {
        a = find_room(n);
        if (a == NULL) {
            return true;
        }
        *a = (struct acquaintance){.incarnation = hello->incarnation};
    }
    bool counts_back = hello->boots != 0 && hello->boots <= a->boots;
    bool forgot_term = hello->phase == FOUNDING_FOUNDED && hello->term < a->term;
    bool is_known = knows_boot(a, hello->boot);
    if (!is_known && (counts_back || forgot_term)) {
        log_warn("%s was put back from an older copy: it says start=%" PRIu64 " term=%" PRIu64
                 ", and said start=%" PRIu64 " term=%" PRIu64,
                 hello->name, hello->boots, hello->term, a->boots, a->term);
        return false;
    }
    if (!is_known) {
        memmove(&a->boot[1], &a->boot[0], (BOOTS_KNOWN - 1) * sizeof(a->boot[0]));
        a->boot[0] = hello->boot;
    }
    a->boots = hello->boots > a->boots ? hello->boots : a->boots;
    if (a->priority != hello->priority) {
        a->priority = hello->priority;
        node_members_rank(n);
    }
    return true;
}

void node_accuse(struct node *n, const struct peer_hello *hello)
{
    struct buf body = {0};
    put_uuid(&body, hello->boot);
    put_u8(&body, (uint8_t)hello->phase);
    peers_send_note(n->peers, hello->incarnation, PEER_NOTE_OLD_COPY, buf_slice(&body));
    buf_deinit(&body);
}

void node_on_accused(struct node *n, struct slice body)
{
    struct reader in = reader_of(body);
    struct uuid boot = get_uuid(&in);
    uint8_t phase = get_u8(&in);
    if (reader_done(&in) && uuid_equal(boot, n->boot) && phase == n->identity.phase) {
        node_retire(n, IDENTITY_OLD_COPY, 0);
    }
}

void node_remember_term(struct node *n, struct uuid from, const struct raft_message *message)
{
    if (message->type == RAFT_MSG_PREVOTE || message->type == RAFT_MSG_PREVOTE_REPLY) {
        return; /* their terms are nobody's yet */
    }
    struct acquaintance *a = find(n, from);
    if (a != NULL && message->term > a->term) {
        a->term = message->term;
    }
}
