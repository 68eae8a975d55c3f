/* raft/raft_config.h - what a configuration must be; its bytes are in raft.h. Pure. */
#pragma once

#include "raft/raft.h"

/* What raft_config_encode takes: no list too long, some voter, no id zero or twice in one list, no
 * voter that is a learner. An outgoing voter may be one: it becomes a learner. */
bool raft_config_is_sound(const struct raft_config *config);
