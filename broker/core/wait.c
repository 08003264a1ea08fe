/* SPDX-License-Identifier: MIT
 *
 * wait.c - who waits for which job, and for it to reach which state. A change costs O(1) for each
 * waiter that it answers; nothing is polled. Results are promises: they leave when what they say is
 * durable, but of a queue that tells before it stores at once. */

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

#define LIVE_STATES ((1u << JQ_SUCCEEDED) - 1) /* an end answers every wait */

struct jq_waiter *jq_waiter_find(const struct jq_peer *peer, uint64_t correlation)
{
    return jq_map_find(&peer->waits, correlation);
}

static void link_free(struct jq_wait_link *link)
{
    link->waiter->peer->waiting--;
    jq_dlist_remove(&link->in_job);
    jq_dlist_remove(&link->in_waiter);
    jq_free(link);
}

static void discard(struct jq_waiter *waiter)
{
    struct jq_dlink *at;

    while ((at = jq_dlist_first(&waiter->links)))
        link_free(JQ_ELEMENT(at, struct jq_wait_link, in_waiter));
    jq_hint_drop(waiter);
    jq_free(waiter);
}

void jq_waiter_free(struct jq_waiter *waiter)
{
    jq_map_remove(&waiter->peer->waits, waiter->correlation);
    discard(waiter);
}

void jq_waiters_free(struct jq_peer *peer)
{
    struct jq_waiter *waiter;

    for (size_t at = 0; (waiter = jq_map_next(&peer->waits, &at));)
        discard(waiter);
    jq_map_fini(&peer->waits);
}

void jq_waiter_settle(struct jq_waiter *waiter)
{
    if (jq_dlist_empty(&waiter->links) && waiter->lookups == 0)
        jq_waiter_free(waiter);
}

static void tell(struct jq_core *core, struct jq_waiter *waiter, uint64_t batch,
                 const struct jq_result *result)
{
    if (batch < waiter->after)
        batch = waiter->after;
    const uint64_t first_id = jq_hint_join(waiter, batch);
    jq_hint_tell(core, waiter, batch);
    struct jq_buf *buf =
        jq_tell_record(core, waiter->peer, batch, JQ_FILL_RESULTS, waiter->correlation);

    if (!buf)
        return;
    if (first_id)
        waiter->peer->filling[JQ_FILL_RESULTS]->first_id = first_id;
    jq_result_write(buf, result);
    jq_tell_record_end(core, waiter->peer, JQ_FILL_RESULTS);
}

/* A relaxed queue may forget an end as it may forget a job; its id was given away for good. */
static uint64_t promise(struct jq_core *core, const struct jq_job *job, uint64_t batch)
{
    if (job->queue->durability != JQ_DURABILITY_RELAXED && !jq_job_is_volatile(job))
        return batch;
    const uint64_t loose = jq_batch_loose(core);
    return job->id < core->ids_safe ? JQ_AT_ONCE : loose;
}

void jq_wait_ended(struct jq_core *core, struct jq_job *job)
{
    struct jq_result result;
    struct jq_dlink *at;

    if (jq_dlist_empty(&job->waits))
        return;
    jq_result_of_job(job, &result);
    const uint64_t batch = promise(core, job, job->end_batch);
    while ((at = jq_dlist_first(&job->waits))) {
        struct jq_wait_link *link = JQ_ELEMENT(at, struct jq_wait_link, in_job);
        struct jq_waiter *waiter = link->waiter;
        tell(core, waiter, batch, &result);
        link_free(link);
        jq_waiter_settle(waiter);
    }
}

void jq_wait_moved(struct jq_core *core, struct jq_job *job)
{
    struct jq_result result;
    struct jq_dlink *next;

    jq_result_of_job(job, &result);
    const uint64_t batch = promise(core, job, jq_batch_number(core));
    for (struct jq_dlink *at = jq_dlist_first(&job->waits); at; at = next) {
        struct jq_wait_link *link = JQ_ELEMENT(at, struct jq_wait_link, in_job);
        struct jq_waiter *waiter = link->waiter;
        next = jq_dlist_next(&job->waits, at);
        if (!waiter->states)
            return; /* from here on all wait for its end */
        if (!(waiter->states & 1u << job->state))
            continue;
        tell(core, waiter, batch, &result);
        link_free(link);
        jq_waiter_settle(waiter);
    }
}

