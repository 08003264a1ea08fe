/* SPDX-License-Identifier: MIT
 *
 * hold.c - who holds which job, and how it is given up: workers hold jobs for their sessions,
 * clients items for theirs, receipts items until a time. What a holder that comes back says it
 * holds is compared with what it is thought to hold. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- giving up ---- */

static enum jq_err quarantine(struct jq_core *core, struct jq_job *job)
{
    char reason[96];

    snprintf(reason, sizeof reason, "poison: %u workers were lost while they ran it", job->crashes);
    job->quarantined = true;
    const enum jq_err err = jq_job_end(core, job, JQ_FAILED, reason);
    if (err != JQ_OK) {
        job->quarantined = false;
        return err;
    }
    core->count.quarantined++;
    jq_trace(core, JQ_TRACE_WARN, "job.quarantined", "job=%llu crashes=%u",
             (unsigned long long)job->id, job->crashes);
    return JQ_OK;
}

static enum jq_err give_up(struct jq_core *core, struct jq_job *job, bool charged)
{
    if (job->cancel_asked)
        return jq_job_end(core, job, JQ_CANCELLED, "cancelled; its worker was lost");
    if (charged && job->crashes >= core->conf.crashes_max)
        return quarantine(core, job);
    JQ_TRY(jq_history_lost(core, job,
                           charged        ? "its worker was lost"
                           : job->is_item ? "its holder gave it back, or was lost"
                                          : "given back"));
    core->count.returned++;
    job->extra->due_at = 0;
    jq_job_move(core, job, JQ_READY);
    return JQ_OK;
}

enum jq_err jq_hold_give_up(struct jq_core *core, struct jq_job *job, bool charged)
{
    charged = charged && !job->is_item; /* nobody runs it: it kills nobody */
    JQ_TRY(jq_job_reserve(core, job));
    job->crashes += charged;
    const enum jq_err err = give_up(core, job, charged);
    if (err != JQ_OK)
        job->crashes -= charged;
    return err;
}

enum jq_err jq_hold_give_up_all(struct jq_core *core, struct jq_worker *holder, bool charged)
{
    for (struct jq_dlink *link; (link = jq_dlist_last(&holder->jobs));)
        JQ_TRY(jq_hold_give_up(core, JQ_ELEMENT(link, struct jq_job, in_place), charged));
    return JQ_OK;
}

/* ---- coming back ---- */

/* Ready here, and running there: its mark was lost with the last incarnation, its worker was not.
 * Only the incarnation just before can have granted the very job that was loaded: ids are unique
 * within one incarnation, and what that one had not made durable is not loaded. */
static bool adoptable(const struct jq_core *core, const struct jq_job *job, uint64_t fence)
{
    return job->state == JQ_READY && job->restored && !job->damaged &&
           (fence >> 32) + 1 == core->meta.incarnation && fence > job->fence &&
           (uint32_t)fence > job->attempt;
}

enum jq_err jq_hold_absent(const struct jq_core *core, struct jq_records held_list,
                           uint64_t **ret_ids, uint32_t *ret_count)
{
    uint64_t *ids = jq_alloc(((size_t)held_list.count + 1) * sizeof *ids);
    struct jq_held held;
    uint32_t count = 0;

    if (!ids)
        return JQ_ENOMEM;
    for (struct jq_reader r = jq_records_reader(held_list); jq_held_next(&r, &held);)
        if ((held.fence >> 32) + 1 == core->meta.incarnation && held.id < core->start_id &&
            held.id > 0 && !jq_job_find(core, held.id))
            ids[count++] = held.id;
    *ret_count = jq_ids_sort_out(ids, count);
    *ret_ids = ids;
    return JQ_OK;
}

