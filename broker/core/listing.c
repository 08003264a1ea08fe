/* SPDX-License-Identifier: MIT
 *
 * listing.c - LIST and INFO. What is in memory is told as it is when asked, an end when it is
 * durable; the rest comes from the store, and where both know a job, the store is the newer. */
#include <string.h>

#include "broker/core/state.h"
#include "proto/base/alloc.h"

#define TERMINAL_STATES UINT32_C(0x1f0) /* bits of the terminal states of enum jq_job_state */

/* ---- INFO ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void tell_infos(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                       uint64_t batch, uint32_t count, const struct jq_buf *infos)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFOS,
        .correlation = correlation,
        .u.infos = { .jobs = jq_records_of(count, infos) },
    };

    if (jq_buf_ok(infos))
        jq_tell(core, peer, batch, &msg);
    else
        jq_tell_error(core, peer, correlation, JQ_EBUSY, NULL);
}

/* lookup: `kept` has number[0] infos already, true with batch number[1]. */
static void infos_loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    size_t cursor = 0;

    if (!peer)
        return;
    for (uint32_t i = 0; i < lookup->count; i++) {
        const struct jq_loaded_job *job = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        struct jq_job_info info = { .id = lookup->ids[i] };
        if (job)
            jq_info_of_loaded(core, job, &info);
        else
            info.error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, info.id);
        jq_job_info_write(&lookup->kept, &info);
    }
    tell_infos(core, peer, lookup->correlation, lookup->number[1],
               (uint32_t)lookup->number[0] + lookup->count, &lookup->kept);
}

/* Infos of jobs in memory to `kept`, the other ids to `absent`. All are true with *ret_batch. */
static uint32_t infos_in_memory(const struct jq_core *core, struct jq_records jobs,
                                struct jq_buf *kept, uint64_t *absent, uint32_t *ret_absent,
                                uint64_t *ret_batch)
{
    struct jq_job_ref ref;
    uint32_t count = 0;

    *ret_absent = 0;
    *ret_batch = JQ_AT_ONCE;
    for (struct jq_reader r = jq_records_reader(jobs); jq_job_ref_next(&r, &ref);) {
        const struct jq_job *job = jq_job_find(core, ref.id);
        struct jq_job_info info = { .id = ref.id, .error = JQ_ENOENT };
        if (job) {
            jq_info_of_job(job, &info);
            *ret_batch = later(*ret_batch, job->end_batch);
        } else if (jq_absent(core, ref.id) == JQ_EGONE) {
            absent[(*ret_absent)++] = ref.id;
            continue;
        }
        jq_job_info_write(kept, &info);
        count++;
    }
    return count;
}

enum jq_err jq_info_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_records jobs = msg->u.info.jobs;
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, msg->correlation, infos_loaded);
    uint64_t *absent = jq_alloc(((size_t)jobs.count + 1) * sizeof *absent);
    uint32_t absent_count;
    enum jq_err err = lookup && absent ? JQ_OK : JQ_ENOMEM;

    if (err == JQ_OK) {
        lookup->number[0] =
            infos_in_memory(core, jobs, &lookup->kept, absent, &absent_count, &lookup->number[1]);
        if (absent_count) {
            err = jq_lookup_ids(core, lookup, absent, absent_count, JQ_READ_RESULT, 0);
        } else {
            tell_infos(core, peer, msg->correlation, lookup->number[1], (uint32_t)lookup->number[0],
                       &lookup->kept);
        }
    }
    if (lookup && lookup->reads == 0)
        jq_lookup_free(core, lookup);
    jq_free(absent);
    return err;
}

/* ---- LIST ---- */

static void tell_list(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                      uint64_t batch, uint32_t count, const struct jq_buf *infos, bool more)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LISTED,
        .correlation = correlation,
        .u.listed = { .more = more, .jobs = jq_records_of(count, infos) },
    };

    if (jq_buf_ok(infos))
        jq_tell(core, peer, batch, &msg);
    else
        jq_tell_error(core, peer, correlation, JQ_EBUSY, NULL);
}

/* lookup: `kept` has number[0] infos of jobs in memory, newest first; number[1] is the limit and
 * number[2] says that memory has more; they are true with batch number[3]. Merges with the store's,
 * also newest first. */