static enum jq_err look_up(struct jq_core *core, struct jq_waiter *waiter, const uint64_t *ids,
                           uint32_t count);
static enum jq_err wait_for(struct jq_core *core, struct jq_waiter *waiter, struct jq_job *job);

/* The store could not answer now. It is asked again when the client asks again. */
static void give_up(struct jq_core *core, struct jq_waiter *waiter)
{
    jq_tell_error(core, waiter->peer, waiter->correlation, JQ_EBUSY, NULL);
    jq_waiter_free(waiter);
}

/* lookup: ids that were not in memory, for the waiter with token number[0]. */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct jq_waiter *waiter = peer ? jq_waiter_find(peer, lookup->correlation) : NULL;
    size_t cursor = 0;
    uint32_t i = 0;

    if (!waiter || waiter->token != lookup->number[0])
        return; /* withdrawn, or asked again meanwhile */
    waiter->lookups--;
    if (lookup->err == JQ_ENOMEM || (lookup->more && lookup->found == 0)) {
        give_up(core, waiter);
        return;
    }
    for (; i < lookup->count && !(lookup->more && cursor == lookup->found); i++) {
        const struct jq_loaded_job *job = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        struct jq_job *live = jq_job_find(core, lookup->ids[i]);
        struct jq_result result = { .id = lookup->ids[i] };
        enum jq_err err = JQ_OK;
        if (!live && job) /* it lives, and was in the store alone */
            err = jq_spill_need(core, &job->job, &live);
        if (err == JQ_OK && live) /* or it has come back to life meanwhile */
            err = wait_for(core, waiter, live);
        if (err != JQ_OK) {
            give_up(core, waiter);
            return;
        }
        if (live)
            continue;
        if (job)
            jq_result_of_loaded(core, job, &result);
        else
            result.error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, lookup->ids[i]);
        tell(core, waiter, JQ_AT_ONCE, &result);
    }
    /* The rest would have been too much at once. */
    if (look_up(core, waiter, lookup->ids + i, lookup->count - i) != JQ_OK)
        give_up(core, waiter);
    else
        jq_waiter_settle(waiter);
}

static enum jq_err look_up(struct jq_core *core, struct jq_waiter *waiter, const uint64_t *ids,
                           uint32_t count)
{
    struct jq_lookup *lookup;

    if (count == 0)
        return JQ_OK;
    lookup = jq_lookup_new(core, waiter->peer->id, waiter->correlation, loaded);
    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = waiter->token;
    const enum jq_err err =
        jq_lookup_ids(core, lookup, ids, count, JQ_READ_RESULT | JQ_READ_VALUE | JQ_READ_LIVE, 0);
    if (err != JQ_OK) {
        jq_lookup_free(core, lookup);
        return err;
    }
    waiter->lookups++;
    return JQ_OK;
}

/* What answers at once: an end, or a state that is waited for. True with the batch that has its
 * row, if any has. */
static bool is_reached(const struct jq_waiter *waiter, const struct jq_job *job,
                       uint64_t *ret_batch)
{
    const bool has_ended = jq_state_is_terminal(job->state);

    *ret_batch = has_ended ? job->end_batch : job->op_batch;
    return has_ended || (waiter->states & 1u << job->state);
}

static enum jq_err wait_for(struct jq_core *core, struct jq_waiter *waiter, struct jq_job *job)
{
    struct jq_result result;
    uint64_t batch;

    if (is_reached(waiter, job, &batch)) {
        jq_result_of_job(job, &result);
        tell(core, waiter, promise(core, job, batch), &result);
        return JQ_OK;
    }
    struct jq_wait_link *link = jq_alloc_zero(1, sizeof *link);
    if (!link)
        return JQ_ENOMEM;
    link->waiter = waiter;
    link->job = job;
    waiter->peer->waiting++;
    jq_dlist_append(&waiter->links, &link->in_waiter);
    if (waiter->states) /* first: those that wait for its end alone are not looked at before */
        jq_dlist_put_before(job->waits.head.next, &link->in_job);
    else
        jq_dlist_append(&job->waits, &link->in_job);
    return JQ_OK;
}

