/* SPDX-License-Identifier: MIT
 *
 * store.h - where jobs survive. Carries no SQL: batches of plain records in, rows out.
 *
 * Two layers. A *backend* (struct jq_store_ops) does one thing at a time and may block. The
 * *store* (jq_store_...) runs one backend on its own thread: requests go in without blocking,
 * completions come back in the order of the requests, an eventfd tells when.
 *
 * One writer: open takes exclusive ownership or fails with ELOCKED naming the holder's pid. */
#ifndef JQ_STORE_STORE_H
#define JQ_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/effect.h"
#include "broker/core/store_op.h"
#include "proto/base/err.h"

struct jq_store_conf {
    const char *path;       /* "memory:" or a file; its directory is made, 0700, when missing */
    int64_t min_free_bytes; /* space_low below this much free on its file system */
    int64_t max_bytes;      /* space_low above this size of the file; 0: no bound */
    bool accept_loss;       /* open although acknowledged commits are missing */
};

/* --- backend --- */

/* Each implementation has its own, which begins with this one. */
struct jq_backend;

/* An error from a callback stops the walk and is returned. Records are borrowed for the call. */
typedef enum jq_err jq_each_queue_fn(void *arg, const struct jq_queue_record *record);
typedef enum jq_err jq_each_job_fn(void *arg, const struct jq_loaded_job *record);
typedef enum jq_err jq_each_request_fn(void *arg, const struct jq_request_record *record);
typedef enum jq_err jq_each_worker_fn(void *arg, const struct jq_worker_record *record);
typedef enum jq_err jq_each_limit_fn(void *arg, const struct jq_limit_record *record);

struct jq_store_ops {
    const char *name;
    /* Takes ownership of the path or fails: ELOCKED (detail names the pid), ECORRUPT (not ours,
     * damaged, or acknowledged commits are missing), EVERSION (made by a newer jobq), EIO, ENOMEM.
     */
    enum jq_err (*open)(const struct jq_store_conf *conf, struct jq_backend **ret_backend,
                        struct jq_detail *ret_detail);
    enum jq_err (*load_meta)(struct jq_backend *backend, struct jq_store_meta *ret_meta);
    enum jq_err (*load_queues)(struct jq_backend *backend, jq_each_queue_fn *each, void *arg);
    /* Jobs that have not ended and are not spilled, payload included, by id. */
    enum jq_err (*load_jobs)(struct jq_backend *backend, jq_each_job_fn *each, void *arg);
    enum jq_err (*load_requests)(struct jq_backend *backend, jq_each_request_fn *each, void *arg);
    enum jq_err (*load_workers)(struct jq_backend *backend, jq_each_worker_fn *each, void *arg);
    enum jq_err (*load_limits)(struct jq_backend *backend, jq_each_limit_fn *each, void *arg);
    /* Ended or not, spilled or not. ret_more (LIST, SPILLED): there are more behind the limit. */
    enum jq_err (*read)(struct jq_backend *backend, const struct jq_read *read,
                        jq_each_job_fn *each, void *arg, bool *ret_more);
    /* All of the batch is durable on OK. Any error means the outcome is *unknown*: the caller must
     * stop (RELIABILITY: a failed COMMIT is not a rollback). */
    enum jq_err (*commit)(struct jq_backend *backend, const struct jq_batch *batch,
                          struct jq_detail *ret_detail);
    /* Between commits, when nobody waits: checkpoint, watermark. `idle`: no request is queued. */
    enum jq_err (*rest)(struct jq_backend *backend, bool idle, struct jq_detail *ret_detail);
    bool (*space_low)(struct jq_backend *backend);
    void (*close)(struct jq_backend **backend);
};

struct jq_backend {
    const struct jq_store_ops *ops;
};

extern const struct jq_store_ops jq_store_memory;
extern const struct jq_store_ops jq_store_sqlite;

/* --- store: a backend on its own thread --- */

struct jq_store;

enum jq_store_done_kind { JQ_STORE_COMMITTED, JQ_STORE_READ };

struct jq_store_done {
    enum jq_store_done_kind kind;
    enum jq_err err;
    struct jq_detail detail;
    bool space_low;
    struct jq_batch *batch;     /* COMMITTED: back to the core (jq_core_give_batch) */
    uint64_t token;             /* READ */
    struct jq_loaded_job *jobs; /* READ; with their bytes owned by this completion */
    size_t count;
    bool more;    /* READ: as jq_core_loaded takes it */
    void *memory; /* private: what `jobs` lives in */
};

/* Opens the backend on the calling thread (so that errors and recovery are synchronous); the thread
 * starts with jq_store_start. The backend is chosen by the path. */
JQ_MUST_USE enum jq_err jq_store_open(const struct jq_store_conf *conf, struct jq_store **ret_store,
                                      struct jq_detail *ret_detail);
/* The same over a given backend, which the store then owns (tests, fault decorators). */
JQ_MUST_USE enum jq_err jq_store_new(struct jq_backend *backend, struct jq_store **ret_store);
struct jq_backend *jq_store_backend(struct jq_store *store); /* before start only: recovery */
JQ_MUST_USE enum jq_err jq_store_start(struct jq_store *store);
int jq_store_fd(const struct jq_store *store); /* readable when completions wait; level-triggered */
/* Takes the batch. ENOMEM: not taken. */
JQ_MUST_USE enum jq_err jq_store_commit(struct jq_store *store, struct jq_batch *batch);
/* Copies what it needs. Runs after all commits handed over before it. */
JQ_MUST_USE enum jq_err jq_store_read(struct jq_store *store, const struct jq_read *read);
bool jq_store_idle(const struct jq_store *store); /* no commit is queued or under way */
bool jq_store_take_done(struct jq_store *store, struct jq_store_done *ret_done);
void jq_store_done_fini(struct jq_store_done *done); /* frees jobs; not the batch */
/* The last known answer of space_low. It can change while nothing is committed: then the fd becomes
 * readable without a completion. */
bool jq_store_space_low(const struct jq_store *store);
/* Finishes what is queued, checkpoints, joins the thread. Completions can still be taken, nothing
 * can be handed over. */
void jq_store_stop(struct jq_store *store);
/* Stops, and closes the backend. Batches whose completions were not taken are still the core's. */
void jq_store_close(struct jq_store **store);

#endif
