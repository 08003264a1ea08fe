/* SPDX-License-Identifier: MIT
 *
 * timer.c - what becomes of jobs as time passes: delays that end, expiries, timed leases. The wall
 * clock says when; once a timer is set the monotonic clock counts, so that a jump of the wall clock
 * starts nothing early. */
#include "broker/core/parts.h"
#include "proto/base/check.h"

static jq_ms mono_of(const struct jq_core *core, jq_ns wall)
{
    const jq_ns left = wall - core->now.wall;
    return left <= 0 ? core->now.mono
                     : jq_ms_add(core->now.mono, left / 1000000 + (left % 1000000 != 0));
}

jq_ns jq_timer_after(const struct jq_core *core, uint64_t ms)
{
    const uint64_t left = (uint64_t)(INT64_MAX - core->now.wall) / 1000000;
    return core->now.wall + (jq_ns)(ms < left ? ms : left) * 1000000;
}

static jq_ms next_of(const struct jq_core *core, const struct jq_job *job)
{
    struct jq_extra *extra = job->extra;
    jq_ms at = JQ_NEVER;

    extra->timer_expires = false;
    if (jq_state_is_terminal(job->state))
        return at;
    if (extra->due_at && (job->state == JQ_DELAYED || job->state == JQ_RUNNING))
        at = mono_of(core, extra->due_at);
    if (extra->expires_at && job->attempt == 0 && job->state != JQ_RUNNING) {
        const jq_ms over = mono_of(core, extra->expires_at);
        extra->timer_expires = over <= at;
        at = jq_ms_min(at, over);
    }
    return at;
}

void jq_timer_update(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    if (!extra)
        return;
    const bool holds = jq_heap_holds(&extra->in_timers);
    if (!holds && !extra->due_at && !extra->expires_at)
        return;
    extra->timer_at = next_of(core, job);
    if (extra->timer_at == JQ_NEVER) {
        if (holds)
            jq_heap_remove(&core->timers, &extra->in_timers);
    } else if (holds) {
        jq_heap_moved(&core->timers, &extra->in_timers);
    } else {
        JQ_CHECK(jq_heap_put(&core->timers, &extra->in_timers) == JQ_OK);
    }
}

/* The monotonic clock is in whole ms: what it was set by may have been up to one later. */
static bool is_early(const struct jq_core *core, jq_ns due_at)
{
    return due_at > core->now.wall && due_at - core->now.wall < 1000000;
}

static enum jq_err due(struct jq_core *core, struct jq_extra *extra)
{
    struct jq_job *job = extra->job;

    if (extra->timer_expires && jq_settling(core)) {
        /* It may run already: its worker is not back yet. */
        extra->timer_at = core->settled_at;
        jq_heap_moved(&core->timers, &extra->in_timers);
        return JQ_OK;
    }
    if (extra->timer_expires)
        return jq_job_end(core, job, JQ_EXPIRED, "it had not started when its time was over");
    if (job->state == JQ_RUNNING)
        return jq_hold_give_up(core, job, false); /* its lease is over */
    if (is_early(core, extra->due_at)) {
        extra->timer_at = jq_ms_add(core->now.mono, 1);
        jq_heap_moved(&core->timers, &extra->in_timers);
        return JQ_OK;
    }
    JQ_TRY(jq_job_reserve(core, job));
    extra->due_at = 0;
    jq_job_move(core, job, JQ_READY);
    return JQ_OK;
}

enum jq_err jq_timer_tick(struct jq_core *core)
{
    for (struct jq_heap_node *node; (node = jq_heap_first(&core->timers));) {
        struct jq_extra *extra = JQ_ELEMENT(node, struct jq_extra, in_timers);
        if (extra->timer_at > core->now.mono)
            return JQ_OK;
        JQ_TRY(due(core, extra));
    }
    return JQ_OK;
}

enum jq_err jq_timer_start(struct jq_core *core)
{
    for (struct jq_job *job = jq_idmap_first(&core->jobs); job;
         job = jq_idmap_next(&core->jobs, job->id))
        jq_timer_update(core, job);
    return jq_timer_tick(core);
}
