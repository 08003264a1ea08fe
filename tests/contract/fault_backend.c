/* SPDX-License-Identifier: MIT
 *
 * fault_backend.c - see fault_backend.h. */
#include "tests/contract/fault_backend.h"

#include "proto/base/alloc.h"

static struct fault_backend *fault_of(struct jq_backend *backend)
{
    return (struct fault_backend *)backend;
}

static void pass_hold(struct fault_backend *fault)
{
    pthread_mutex_lock(&fault->lock);
    fault->is_waiting = true;
    pthread_cond_broadcast(&fault->changed);
    while (fault->is_held)
        pthread_cond_wait(&fault->changed, &fault->lock);
    fault->is_waiting = false;
    pthread_mutex_unlock(&fault->lock);
}

static enum jq_err fault_load_meta(struct jq_backend *backend, struct jq_store_meta *ret_meta)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_meta(inner, ret_meta);
}

static enum jq_err fault_load_queues(struct jq_backend *backend, jq_each_queue_fn *each, void *arg)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_queues(inner, each, arg);
}

static enum jq_err fault_load_jobs(struct jq_backend *backend, jq_each_job_fn *each, void *arg)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_jobs(inner, each, arg);
}

static enum jq_err fault_load_requests(struct jq_backend *backend, jq_each_request_fn *each,
                                       void *arg)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_requests(inner, each, arg);
}

static enum jq_err fault_load_workers(struct jq_backend *backend, jq_each_worker_fn *each,
                                      void *arg)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_workers(inner, each, arg);
}

static enum jq_err fault_load_limits(struct jq_backend *backend, jq_each_limit_fn *each, void *arg)
{
    struct jq_backend *inner = fault_of(backend)->inner;
    return inner->ops->load_limits(inner, each, arg);
}

static enum jq_err fault_read(struct jq_backend *backend, const struct jq_read *read,
                              jq_each_job_fn *each, void *arg, bool *ret_more)
{
    struct fault_backend *fault = fault_of(backend);

    pass_hold(fault);
    if (++fault->reads == fault->plan.read_at)
        return fault->plan.read_err;
    return fault->inner->ops->read(fault->inner, read, each, arg, ret_more);
}

static enum jq_err fault_commit(struct jq_backend *backend, const struct jq_batch *batch,
                                struct jq_detail *ret_detail)
{
    struct fault_backend *fault = fault_of(backend);
    enum jq_err err;

    pass_hold(fault);
    if (++fault->commits != fault->plan.commit_at)
        return fault->inner->ops->commit(fault->inner, batch, ret_detail);
    if (fault->plan.commit_applied) {
        err = fault->inner->ops->commit(fault->inner, batch, ret_detail);
        if (err != JQ_OK)
            return err;
    }
    jq_detail_set(ret_detail, "commit %llu was made to fail", (unsigned long long)fault->commits);
    return fault->plan.commit_err;
}

static enum jq_err fault_rest(struct jq_backend *backend, bool idle, struct jq_detail *ret_detail)
{
    struct fault_backend *fault = fault_of(backend);

    if (++fault->rests == fault->plan.rest_at) {
        jq_detail_set(ret_detail, "rest %llu was made to fail", (unsigned long long)fault->rests);
        return fault->plan.rest_err;
    }
    return fault->inner->ops->rest(fault->inner, idle, ret_detail);
}

static bool fault_space_low(struct jq_backend *backend)
{
    struct fault_backend *fault = fault_of(backend);

    pthread_mutex_lock(&fault->lock);
    const bool low = fault->space_low;
    pthread_mutex_unlock(&fault->lock);
    return low || fault->inner->ops->space_low(fault->inner);
}

static void fault_close(struct jq_backend **backend)
{
    struct fault_backend *fault = fault_of(*backend);

    fault->inner->ops->close(&fault->inner);
    pthread_cond_destroy(&fault->changed);
    pthread_mutex_destroy(&fault->lock);
    jq_free(fault);
    *backend = NULL;
}

static const struct jq_store_ops fault_ops = {
    .name = "fault",
    .load_meta = fault_load_meta,
    .load_queues = fault_load_queues,
    .load_jobs = fault_load_jobs,
    .load_requests = fault_load_requests,
    .load_workers = fault_load_workers,
    .load_limits = fault_load_limits,
    .read = fault_read,
    .commit = fault_commit,
    .rest = fault_rest,
    .space_low = fault_space_low,
    .close = fault_close,
};

struct fault_backend *fault_backend_new(struct jq_backend *inner, const struct fault_plan *plan)
{
    struct fault_backend *fault = jq_alloc_zero(1, sizeof(*fault));

    if (!fault)
        return NULL;
    fault->backend.ops = &fault_ops;
    fault->inner = inner;
    fault->plan = *plan;
    if (pthread_mutex_init(&fault->lock, NULL) != 0 ||
        pthread_cond_init(&fault->changed, NULL) != 0) {
        jq_free(fault);
        return NULL;
    }
    return fault;
}

void fault_backend_hold(struct fault_backend *fault)
{
    pthread_mutex_lock(&fault->lock);
    fault->is_held = true;
    pthread_mutex_unlock(&fault->lock);
}

void fault_backend_wait_held(struct fault_backend *fault)
{
    pthread_mutex_lock(&fault->lock);
    while (!fault->is_waiting)
        pthread_cond_wait(&fault->changed, &fault->lock);
    pthread_mutex_unlock(&fault->lock);
}

void fault_backend_release(struct fault_backend *fault)
{
    pthread_mutex_lock(&fault->lock);
    fault->is_held = false;
    pthread_cond_broadcast(&fault->changed);
    pthread_mutex_unlock(&fault->lock);
}

void fault_backend_set_space_low(struct fault_backend *fault, bool space_low)
{
    pthread_mutex_lock(&fault->lock);
    fault->space_low = space_low;
    pthread_mutex_unlock(&fault->lock);
}
