#include "kv_fixture.h"

#include "kv/kv.h"

int kv_fixture_create(void **state)
{
    *state = kv_create();
    return 0;
}

int kv_fixture_destroy(void **state)
{
    kv_check(*state);
    kv_destroy(*state);
    return 0;
}
