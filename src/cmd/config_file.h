/* cmd/config_file.h - the settings file of `--config`: YAML, or JSON, which libyaml reads as well.
 *
 *   listen: 0.0.0.0:4000          keys are the flags' names
 *   peers: [http://a:4000, http://b:4000]
 *   members:                      one file serves all members:
 *     node-1: {advertise: http://a:4000}
 *
 * Plain maps, lists and scalars only: anchors, aliases and tags are refused, and so are unknown
 * keys and keys given twice, each with its line. The whole file is checked, also other members'
 * parts. */
#pragma once

#include "cmd/options.h"

/* Set the rows that are still open from the file at `path`. The member's own name, which chooses
 * its part under `members`, is what `name_row` holds: set already, else in the file itself, else
 * the row's default. INVALID: the error in `o` names file, line and key. */
enum status MUST_CHECK config_file_read(struct options *o, const char *path, size_t name_row);
