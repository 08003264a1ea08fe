/* SPDX-License-Identifier: MIT
 *
 * check_life.c - the invariants of STATES.md from C31 on: timers, edges, limits, unique names,
 * what is kept. */
#include "broker/core/check.h"

#include "broker/core/parts.h"
#include "proto/base/check.h"

/* C31, C32: whoever waits has reason to. */
static void check_edges(const struct jq_job *job)
{
    const struct jq_extra *extra = job->extra;
    uint32_t left = 0;

    JQ_CHECK(extra->job == job);

    for (uint32_t i = 0; i < extra->edges_count; i++) {
        const struct jq_edge *edge = &extra->edges[i];
        if (!jq_dlink_used(&edge->in_parent))
            continue;
        JQ_CHECK(edge->child == job && edge->parent->id < job->id);
        JQ_CHECK(!jq_state_is_terminal(edge->parent->state) ||
                 jq_dlink_used(&edge->parent->extra->in_resolving));
        left++;
    }
    JQ_CHECK(left == extra->edges_left);
    JQ_CHECK((left > 0 || extra->doomed_by > 0) ==
             (job->state == JQ_BLOCKED && job->hold == JQ_HOLD_EDGES));
    JQ_CHECK(!extra->doomed_by || jq_dlink_used(&extra->in_resolving));
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&extra->children, at));) {
        const struct jq_edge *edge = JQ_ELEMENT(at, struct jq_edge, in_parent);
        JQ_CHECK(edge->parent == job && edge->child->extra->edges_left > 0);
    }
}

/* C33 */
static void check_timer(const struct jq_job *job)
{
    const struct jq_extra *extra = job->extra;
    const bool delayed = job->state == JQ_DELAYED;
    const bool leased = job->state == JQ_RUNNING && jq_job_due_at(job);
    const bool expires = extra && extra->expires_at && job->attempt == 0 &&
                         job->state != JQ_RUNNING && !jq_state_is_terminal(job->state);

    JQ_CHECK((extra && jq_heap_holds(&extra->in_timers)) == (delayed || leased || expires));
    JQ_CHECK(!delayed || extra->due_at > 0);
    JQ_CHECK(job->state != JQ_READY || jq_job_due_at(job) == 0);
}

/* C34: of its side of the limits. */
static void check_uses(const struct jq_job *job)
{
    const struct jq_extra *extra = job->extra;

    for (uint32_t i = 0; i < extra->uses_count; i++) {
        JQ_CHECK(extra->uses[i].job == job && extra->uses[i].line->queue == job->queue);
        JQ_CHECK(jq_dlink_used(&extra->uses[i].in_holders) == (job->state == JQ_RUNNING));
    }
    JQ_CHECK((extra->line != NULL) == (job->state == JQ_BLOCKED && job->hold == JQ_HOLD_LIMIT));
    JQ_CHECK((extra->line != NULL) == jq_heap_holds(&extra->in_line));
    JQ_CHECK(!extra->woken_by || job->state == JQ_READY);
}

/* C36 */
static void check_unique(const struct jq_core *core, const struct jq_job *job)
{
    const struct jq_job_options *options = job->extra->options;
    const struct jq_job *at = jq_map_find(&core->uniques, jq_name_hash(core, options->unique));

    while (at && at != job)
        at = at->extra->same_unique;
    JQ_CHECK((at == job) == (options->unique.size && !jq_state_is_terminal(job->state)));
}

void jq_check_life_of(const struct jq_core *core, const struct jq_job *job)
{
    JQ_CHECK((job->hold != JQ_HOLD_NONE) == (job->state == JQ_BLOCKED)); /* C32 */
    check_timer(job);
    /* C37 */
    JQ_CHECK(job->failures <= job->attempt &&
             jq_history_count(jq_blob_view(jq_job_history(job))) <= JQ_HISTORY_MAX);
    JQ_CHECK(!job->quarantined || job->state == JQ_FAILED);
    if (!job->extra)
        return;
    check_edges(job);
    check_uses(job);
    if (job->extra->options->unique.size)
        check_unique(core, job);
}

/* C34, C35 */
static void check_limiter(const struct jq_limiter *limiter)
{
    uint64_t used = 0, waiting = 0, references = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&limiter->holders, at));)
        used++;
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&limiter->lines, at));) {
        const struct jq_limit_line *line = JQ_ELEMENT(at, struct jq_limit_line, in_limiter);
        waiting += line->waiting.count;
        references += line->references;
        JQ_CHECK(line->limiter == limiter && line->references >= line->waiting.count);
        jq_heap_check(&line->waiting);
    }
    JQ_CHECK(used == limiter->used && waiting == limiter->waiting);
    JQ_CHECK(references == limiter->references && (references > 0 || limiter->kept));
    const bool open = waiting > 0 && used < jq_limit_max(limiter);
    JQ_CHECK(jq_dlink_used(&limiter->in_open) == open);
}

void jq_check_life(const struct jq_core *core)
{
    size_t deletions = 0, timers = 0;
    uint64_t woken = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->limits_in_order, at));) {
        const struct jq_limiter *limiter = JQ_ELEMENT(at, struct jq_limiter, in_all);
        check_limiter(limiter);
        woken += limiter->woken;
    }
    for (const struct jq_job *job = jq_idmap_first(&core->jobs); job;
         job = jq_idmap_next(&core->jobs, job->id)) {
        woken -= job->extra && job->extra->woken_by;
        timers += job->extra && jq_heap_holds(&job->extra->in_timers);
    }
    JQ_CHECK(woken == 0);
    JQ_CHECK(timers == core->timers.count);
    jq_heap_check(&core->timers);
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->deletions, at));)
        deletions++;
    JQ_CHECK(deletions == core->deleting.count); /* C38 */
}
