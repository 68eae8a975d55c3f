/* gate_world.h - three whole members (doors for HTTP and gRPC, node, raft, log, store) on virtual
 * time, as cmd/server_run.c puts them together, over the disk, the network and the clock that the
 * unit tests use: the same work in every run, to the instruction. */
#pragma once

#include "fake_disk.h"
#include "fake_world.h"

#include "node/node.h"

#include <stdint.h>

#define GATE_MEMBERS 3
#define GATE_PORT    4000

struct gate_member {
    struct fake_disk *disk;
    struct loop *loop;
    struct node *node;
    struct api *api;
    struct http_server *http;
    struct grpc_server *grpc;
};

struct gate_world {
    struct fake_world *world;
    struct gate_member members[GATE_MEMBERS];
    uint32_t leader;
    struct loop *client; /* a process of its own, a millisecond away from all members */
};

/* Founded, and one leads. The process ends when that does not happen. */
struct gate_world *gate_world_create(void);
void gate_world_destroy(struct gate_world *w);
/* The host of the leader, to dial. */
const char *gate_world_leader(const struct gate_world *w);
/* Revision of the leader's store. */
uint64_t gate_world_revision(const struct gate_world *w);
