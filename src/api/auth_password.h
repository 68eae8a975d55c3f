/* api/auth_password.h - passwords into hashes and against them, beside the loop.
 *
 * argon2id by libsodium takes 16 MiB and some 15 ms, on purpose. It runs on the loop's slow thread,
 * one at a time; LIMIT_PASSWORDS may wait, and further ones are refused. */
#pragma once

#include "base/slice.h"
#include "net/loop.h"

#include <stdbool.h>

struct passwords;
struct password_job;

/* The text of a hash, with its zero. */
#define PASSWORD_HASH_SIZE 128

struct passwords *passwords_create(struct loop *loop);
/* What runs is finished by the loop, and nobody is told. */
void passwords_destroy(struct passwords *p);

/* What came of it: `hash` is the hash of one to be hashed; it is empty if there was no memory for
 * it, as `is_right` is false. Borrowed. */
typedef void password_done(void *context, bool is_right, struct slice hash);

/* Both copy what they need, and call `done` once, later, on the loop. NULL: LIMIT_PASSWORDS
 * wait. */
struct password_job *password_hash_start(struct passwords *p, struct slice password,
                                         password_done *done, void *context);
/* Is it the password of `hash`? Of an empty hash it never is, which takes as long. */
struct password_job *password_check_start(struct passwords *p, struct slice hash,
                                          struct slice password, password_done *done,
                                          void *context);
/* `done` is not called. */
void password_cancel(struct password_job *job);
