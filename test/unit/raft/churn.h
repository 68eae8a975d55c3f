/* test/unit/raft/churn.h - changes of membership by chance, for the random schedules. */
#pragma once

#include "world.h"

/* Ask member `id` for a change that is drawn from what it knows: a learner more, some members
 * less, learners promoted, voters demoted or replaced, one voter out of many, many out of one. */
enum status churn_ask(struct world *w, node_id id);
/* That member may not lead, or may again; a restart forgets it. */
void churn_bar(struct world *w, node_id id, bool barred);
/* A random order of all members. */
void churn_prefer(struct world *w);
