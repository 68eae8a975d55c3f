/* Recovering (rule P4): this member's disk lost a part of the log that it had acknowledged. Term,
 * vote and lease promise are intact, or it would not run.
 *
 * It grants no vote and no pre-vote and does not campaign; every answer that it gives to a leader
 * says `recovering`. The leader then takes `match` as it is, forgets what it was told before (the
 * one exception of rule R4), counts the member in no quorum of a commit, and its heartbeats say
 * `recovering` and which entry is its last. The member is whole again when in one term everything
 * up to the first such `last` of that term is verified against that leader and durable; when that
 * is on disk (persist.recovered), it speaks without the flag.
 *
 * Why nothing that is committed can be lost by it. Compare the member M with a member M* that has
 * not lost anything but was stopped at that moment. All that others can learn of M while it
 * recovers is its term (intact), refusals, and matches that are not counted. So every election and
 * every commit is one that could have been with M* standing still, and Raft is safe with that. That
 * covers the matches of before the loss as well: the leader may have one that M sent before it
 * died, or one that is still on its way, may never hear a flagged answer since all are lost, and
 * may commit by that match. With M* that commit is an ordinary one: M* holds the entry. Nobody can
 * tell the difference before M votes, or is counted again. So it needs no word of the restart, and
 * how the flagged answers are lost or come in another order does not matter: one that was sent
 * before the loss is as true of M* as ever; one that comes late after M is whole lowers `match` for
 * a moment, which is always safe, and the next answer raises it again.
 *
 * What remains is the moment when M counts again: it must hold all that M* held, as far as it was
 * or can still be committed. Let M become whole in term T under its leader L, by a `last` that L
 * sent after it heard of the loss.
 *   - What M acknowledged to L itself, before the loss, L's log had then, and it only grows: `last`
 *     covers it. (What M acknowledged to L since then it holds, and it was not counted.)
 *   - What M acknowledged to a leader of a lower term: if that is ever committed, early or late,
 *     then a voter of L had acknowledged it before it voted, M* with all its log if that was M. So
 *     L's log has it (leader completeness of the cluster with M*), and `last` covers it.
 * The target is therefore bound to the term, and dies with it. A heartbeat that was sent to the
 * process of before the loss must not reach this one (two losses in one term, and the first one's
 * target): the host's links end with the process.
 *
 * Its answers do count where only its term matters: check-quorum (rule E7) and read rounds (rule
 * Q2) ask "did you follow somebody newer?", and it would know. A leader that has only recovering
 * members left thus goes on leading, and commits nothing until one of them is whole. But when the
 * leader of two goes as well, nobody can be elected until it is back, and a lone voter that
 * recovers stays silent for ever: what it lost, nobody else has. */
#include "raft/raft_internal.h"

bool raft_is_recovering(const struct raft *r)
{
    return r->durable.recovering;
}

void recovering_on_heartbeat(struct raft *r, const struct raft_message *m)
{
    struct recovering *own = &r->recovering;
    if (!raft_is_recovering(r) || !m->recovering || own->complete || own->term == r->term) {
        return;
    }
    own->term = r->term;
    own->target = m->last.index;
}

/* Before the turn's persist is made. */
void recovering_turn(struct raft *r)
{
    struct recovering *own = &r->recovering;
    own->complete = own->complete || (raft_is_recovering(r) && r->role == RAFT_FOLLOWER &&
                                      r->leader != 0 && own->term == r->term && own->target != 0 &&
                                      follower_acknowledgeable(r) >= own->target);
}

void recovering_on_durable(struct raft *r, bool was_recovering)
{
    if (was_recovering && !raft_is_recovering(r)) {
        r->recovering = (struct recovering){0};
        r->debt.owed = r->leader != 0; /* the same answer, and now it counts */
        outbox_event(r, RAFT_EVENT_RECOVERED, r->log.last, r->term);
    }
}

void recovering_note_answer(struct progress *p, const struct raft_message *m)
{
    if (m->recovering && (!p->recovering || m->match < p->match)) {
        progress_on_loss(p, m->match);
    }
    p->recovering = m->recovering;
}
