/* SPDX-License-Identifier: MIT
 *
 * edge.c - jobs that wait for older jobs: what becomes of them when those have ended. Ids rise and
 * an edge leads to a smaller one, so there is no cycle. What follows from an end is done through a
 * list of work, however long the chain. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"

static bool satisfied(enum jq_after kind, enum jq_job_state ended)
{
    return kind == JQ_AFTER_ANY || (kind == JQ_AFTER_OK) == (ended == JQ_SUCCEEDED);
}

static struct jq_job *live(const struct jq_core *core, uint64_t id)
{
    struct jq_job *job = jq_job_find(core, id);
    return job && !jq_state_is_terminal(job->state) ? job : NULL;
}

enum jq_err jq_edge_prepare(struct jq_core *core, struct jq_job *job)
{
    struct jq_dependency after;

    if (!job->extra || job->extra->options->after.count == 0)
        return JQ_OK;
    for (struct jq_reader r = jq_records_reader(job->extra->options->after);
         jq_dependency_next(&r, &after);) {
        struct jq_job *parent = live(core, after.id);
        if (parent)
            JQ_TRY(jq_extra_need(parent));
    }
    job->extra->edges = jq_alloc_zero(job->extra->options->after.count, sizeof(struct jq_edge));
    return job->extra->edges ? JQ_OK : JQ_ENOMEM;
}

size_t jq_edge_ops(const struct jq_core *core, const struct jq_job *job)
{
    struct jq_dependency after;
    size_t ops = 0;

    if (core->spilled_lanes == 0 || !job->extra)
        return 0;
    for (struct jq_reader r = jq_records_reader(job->extra->options->after);
         jq_dependency_next(&r, &after);) {
        const struct jq_job *parent = live(core, after.id);
        ops += parent && parent->is_spilled ? 2 : 0; /* its row, and its queue's */
    }
    return ops;
}

static void put(struct jq_job *job, struct jq_job *parent, enum jq_after kind)
{
    struct jq_edge *edge = &job->extra->edges[job->extra->edges_count++];

    *edge = (struct jq_edge){ .parent = parent, .child = job, .kind = kind };
    jq_dlist_append(&parent->extra->children, &edge->in_parent);
    job->extra->edges_left++;
}

static void doom(struct jq_core *core, struct jq_job *job, uint64_t id, enum jq_job_state state)
{
    if (job->extra->doomed_by)
        return;
    job->extra->doomed_by = id;
    job->extra->doomed_state = state;
    jq_dlist_append(&core->resolving, &job->extra->in_resolving);
}

void jq_edge_begin(struct jq_core *core, struct jq_job *job, const struct jq_lookup *facts)
{
    struct jq_dependency after;

    for (struct jq_reader r = jq_records_reader(job->extra->options->after);
         jq_dependency_next(&r, &after);) {
        const enum jq_after kind = (enum jq_after)after.kind;
        struct jq_job *parent = jq_job_find(core, after.id);
        if (parent && !jq_state_is_terminal(parent->state)) {
            put(job, parent, kind);
            job->after_retried |= parent->retried;
            if (parent->is_spilled)
                jq_job_store(core, parent); /* a restart has to find it when it makes the edge */
            continue;
        }
        const enum jq_job_state state =
            parent ? parent->state : (enum jq_job_state)jq_facts_state(facts, after.id);
        if (!satisfied(kind, state))
            doom(core, job, after.id, state);
    }
}

/* A job that lives is waited for; what has ended was as it should be, or the child would have been
 * skipped with it. One that was retried had ended before: older children are done with it. */
void jq_edge_restore(struct jq_core *core, struct jq_job *job)
{
    struct jq_dependency after;

    for (struct jq_reader r = jq_records_reader(job->extra->options->after);
         jq_dependency_next(&r, &after);) {
        struct jq_job *parent = live(core, after.id);
        if (parent && (!parent->retried || job->after_retried))
            put(job, parent, (enum jq_after)after.kind);
    }
}

void jq_edge_drop(struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    for (uint32_t i = 0; i < extra->edges_count; i++)
        jq_dlist_remove(&extra->edges[i].in_parent);
    jq_free(extra->edges);
    extra->edges = NULL;
    extra->edges_count = extra->edges_left = 0;
    if (extra->doomed_by)
        jq_dlist_remove(&extra->in_resolving);
    extra->doomed_by = 0;
}

void jq_edge_ended(struct jq_core *core, struct jq_job *job)
{
    if (!jq_dlist_empty(&job->extra->children))
        jq_dlist_append(&core->resolving, &job->extra->in_resolving);
}

static enum jq_err skip(struct jq_core *core, struct jq_job *job, uint64_t id,
                        enum jq_job_state state)
{
    char reason[JQ_REASON_MAX];

    snprintf(reason, sizeof reason, "job %llu, after which it was to run, ended as %s",
             (unsigned long long)id, jq_state_name(state));
    return jq_job_end(core, job, JQ_SKIPPED, reason);
}

/* Its parent has ended. The edge is no more afterwards. */
static enum jq_err follow(struct jq_core *core, struct jq_edge *edge)
{
    struct jq_job *child = edge->child;

    if (!satisfied(edge->kind, edge->parent->state))
        return skip(core, child, edge->parent->id, edge->parent->state);
    JQ_TRY(jq_job_reserve(core, child));
    jq_dlist_remove(&edge->in_parent);
    if (--child->extra->edges_left == 0 && !child->extra->doomed_by)
        jq_job_move(core, child, jq_extra_waits_in(core, child));
    return JQ_OK;
}

enum jq_err jq_edge_resolve(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->resolving));) {
        struct jq_extra *extra = JQ_ELEMENT(link, struct jq_extra, in_resolving);
        if (extra->doomed_by) {
            JQ_TRY(skip(core, extra->job, extra->doomed_by, extra->doomed_state));
            continue;
        }
        for (struct jq_dlink *at; (at = jq_dlist_first(&extra->children));)
            JQ_TRY(follow(core, JQ_ELEMENT(at, struct jq_edge, in_parent)));
        jq_dlist_remove(&extra->in_resolving);
    }
    return JQ_OK;
}
