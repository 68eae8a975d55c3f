/* kv_fixture.h - an empty store as the state of a test, sound at its end. */
#pragma once

int kv_fixture_create(void **state);
int kv_fixture_destroy(void **state);
