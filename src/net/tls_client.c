#include "net/tls_client.h"

#include "base/check.h"

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
