/* SPDX-License-Identifier: MIT
 *
 * extra.c - what few jobs have: options, decoded once, and what they say of the state in which it
 * waits; times, edges, limits, readers. Most jobs have none of it, and then no extra. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

static const struct jq_job_options none;

enum jq_err jq_extra_need(struct jq_job *job)
{
    if (job->extra)
        return JQ_OK;
    struct jq_extra *extra = jq_alloc_zero(1, sizeof *extra);
    if (!extra)
        return JQ_ENOMEM;
    extra->job = job;
    extra->options = &none;
    jq_dlist_init(&extra->children);
    jq_dlist_init(&extra->readers);
    job->extra = extra;
    return JQ_OK;
}

enum jq_err jq_extra_make(struct jq_core *core, struct jq_job *job)
{
    struct jq_job_options options;

    if (job->fixed.options_size == 0)
        return JQ_OK;
    if (jq_options_read(jq_job_options(job), &options) != JQ_OK)
        return JQ_EINVAL;
    JQ_TRY(jq_extra_need(job));
    struct jq_job_options *kept = jq_alloc(sizeof *kept);
    if (!kept)
        return JQ_ENOMEM;
    *kept = options;
    job->extra->options = kept;
    if (options.expires_ms && !job->retried)
        job->extra->expires_at = job->fixed.created_at + (jq_ns)options.expires_ms * 1000000;
    if (options.unique.size)
        JQ_TRY(jq_map_reserve(&core->uniques, 1));
    JQ_TRY(jq_lane_prepare(job));
    return jq_limit_prepare(core, job);
}

bool jq_extra_may_spill(const struct jq_job *job)
{
    const struct jq_extra *extra = job->extra;

    return !extra || (!extra->due_at && !extra->expires_at && !extra->history &&
                      !extra->spared_of && !extra->named && !extra->uses_count && !extra->lane &&
                      !extra->options->after.count && !extra->options->unique.size &&
                      jq_dlist_empty(&extra->readers) && jq_dlist_empty(&extra->children) &&
                      !jq_dlink_used(&extra->in_tied) && !jq_dlink_used(&extra->in_resolving));
}

void jq_extra_free(struct jq_job *job)
{
    if (!job->extra)
        return;
    jq_limit_unuse(job);
    jq_lane_unuse(job);
    if (job->extra->options != &none)
        jq_free((void *)(uintptr_t)job->extra->options);
    jq_blob_drop(job->extra->history);
    jq_free(job->extra->edges);
    jq_free(job->extra);
    job->extra = NULL;
}

static jq_ns due_of(const struct jq_core *core, const struct jq_job_options *options)
{
    const jq_ns after = options->delay_ms ? jq_timer_after(core, options->delay_ms) : 0;

    return after > options->run_at ? after : options->run_at;
}

void jq_extra_begin(struct jq_core *core, struct jq_job *job, const struct jq_lookup *facts)
{
    if (!job->extra)
        return;
    job->extra->due_at = due_of(core, job->extra->options);
    jq_unique_add(core, job);
    jq_limit_said(core, job);
    jq_edge_begin(core, job, facts);
    job->state = jq_extra_waits_in(core, job);
}

void jq_extra_restore(struct jq_core *core, struct jq_job *job, enum jq_job_state stored)
{
    if (!job->extra)
        return;
    jq_unique_add(core, job);
    jq_limit_said(core, job);
    if (stored == JQ_BLOCKED)
        jq_edge_restore(core, job);
}

enum jq_job_state jq_extra_waits_in(const struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    if (!extra)
        return JQ_READY;
    if (extra->edges_left || extra->doomed_by) {
        job->hold = JQ_HOLD_EDGES;
        return JQ_BLOCKED;
    }
    if (extra->due_at > core->now.wall)
        return JQ_DELAYED;
    extra->due_at = 0;
    return JQ_READY;
}

void jq_extra_leaves(struct jq_core *core, struct jq_job *job)
{
    if (!job->extra)
        return;
    if (job->state == JQ_BLOCKED)
        jq_edge_drop(job);
    if (job->state == JQ_RUNNING)
        jq_limit_release(core, job);
    else
        jq_limit_leaves(core, job);
}

void jq_extra_entered(struct jq_core *core, struct jq_job *job)
{
    if (!job->extra)
        return;
    if (job->state == JQ_RUNNING) {
        jq_limit_hold(core, job);
    } else if (jq_state_is_terminal(job->state)) {
        jq_unique_remove(core, job);
        jq_edge_ended(core, job);
    }
}

static enum jq_err resolve(struct jq_core *core)
{
    JQ_TRY(jq_edge_resolve(core));
    JQ_TRY(jq_limit_resolve(core));
    return jq_room_resolve(core);
}

enum jq_err jq_extra_resolve(struct jq_core *core)
{
    const enum jq_err err = resolve(core);

    jq_job_forget_durable(
        core); /* those that are not stored: with or without memory for the rest */
    return err;
}