static void list_loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct jq_reader r = jq_reader(jq_buf_view(&lookup->kept));
    struct jq_buf merged = { 0 };
    struct jq_job_info mine;
    bool have_mine = jq_job_info_next(&r, &mine);
    uint32_t count = 0;
    size_t i = 0;

    if (!peer)
        return;
    if (lookup->err != JQ_OK) {
        jq_tell_error(core, peer, lookup->correlation, lookup->err, NULL);
        return;
    }
    while (count < lookup->number[1] && (have_mine || i < lookup->found)) {
        const bool stored = i < lookup->found && (!have_mine || lookup->jobs[i].job.id >= mine.id);
        struct jq_job_info info = mine;
        if (stored)
            jq_info_of_loaded(core, &lookup->jobs[i], &info);
        jq_job_info_write(&merged, &info);
        count++;
        if (have_mine && (!stored || lookup->jobs[i].job.id == mine.id))
            have_mine = jq_job_info_next(&r, &mine);
        i += stored;
    }
    tell_list(core, peer, lookup->correlation, lookup->number[3], count, &merged,
              lookup->more || lookup->number[2] || have_mine || i < lookup->found);
    jq_buf_fini(&merged);
}

struct listing {
    uint32_t states;              /* bits; never 0 */
    const struct jq_queue *queue; /* NULL: all */
    uint64_t before;
    uint32_t limit;
    uint32_t count;
    uint64_t batch; /* what is listed is true with */
    bool more;
};

/* Where to start: the newest job in memory that is older than `before`. */
static struct jq_dlink *start_of(const struct jq_core *core, uint64_t before)
{
    const struct jq_job *job = jq_job_find(core, before);
    struct jq_dlink *at = job ? jq_dlist_prev(&core->all, &job->in_all) : jq_dlist_last(&core->all);

    while (at && JQ_ELEMENT(at, struct jq_job, in_all)->id >= before)
        at = jq_dlist_prev(&core->all, at);
    return at;
}

static bool is_listed(const struct listing *l, const struct jq_job *job)
{
    return (l->states & 1u << job->state) && (!l->queue || job->queue == l->queue);
}

static uint64_t live_in(const struct listing *l, const struct jq_queue *queue)
{
    uint64_t count = 0;

    for (unsigned state = JQ_BLOCKED; state < JQ_SUCCEEDED; state++)
        count += l->states & 1u << state ? queue->by_state[state] : 0;
    return count;
}

/* How many jobs in memory are wanted, whatever their ids: counters know it, and few that have ended
 * are in memory. */
static uint64_t wanted_in_memory(const struct jq_core *core, const struct listing *l)
{
    const struct jq_queue *queue;
    uint64_t count = l->queue ? live_in(l, l->queue) : 0;

    for (size_t at = 0; !l->queue && (queue = jq_map_next(&core->queues, &at));)
        count += live_in(l, queue);
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->ended, at));)
        count += is_listed(l, JQ_ELEMENT(at, struct jq_job, in_place));
    return count;
}

static void list_in_memory(const struct jq_core *core, struct listing *l, struct jq_buf *infos)
{
    uint64_t left = wanted_in_memory(core, l);
    struct jq_dlink *at = left ? start_of(core, l->before) : NULL;

    for (; at && left; at = jq_dlist_prev(&core->all, at)) {
        const struct jq_job *job = JQ_ELEMENT(at, struct jq_job, in_all);
        struct jq_job_info info;
        if (!is_listed(l, job))
            continue;
        left--;
        if (l->count == l->limit) {
            l->more = true;
            return;
        }
        jq_info_of_job(job, &info);
        jq_job_info_write(infos, &info);
        l->batch = later(l->batch, job->end_batch);
        l->count++;
    }
}

static enum jq_err list_stored(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                               const struct listing *l, struct jq_buf *infos)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, list_loaded);
    const struct jq_read read = {
        .kind = JQ_READ_LIST,
        .parts = JQ_READ_RESULT,
        .queue = l->queue ? l->queue->id : 0,
        .states = l->states & TERMINAL_STATES,
        .before_id = l->before == UINT64_MAX ? 0 : l->before,
        .limit = l->limit,
    };

    if (!lookup)
        return JQ_ENOMEM;
    lookup->kept = *infos;
    *infos = (struct jq_buf){ 0 };
    lookup->number[0] = l->count;
    lookup->number[1] = l->limit;
    lookup->number[2] = l->more;
    lookup->number[3] = l->batch;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

enum jq_err jq_list_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_list *list = &msg->u.list;
    struct listing l = {
        .states = list->states ? (uint32_t)list->states : UINT32_MAX,
        .before = list->before_id ? list->before_id : UINT64_MAX,
        .limit = list->limit ? (uint32_t)list->limit : JQ_JOBS_PER_FRAME,
    };
    struct jq_buf infos = { 0 };
    enum jq_err err = JQ_OK;

    if (list->queue.size) {
        l.queue = jq_queue_find(core, list->queue);
        if (!l.queue) {
            jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, "no such queue");
            return JQ_OK;
        }
    }
    list_in_memory(core, &l, &infos);
    if (l.states & TERMINAL_STATES)
        err = list_stored(core, peer, msg->correlation, &l, &infos);
    else
        tell_list(core, peer, msg->correlation, l.batch, l.count, &infos, l.more);
    jq_buf_fini(&infos);
    return err;
}
