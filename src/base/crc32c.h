/* base/crc32c.h - CRC-32C (Castagnoli), hardware where there is some, a table elsewhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes, continuing from `crc` (0 to begin). crc32c(0, "123456789", 9) is
 * 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The table version, for tests that hold both against each other. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);
