/* SPDX-License-Identifier: MIT
 *
 * recovery.c - see recovery.h. */
#include "broker/recovery.h"

#include <errno.h>
#include <poll.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"

struct loading {
    struct jq_core *core;
    struct jq_recovered *recovered;
};

static enum jq_err each_queue(void *arg, const struct jq_queue_record *record)
{
    struct loading *loading = arg;

    loading->recovered->queues++;
    return jq_core_restore_queue(loading->core, record);
}

static enum jq_err each_job(void *arg, const struct jq_loaded_job *record)
{
    struct loading *loading = arg;

    loading->recovered->jobs++;
    loading->recovered->damaged += record->job.damaged;
    return jq_core_restore_job(loading->core, &record->job);
}

static enum jq_err each_request(void *arg, const struct jq_request_record *record)
{
    struct loading *loading = arg;

    loading->recovered->requests++;
    return jq_core_restore_request(loading->core, record);
}

static enum jq_err each_worker(void *arg, const struct jq_worker_record *record)
{
    struct loading *loading = arg;

    loading->recovered->workers++;
    return jq_core_restore_worker(loading->core, record);
}

static enum jq_err each_limit(void *arg, const struct jq_limit_record *record)
{
    struct loading *loading = arg;

    return jq_core_restore_limit(loading->core, record);
}

static enum jq_err load(struct jq_backend *backend, struct loading *loading)
{
    struct jq_store_meta meta;

    JQ_TRY(backend->ops->load_meta(backend, &meta));
    JQ_TRY(jq_core_restore_meta(loading->core, &meta));
    JQ_TRY(backend->ops->load_queues(backend, each_queue, loading));
    JQ_TRY(backend->ops->load_limits(backend, each_limit, loading));
    JQ_TRY(backend->ops->load_jobs(backend, each_job, loading));
    JQ_TRY(backend->ops->load_requests(backend, each_request, loading));
    return backend->ops->load_workers(backend, each_worker, loading);
}

static enum jq_err wait_done(struct jq_store *store, struct jq_store_done *ret_done)
{
    struct pollfd wait = { .fd = jq_store_fd(store), .events = POLLIN };

    while (!jq_store_take_done(store, ret_done)) {
        if (poll(&wait, 1, -1) < 0 && errno != EINTR)
            return JQ_EIO;
    }
    return JQ_OK;
}

enum jq_err jq_recover(struct jq_store *store, struct jq_core *core,
                       struct jq_recovered *ret_recovered, struct jq_detail *ret_detail)
{
    struct jq_recovered recovered = { 0 };
    struct loading loading = { .core = core, .recovered = &recovered };
    struct jq_store_done done;

    jq_detail_set(ret_detail, "loading the store failed");
    JQ_TRY(load(jq_store_backend(store), &loading));
    const struct jq_now now = jq_clock_now();
    JQ_TRY(jq_core_start(core, now));
    JQ_TRY(jq_store_start(store));
    struct jq_batch *batch = jq_core_take_batch(core, now);
    JQ_CHECK(batch != NULL);
    recovered.number = batch->number;
    recovered.incarnation = batch->meta.incarnation;
    const enum jq_err err = jq_store_commit(store, batch);
    if (err != JQ_OK) {
        jq_core_give_batch(core, batch);
        return err;
    }
    JQ_TRY(wait_done(store, &done));
    jq_core_give_batch(core, done.batch);
    recovered.space_low = done.space_low;
    const enum jq_err committed = done.err;
    if (committed != JQ_OK)
        *ret_detail = done.detail;
    jq_store_done_fini(&done);
    JQ_TRY(committed);
    JQ_TRY(jq_core_durable(core, jq_clock_now(), recovered.number, recovered.space_low));
    *ret_recovered = recovered;
    return JQ_OK;
}
