/* api/host.h - is a request meant for this member?
 *
 * A web page of evil.example whose name is made to resolve to 127.0.0.1 (DNS rebinding) is of the
 * same origin as whatever answers there, and may read and write it; only Host tells. A page's host
 * is a name that its owner can make resolve as he likes: one with a dot, of the public DNS. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* `host`: the header, with or without a port; empty when there is none. True for addresses,
 * localhost and what ends in .localhost, names without a dot, the host of `advertise` (a URL, or
 * NULL), and the names in `allowed` (between commas, or NULL): "db.example.org",
 * ".example.org" for all below, "*" for all. */
bool host_is_known(struct slice host, const char *advertise, const char *allowed);
