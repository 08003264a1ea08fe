/* SPDX-License-Identifier: MIT
 *
 * store_fixture.h - a store to test, in a directory of its own, and batches made by hand. The same
 * calls reach a backend directly or through the store thread. Failures are cmocka's. */
#ifndef JQ_TESTS_STORE_FIXTURE_H
#define JQ_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/store/store.h"
#include "broker/store/store_copy.h"
#include "tests/support/plain_op.h"

struct variant {
    const char *name;
    const struct jq_store_ops *ops;
    bool threaded; /* through jq_store_... */
};

struct fixture {
    const struct variant *variant;
    char directory[64];
    char path[96]; /* "memory:", or a file in the directory */
    struct jq_store_conf conf;
    struct jq_backend *backend; /* not threaded */
    struct jq_store *store;     /* threaded */
    bool running;
    struct plain_op *ops; /* of the open batch */
    uint32_t count, capacity;
    struct jq_batch batch; /* they are packed into it */
    struct jq_store_meta meta;
};

/* Opens a new store. */
void fixture_open(struct fixture *f, const struct variant *variant);
void fixture_close(struct fixture *f);  /* the store; its files stay */
void fixture_reopen(struct fixture *f); /* closes first */
enum jq_err fixture_try_reopen(struct fixture *f, struct jq_detail *ret_detail); /* when closed */
void fixture_remove(struct fixture *f); /* closes, and removes the files */
void fixture_path(const struct fixture *f, const char *suffix, char *path, size_t size);

/* The next operation of the open batch, zeroed. */
struct plain_op *fixture_op(struct fixture *f, enum jq_store_op_kind kind);
/* A job to put, with every field filled from `id`; a result too when the state is terminal. */
struct plain_op *fixture_put(struct fixture *f, uint64_t id, enum jq_job_state state);
void fixture_delete(struct fixture *f, uint64_t id);
/* Gives the operation a result made from `id`. */
struct jq_result_record *fixture_result(struct plain_op *op, uint64_t id);
enum jq_err fixture_try_commit(struct fixture *f, struct jq_detail *ret_detail);
void fixture_commit(struct fixture *f);

/* The backend, with the store thread stopped: for loads. The next commit or read starts it again.
 */
struct jq_backend *fixture_backend(struct fixture *f);
enum jq_err fixture_try_read(struct fixture *f, const struct jq_read *read,
                             struct jq_copy *ret_copy, bool *ret_more);
/* The ids that were read, as "3 2 1", or "3 2 1 +" when there are more. Static text. */
const char *fixture_read_ids(struct fixture *f, const struct jq_read *read);
const char *fixture_load_ids(struct fixture *f);
/* One job with all its parts; fails the test when it is absent. jq_copy_fini. */
void fixture_read_one(struct fixture *f, uint64_t id, uint32_t parts, struct jq_copy *ret_copy);
const char *fixture_copy_ids(const struct jq_copy *copy, bool more);

void assert_job(const struct jq_job_record *got, const struct jq_job_record *expected);
void assert_result(const struct jq_result_record *got, const struct jq_result_record *expected);
void assert_view(struct jq_view got, struct jq_view expected);

#define ALL_PARTS (JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_OUTPUT | JQ_READ_PAYLOAD)

#endif
