#include "net/tls_client.h"

#include "base/check.h"
#include "base/mem.h"

#include <pthread.h>

static struct tls *current;

enum status tls_client_set(const struct tls_options *options, char **detail)
{
    tls_destroy(current);
    current = NULL;
    return tls_create(options, &current, detail);
}

static void create_default(void)
{
    if (current == NULL) {
        char *detail = NULL;
        CHECK(tls_create(&(struct tls_options){0}, &current, &detail) == STATUS_OK);
    }
}

struct tls *tls_client(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, create_default);
    return current;
}

struct tls_session *tls_client_dial(const char *host, const char *protocol)
{
    static pthread_mutex_t refreshing = PTHREAD_MUTEX_INITIALIZER;
    struct tls *t = tls_client();
    char *detail = NULL;
    (void)pthread_mutex_lock(&refreshing);
    if (tls_refresh(t, &detail) == STATUS_INVALID) {
        mem_free(detail); /* the old ones are good for as long as others believe them */
    }
    (void)pthread_mutex_unlock(&refreshing);
    return tls_session_dial(t, host, protocol);
}
