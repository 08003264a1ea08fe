/* SPDX-License-Identifier: MIT
 *
 * grant.c - who runs what next: lanes with ready jobs in turn, workers with credit in turn, one
 * job at a time, so that free slots fill evenly. A grant promises nobody anything and leaves at
 * once. */
#include "broker/core/parts.h"
#include "proto/base/check.h"

bool jq_settling(const struct jq_core *core)
{
    return core->ghosts > 0 && core->now.mono < core->settled_at;
}

/* A fence of this incarnation may be shown only when the incarnation is durable. */
bool jq_grants_open(const struct jq_core *core)
{
    return core->started && core->durable >= core->start_batch && !jq_settling(core);
}

bool jq_grant_due(const struct jq_core *core)
{
    return !jq_dlist_empty(&core->idle) && !jq_dlist_empty(&core->ready) && jq_grants_open(core);
}

static void write_grant(struct jq_core *core, struct jq_worker *worker, const struct jq_job *job)
{
    struct jq_buf *buf = jq_tell_record(core, worker->peer, JQ_AT_ONCE, JQ_FILL_GRANTS, 0);
    const struct jq_grant grant = {
        .id = job->id,
        .fence = job->fence,
        .attempt = job->attempt,
        .queue = jq_blob_view(job->queue->name),
        .handler = jq_job_handler(job),
        .payload = jq_job_payload(job),
    };

    if (!buf)
        return; /* its connection is lost: the next HELLO does not name the job, it comes back */
    jq_grant_write(buf, &grant);
    jq_tell_record_end(core, worker->peer, JQ_FILL_GRANTS);
}

static void hand_over(struct jq_core *core, struct jq_job *job, struct jq_worker *worker)
{
    job->attempt++;
    job->fence = core->meta.incarnation << 32 | job->attempt;
    job->started_at = core->now.wall;
    if (job->ran_on != worker->name) {
        jq_blob_drop(job->ran_on);
        job->ran_on = jq_blob_hold(worker->name);
    }
    job->worker = worker;
    jq_job_move(core, job, JQ_RUNNING);
    write_grant(core, worker, job);
    worker->granted++;
    core->count.granted++;
}

/* The next worker that has the tags; NULL: no idle one has. */
static struct jq_worker *worker_for(const struct jq_core *core, const struct jq_lane *lane)
{
    struct jq_dlink *at = jq_dlist_first(&core->idle);

    while (lane->needs && at && !jq_lane_fits(lane, JQ_ELEMENT(at, struct jq_worker, in_idle)))
        at = jq_dlist_next(&core->idle, at);
    return at ? JQ_ELEMENT(at, struct jq_worker, in_idle) : NULL;
}

/* What this worker is to run of the lane's queue: not of the lane alone, for the order is that of
 * the queue. */
static struct jq_job *job_for(const struct jq_lane *lane, const struct jq_worker *worker)
{
    return jq_dlist_empty(&lane->queue->lanes) ? jq_lane_first(lane)
                                               : jq_lanes_best(lane->queue, worker);
}

void jq_grant_all(struct jq_core *core)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(&core->ready)) && !jq_dlist_empty(&core->idle)) {
        struct jq_lane *lane = JQ_ELEMENT(link, struct jq_lane, in_turn);
        if (jq_room_takes_back(lane->queue)) { /* it may be better than what is left */
            if (jq_room_resolve(core) != JQ_OK)
                return;
            continue;
        }
        struct jq_worker *worker = worker_for(core, lane);
        if (!worker) {
            jq_lane_stick(core, lane);
            continue;
        }
        struct jq_job *job = job_for(lane, worker);
        /* Tried again with the next input, or when the batch has been taken. */
        if (jq_core_full(core) || jq_batch_reserve(core, 2) != JQ_OK)
            return;
        if (job->damaged) {
            if (jq_job_end(core, job, JQ_FAILED, "its stored bytes are damaged: it was not run") !=
                JQ_OK)
                return;
            continue;
        }
        if (!jq_limit_admit(core, job))
            continue;
        hand_over(core, job, worker);
        jq_dlist_remove(&worker->in_idle);
        jq_worker_idle(core, worker);
        if (jq_dlink_used(&lane->in_turn)) {
            jq_dlist_remove(&lane->in_turn);
            jq_dlist_append(&core->ready, &lane->in_turn);
        }
    }
}
