/* cmd/server_run.h - one member, put together: loop, disk, node, HTTP. */
#pragma once

#include "cmd/server_settings.h"

/* Serve until SIGTERM or SIGINT. Returns the exit code. `on_listening` is called once, when the
 * port is open. */
int server_run(const struct server_settings *s,
               void (*on_listening)(const struct server_settings *s));
