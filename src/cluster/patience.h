/* cluster/patience.h - waiting for another thread, but not for ever. */
#pragma once

#include <pthread.h>
#include <stdint.h>

void patience_init(pthread_mutex_t *mutex, pthread_cond_t *changed);
void patience_deinit(pthread_mutex_t *mutex, pthread_cond_t *changed);
/* Requires: `mutex` is held. Until `changed` is signalled, or for so long; or for no reason. */
void patience_wait(pthread_mutex_t *mutex, pthread_cond_t *changed, uint64_t patience_ms);
