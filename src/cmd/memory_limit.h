/* cmd/memory_limit.h - how much memory this process may use, for the default of --quota-bytes. */
#pragma once

#include <stdint.h>

/* The memory of the machine or of the control group, whichever is less. */
uint64_t memory_limit_bytes(void);
/* Half of that, at most 8 GiB. */
uint64_t memory_quota_default(void);
/* An eighth of it, for --max-client-bytes. */
uint64_t memory_clients_default(void);
