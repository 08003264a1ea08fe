/* SPDX-License-Identifier: MIT
 *
 * settle.c - SETTLE: what becomes of items that are held, told by whoever knows their fences. The
 * answer is a promise: it leaves when all of it is durable. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

static enum jq_err done(struct jq_core *core, struct jq_job *job)
{
    return jq_job_end(core, job, JQ_SUCCEEDED, "");
}

static enum jq_err give_back(struct jq_core *core, struct jq_job *job, uint64_t ms)
{
    JQ_TRY(jq_job_reserve(core, job));
    JQ_TRY(jq_history_lost(core, job, "given back"));
    core->count.returned++;
    job->extra->due_at = ms ? jq_timer_after(core, ms) : 0;
    jq_job_move(core, job, ms ? JQ_DELAYED : JQ_READY);
    return JQ_OK;
}

static enum jq_err extend(struct jq_core *core, struct jq_job *job, uint64_t ms)
{
    JQ_TRY(jq_job_reserve(core, job));
    JQ_TRY(jq_extra_need(job));
    jq_hold_by_receipt(core, job);
    job->extra->due_at = jq_timer_after(core, ms);
    jq_timer_update(core, job);
    jq_job_store(core, job);
    return JQ_OK;
}

static enum jq_err act(struct jq_core *core, struct jq_job *job, const struct jq_settling *settling)
{
    switch ((enum jq_settle_action)settling->action) {
    case JQ_SETTLE_DONE:
        return done(core, job);
    case JQ_SETTLE_NACK:
        return give_back(core, job, settling->ms);
    case JQ_SETTLE_EXTEND:
        break;
    }
    return extend(core, job, settling->ms);
}

/* What is wrong with it, if anything; *ret_job is what it is about. */
static enum jq_err fault_of(const struct jq_core *core, const struct jq_settling *settling,
                            struct jq_job **ret_job)
{
    struct jq_job *job = jq_job_find(core, settling->id);

    *ret_job = job;
    if (!job)
        return jq_absent(core, settling->id) == JQ_ENOENT ? JQ_ENOENT : JQ_EALREADY;
    if (jq_state_is_terminal(job->state))
        return JQ_EALREADY;
    if (!job->is_item)
        return JQ_ESTATE;
    if (job->state != JQ_RUNNING || job->fence != settling->fence)
        return JQ_EFENCED;
    if (settling->action == JQ_SETTLE_EXTEND && settling->ms == 0)
        return JQ_EINVAL;
    return JQ_OK;
}

/* A relaxed queue tells at once; it may forget that an item was settled, as it may forget one. */
static uint64_t promise(const struct jq_core *core, const struct jq_job *job, uint64_t batch)
{
    return job->queue->durability == JQ_DURABILITY_FULL ? jq_batch_number(core) : batch;
}

static enum jq_err settle(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_settling settling;
    struct jq_buf acks = { 0 };
    uint64_t batch = JQ_AT_ONCE;
    bool any = false;
    enum jq_err err = JQ_OK;

    for (struct jq_reader r = jq_records_reader(msg->u.settle.items);
         err == JQ_OK && jq_settling_next(&r, &settling);) {
        struct jq_job *job;
        struct jq_ack ack = { .id = settling.id };
        ack.error = fault_of(core, &settling, &job);
        if (ack.error == JQ_OK) {
            err = act(core, job, &settling);
            any |= err == JQ_OK;
            batch = promise(core, job, batch);
        } else if (job && jq_state_is_terminal(job->state) && job->end_batch > batch) {
            batch = job->end_batch;
        }
        core->count.fenced += ack.error == JQ_EFENCED;
        ack.state = job ? job->state : 0;
        jq_ack_write(&acks, &ack);
    }
    if (err == JQ_OK && !jq_buf_ok(&acks))
        err = JQ_ENOMEM;
    if (err != JQ_OK && any) {
        jq_break_peer(core, peer); /* some of it is done: it asks again, as for a lost answer */
        err = JQ_OK;
    } else if (err == JQ_OK) {
        const struct jq_msg answer = {
            .tag = JQ_MSG_SETTLED,
            .correlation = msg->correlation,
            .u.settled = { .each = jq_records_of(msg->u.settle.items.count, &acks) },
        };
        jq_tell(core, peer, batch, &answer);
    }
    jq_buf_fini(&acks);
    return err;
}

/* ---- of items that may be in the store alone ---- */

/* Those that are neither in memory nor unknown, into `ids`, sorted. */
static uint32_t absent_of(const struct jq_core *core, struct jq_records items, uint64_t *ids)
{
    struct jq_settling settling;
    uint32_t count = 0;

    for (struct jq_reader r = jq_records_reader(items); jq_settling_next(&r, &settling);)
        if (!jq_job_find(core, settling.id) && jq_absent(core, settling.id) == JQ_EGONE)
            ids[count++] = settling.id;
    return jq_ids_sort_out(ids, count);
}

static void loaded(struct jq_core *core, struct jq_lookup *lookup);

static enum jq_err look_up(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg,
                           const uint64_t *ids, uint32_t count)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, msg->correlation, loaded);

    if (!lookup)
        return JQ_ENOMEM;
    enum jq_err err = jq_msg_encode(msg, &lookup->kept);
    if (err == JQ_OK)
        err = jq_lookup_ids(core, lookup, ids, count, JQ_READ_LIVE, 0);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

/* Whoever lost its lease must hear so, not that it is done: also of an item that waits again, in
 * the store alone. `answered`: what the store has been asked; NULL: nothing yet. Others may have
 * left memory meanwhile: those are asked for, too. */
static enum jq_err settle_known(struct jq_core *core, struct jq_peer *peer,
                                const struct jq_msg *msg, const struct jq_lookup *answered)
{
    const struct jq_records items = msg->u.settle.items;
    enum jq_err err = JQ_OK;

    uint64_t *ids = jq_alloc(((size_t)items.count + 1) * sizeof *ids);
    if (!ids)
        return JQ_ENOMEM;
    const uint32_t count = absent_of(core, items, ids);
    if (answered ? jq_lookup_covers(answered, ids, count) : count == 0)
        err = settle(core, peer, msg);
    else if (peer->lookups <= core->conf.lookups_max)
        err = look_up(core, peer, msg, ids, count);
    else
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY,
                      "too many requests of one connection await the store");
    jq_free(ids);
    return err;
}

/* lookup: `kept` is the SETTLE. What lives of its items is in memory now. */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    enum jq_err err = lookup->more && !lookup->found ? JQ_EMSGSIZE : lookup->err;
    struct jq_job *job;
    struct jq_msg msg;

    if (!peer || peer->token != lookup->peer_token)
        return;
    for (size_t i = 0; err == JQ_OK && i < lookup->found; i++)
        err = jq_spill_need(core, &lookup->jobs[i].job, &job);
    if (err == JQ_OK)
        err = jq_msg_decode(jq_buf_view(&lookup->kept), &msg);
    if (err == JQ_OK)
        err = settle_known(core, peer, &msg, lookup);
    if (err != JQ_OK)
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
}

enum jq_err jq_settle_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    return core->spilled_lanes ? settle_known(core, peer, msg, NULL) : settle(core, peer, msg);
}
