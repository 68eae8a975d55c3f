/* cmd/server_registry.h - ties a member to its registry (cluster/registry_watch.h).
 *
 * How a member begins is fixed when its node is opened, so a fresh one has lives: in the first it
 * only looks around, and in the next it founds or joins. A member that is one already has one life,
 * in which its entry is kept. */
#pragma once

#include "cmd/server_settings.h"
#include "net/loop.h"
#include "wal/disk.h"

#include <stdbool.h>

struct server_registry;

/* NULL without --registry. `random` comes from `loop`. */
struct server_registry *server_registry_create(const struct server_settings *s, struct loop *loop);
void server_registry_destroy(struct server_registry *r);

/* With which a life begins: never none to join, which would found. */
void server_registry_set_options(const struct server_registry *r, struct node_options *options);
/* A life began; they are borrowed until server_registry_pause. The loop is stopped when the life
 * has to end. */
void server_registry_watch(struct server_registry *r, struct loop *loop, struct node *node,
                           struct disk *disk);
void server_registry_pause(struct server_registry *r);
/* After the node was destroyed: do to its data directory what was decided. True: live again. Else
 * *exit_code is 2 when it was refused, and untouched otherwise. */
bool server_registry_next_life(struct server_registry *r, struct disk *disk, int *exit_code);
