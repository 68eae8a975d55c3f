#include "cluster/patience.h"

#include "base/check.h"

#include <time.h>

void patience_init(pthread_mutex_t *mutex, pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    CHECK(pthread_mutex_init(mutex, NULL) == 0);
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

void patience_deinit(pthread_mutex_t *mutex, pthread_cond_t *changed)
{
    pthread_cond_destroy(changed);
    pthread_mutex_destroy(mutex);
}

void patience_wait(pthread_mutex_t *mutex, pthread_cond_t *changed, uint64_t patience_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(patience_ms / 1000);
    until.tv_nsec += (long)(patience_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(changed, mutex, &until);
}