static void adopt(struct jq_core *core, struct jq_worker *holder, struct jq_job *job,
                  uint64_t fence)
{
    job->fence = fence;
    job->attempt = (uint32_t)fence;
    job->started_at = job->started_at ? job->started_at : core->now.wall;
    job->worker = holder;
    jq_blob_drop(job->ran_on);
    job->ran_on = jq_blob_hold(holder->name);
    jq_job_move(core, job, JQ_RUNNING);
}

enum jq_err jq_hold_reconcile(struct jq_core *core, struct jq_worker *holder,
                              struct jq_records held_list, struct jq_buf *lost, uint32_t *ret_lost)
{
    struct jq_held held;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&holder->jobs, at));)
        JQ_ELEMENT(at, struct jq_job, in_place)->seen = false;
    for (struct jq_reader r = jq_records_reader(held_list); jq_held_next(&r, &held);) {
        struct jq_job *job = jq_job_find(core, held.id);
        if (job && job->state == JQ_RUNNING && job->worker == holder && job->fence == held.fence) {
            job->seen = true;
            continue;
        }
        if (job && (jq_state_is_terminal(job->state) || job->fence_done) &&
            job->fence == held.fence)
            continue; /* its end is known and on its way to the disk: acknowledged then */
        if (job && job->is_item == holder->is_client && adoptable(core, job, held.fence)) {
            JQ_TRY(jq_job_reserve(core, job));
            adopt(core, holder, job, held.fence);
            job->seen = true;
            continue;
        }
        jq_held_write(lost, &held);
        ++*ret_lost;
    }
    struct jq_dlink *prev;
    for (struct jq_dlink *at = jq_dlist_last(&holder->jobs); at; at = prev) {
        struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_place);
        prev = jq_dlist_prev(&holder->jobs, at);
        if (!job->seen)
            JQ_TRY(jq_hold_give_up(core, job, false)); /* it never received this grant */
        else if (job->cancel_asked)
            jq_worker_kill(core, job, jq_view_str("cancelled"));
    }
    return jq_buf_ok(lost) ? JQ_OK : JQ_ENOMEM;
}

/* ---- clients ---- */

enum jq_err jq_hold_client(struct jq_core *core, struct jq_peer *peer, struct jq_view name)
{
    struct jq_worker *holder = jq_map_find(&core->holders, peer->session);

    if (peer->worker) {
        jq_worker_renew(core, peer->worker);
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 1));
    if (!holder)
        JQ_TRY(jq_worker_make(core, true, peer->session, name, &holder));
    JQ_CHECK(!holder->peer); /* the session's last connection is gone */
    holder->peer = peer;
    peer->worker = holder;
    if (holder->ghost) {
        holder->ghost = false;
        core->ghosts--;
    }
    jq_worker_renew(core, holder);
    jq_batch_worker(core, holder, true);
    return JQ_OK;
}

enum jq_err jq_hold_bye(struct jq_core *core, struct jq_peer *peer)
{
    struct jq_worker *holder = peer->worker;
    struct jq_dlink *link;

    if (!holder)
        return JQ_OK;
    JQ_TRY(jq_hold_give_up_all(core, holder, false));
    JQ_TRY(jq_batch_reserve(core, 1));
    /* From here on nothing fails: a connection without its holder must have no GETs. */
    while ((link = jq_dlist_first(&peer->gets)))
        jq_getter_free(core, JQ_ELEMENT(link, struct jq_getter, in_peer));
    peer->worker = NULL; /* the connection has its own end */
    holder->peer = NULL;
    return jq_worker_end(core, holder, false);
}

/* ---- receipts ---- */

void jq_hold_by_receipt(struct jq_core *core, struct jq_job *job)
{
    struct jq_worker *holder = job->worker;

    JQ_CHECK(job->state == JQ_RUNNING && job->is_item);
    if (holder == &core->by_receipt)
        return;
    jq_dlist_remove(&job->in_place);
    holder->busy--;
    job->worker = &core->by_receipt;
    jq_dlist_append(&core->by_receipt.jobs, &job->in_place);
    core->by_receipt.busy++;
}
