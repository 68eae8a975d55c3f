/* base/check.h - assertions that stay on in release builds.
 *
 * A failed CHECK is a bug of ours: print where and what, abort. Never CHECK bytes that came from
 * outside; those are STATUS_CORRUPT or STATUS_INVALID. DCHECK is for O(n) scans in test builds. */
#pragma once

#include <inttypes.h>
#include <stdint.h>

_Noreturn void check_failed(const char *file, int line, const char *expr);
_Noreturn void check_failed_values(const char *file, int line, const char *expr, uint64_t left,
                                   uint64_t right);

#define CHECK(expr) ((expr) ? (void)0 : check_failed(__FILE__, __LINE__, #expr))

/* Compare two unsigned values and print both when it fails: CHECK_CMP(match, <, next). */
#define CHECK_CMP(left, op, right)                                                                 \
    do {                                                                                           \
        uint64_t check_left_ = (uint64_t)(left);                                                   \
        uint64_t check_right_ = (uint64_t)(right);                                                 \
        if (!(check_left_ op check_right_)) {                                                      \
            check_failed_values(__FILE__, __LINE__, #left " " #op " " #right, check_left_,         \
                                check_right_);                                                     \
        }                                                                                          \
    } while (0)

#ifdef CONCLAVE_DCHECK
#define DCHECK(expr) CHECK(expr)
#else
#define DCHECK(expr) ((void)sizeof((expr) ? 1 : 0))
#endif
