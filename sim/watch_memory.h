/* watch_memory.h - how many blocks of memory the code under test holds (I19). */
#pragma once

#include <stdint.h>

int64_t watch_memory_blocks(void);