static enum jq_err wait_for_all(struct jq_core *core, struct jq_waiter *waiter, const uint64_t *ids,
                                uint32_t count, uint64_t *absent)
{
    uint32_t absent_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct jq_job *job = jq_job_find(core, ids[i]);
        if (job) {
            JQ_TRY(wait_for(core, waiter, job));
        } else if (jq_absent(core, ids[i]) == JQ_ENOENT) {
            const struct jq_result unknown = { .id = ids[i], .error = JQ_ENOENT };
            tell(core, waiter, JQ_AT_ONCE, &unknown);
        } else {
            absent[absent_count++] = ids[i];
        }
    }
    return look_up(core, waiter, absent, absent_count);
}

bool jq_wait_allowed(const struct jq_core *core, const struct jq_peer *peer, uint32_t count)
{
    return count <= core->conf.waits_max && peer->waiting <= core->conf.waits_max - count;
}

/* What is asked beside the ids. */
struct asked {
    uint64_t correlation, after;
    uint32_t states;
    bool may_join;                 /* the hint of a CALL, its first result */
    const struct jq_request *call; /* NULL: it is none */
};

static enum jq_err start(struct jq_core *core, struct jq_peer *peer, const struct asked *asked,
                         uint64_t *ids, uint32_t count)
{
    struct jq_waiter *waiter = jq_waiter_find(peer, asked->correlation);

    if (waiter)
        jq_waiter_free(waiter); /* asked again: the newest counts */
    count = jq_ids_sort_out(ids, count);
    if (!jq_wait_allowed(core, peer, count)) {
        jq_tell_error(core, peer, asked->correlation, JQ_EBUSY, "too many waits of one connection");
        return JQ_OK;
    }
    JQ_TRY(jq_map_reserve(&peer->waits, 1));
    waiter = jq_alloc_zero(1, sizeof *waiter);
    uint64_t *absent = jq_alloc(((size_t)count + 1) * sizeof *absent);
    if (!waiter || !absent) {
        jq_free(waiter);
        jq_free(absent);
        return JQ_ENOMEM;
    }
    waiter->peer = peer;
    waiter->correlation = asked->correlation;
    waiter->states = asked->states;
    waiter->token = ++core->next_token;
    waiter->after = asked->after;
    if (asked->call)
        jq_hint_begin(core, waiter, asked->call, asked->may_join);
    if (count == 0) /* each of its jobs was refused */
        jq_hint_tell(core, waiter, JQ_AT_ONCE);
    jq_dlist_init(&waiter->links);
    JQ_CHECK(jq_map_put(&peer->waits, asked->correlation, waiter) == JQ_OK);
    const enum jq_err err = wait_for_all(core, waiter, ids, count, absent);
    if (err == JQ_OK)
        jq_waiter_settle(waiter);
    else
        jq_waiter_free(waiter);
    jq_free(absent);
    return err;
}

enum jq_err jq_wait_start(struct jq_core *core, struct jq_peer *peer,
                          const struct jq_request *request, const struct jq_submit *submit,
                          uint64_t after, uint64_t *ids, uint32_t count)
{
    const struct asked asked = {
        .correlation = request->number,
        .after = after,
        .may_join = submit->results != 0,
        .call = submit->flags & JQ_SUBMIT_CALL ? request : NULL,
    };

    return start(core, peer, &asked, ids, count);
}

enum jq_err jq_wait_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    uint64_t *ids;

    if (msg->correlation == 0) {
        jq_tell_error(core, peer, 0, JQ_EINVAL, "WAIT needs a correlation");
        return JQ_OK;
    }
    JQ_TRY(jq_ids_of(msg->u.wait.jobs, &ids));
    const struct asked asked = {
        .correlation = msg->correlation,
        .states = (uint32_t)msg->u.wait.states & LIVE_STATES,
    };
    const enum jq_err err = start(core, peer, &asked, ids, msg->u.wait.jobs.count);
    jq_free(ids);
    return err;
}

void jq_unwait_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_waiter *waiter = jq_waiter_find(peer, msg->correlation);

    if (waiter)
        jq_waiter_free(waiter);
    jq_getter_withdraw(core, peer, msg->correlation);
    jq_room_withdraw(core, peer, msg->correlation);
    jq_join_withdraw(peer, msg->correlation);
}
