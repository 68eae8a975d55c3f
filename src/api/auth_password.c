#include "api/auth_password.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define HASH_PASSES crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE
#define HASH_MEMORY (16u * MIB)

static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "a hash has libsodium's size");

/* Of a password that nobody knows; made with the same passes and memory. */
static const char hash_of_nothing[] = "$argon2id$v=19$m=16384,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

struct passwords {
    struct loop *loop;
    uint32_t waiting; /* jobs whose `done` the loop has not called */
    bool is_gone;     /* freed with the last job */
};

struct password_job {
    struct work work;
    struct passwords *passwords;
    struct buf password;
    char hash[PASSWORD_HASH_SIZE];
    bool is_check;
    bool is_right;
    password_done *done; /* NULL: cancelled */
    void *context;
};

struct passwords *passwords_create(struct loop *loop)
{
    CHECK(sodium_init() >= 0);
    struct passwords *p = mem_calloc(1, sizeof(*p));
    p->loop = loop;
    return p;
}

void passwords_destroy(struct passwords *p)
{
    p->is_gone = true;
    if (p->waiting == 0) {
        mem_free(p);
    }
}

static void run_job(struct work *w)
{
    struct password_job *job = CONTAINER_OF(w, struct password_job, work);
    const char *password = (const char *)job->password.data;
    if (job->is_check) {
        job->is_right = crypto_pwhash_str_verify(job->hash, password, job->password.size) == 0;
    } else {
        job->is_right = crypto_pwhash_str_alg(job->hash, password, job->password.size, HASH_PASSES,
                                              HASH_MEMORY, crypto_pwhash_ALG_ARGON2ID13) == 0;
    }
}

static void job_free(struct password_job *job)
{
    sodium_memzero(job->password.data, job->password.size);
    buf_deinit(&job->password);
    mem_free(job);
}

static void finish_job(struct work *w)
{
    struct password_job *job = CONTAINER_OF(w, struct password_job, work);
    struct passwords *p = job->passwords;
    p->waiting--;
    if (p->is_gone && p->waiting == 0) {
        mem_free(p);
    } else if (!p->is_gone && job->done != NULL) {
        bool has_hash = job->is_right && !job->is_check;
        job->done(job->context, job->is_right, has_hash ? slice_str(job->hash) : slice_of(NULL, 0));
    }
    job_free(job);
}

static struct password_job *start(struct passwords *p, struct slice password, bool is_check,
                                  struct slice hash, password_done *done, void *context)
{
    if (p->waiting >= LIMIT_PASSWORDS) {
        return NULL;
    }
    struct password_job *job = mem_calloc(1, sizeof(*job));
    *job = (struct password_job){.work = {.run = run_job, .done = finish_job},
                                 .passwords = p,
                                 .is_check = is_check,
                                 .done = done,
                                 .context = context};
    buf_reserve(&job->password, password.size + 1); /* so that it is never NULL */
    buf_append_slice(&job->password, password);
    if (hash.size > 0 && hash.size < sizeof(job->hash)) {
        memcpy(job->hash, hash.data, hash.size);
    } else {
        memcpy(job->hash, hash_of_nothing, sizeof(hash_of_nothing));
    }
    p->waiting++;
    p->loop->ops->submit_slow(p->loop, &job->work);
    return job;
}

struct password_job *password_hash_start(struct passwords *p, struct slice password,
                                         password_done *done, void *context)
{
    return start(p, password, false, slice_of(NULL, 0), done, context);
}

struct password_job *password_check_start(struct passwords *p, struct slice hash,
                                          struct slice password, password_done *done, void *context)
{
    return start(p, password, true, hash, done, context);
}

void password_cancel(struct password_job *job)
{
    job->done = NULL;
}
