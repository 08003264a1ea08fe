/* SPDX-License-Identifier: MIT
 *
 * cancel.c - CANCEL: what has not started never runs, what runs is ended by its worker. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"

enum jq_err jq_cancel_job(struct jq_core *core, struct jq_job *job, struct jq_view reason)
{
    char text[JQ_REASON_MAX + 1];

    if (jq_state_is_terminal(job->state) || job->cancel_asked)
        return JQ_OK;
    snprintf(text, sizeof text, "%.*s", JQ_VIEW_ARG(reason));
    if (job->state != JQ_RUNNING || job->is_item)
        return jq_job_end(core, job, JQ_CANCELLED, text[0] ? text : "cancelled");
    JQ_TRY(jq_batch_reserve(core, 2));
    job->cancel_asked = true;
    jq_job_store(core, job);
    jq_worker_kill(core, job, jq_view_str(text[0] ? text : "cancelled"));
    return JQ_OK;
}

static void tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                 uint32_t count, const struct jq_buf *acks)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCELLED,
        .correlation = correlation,
        .u.cancelled = { .each = jq_records_of(count, acks) },
    };
    jq_tell(core, peer, batch, &msg);
}

/* One that was not in memory. `batch`: the answer is true with it. */
static enum jq_err cancel_loaded(struct jq_core *core, const struct jq_lookup *lookup, uint64_t id,
                                 const struct jq_loaded_job *row, struct jq_ack *ack,
                                 uint64_t *batch)
{
    struct jq_job *job = jq_job_find(core, id);

    *ack = (struct jq_ack){ .id = id, .error = JQ_EALREADY };
    if (!job && row)
        JQ_TRY(jq_spill_need(core, &row->job, &job));
    if (job && !jq_state_is_terminal(job->state)) {
        const struct jq_view reason =
            jq_view(lookup->kept.data, (size_t)lookup->number[2]); /* as it was asked */
        JQ_TRY(jq_cancel_job(core, job, reason));
        ack->error = JQ_OK;
        *batch = jq_batch_number(core);
    }
    if (job) {
        ack->state = job->state;
        *batch = job->end_batch > *batch ? job->end_batch : *batch;
    } else if (row) {
        ack->state = jq_spill_is_doomed(core, &row->job) ? JQ_CANCELLED : row->job.state;
    } else {
        ack->error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, id);
    }
    return JQ_OK;
}

static enum jq_err look_up(struct jq_core *core, uint64_t peer, uint64_t correlation,
                           const uint64_t *ids, uint32_t count, struct jq_buf *kept,
                           const uint64_t number[3]);

/* lookup: `kept` has the reason, number[2] bytes, and number[0] answers, true with batch number[1].
 */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    size_t cursor = 0;
    uint32_t i = 0;

    if (!peer)
        return;
    for (; i < lookup->count && !(lookup->more && cursor == lookup->found); i++) {
        const struct jq_loaded_job *row = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        struct jq_ack ack;
        if (cancel_loaded(core, lookup, lookup->ids[i], row, &ack, &lookup->number[1]) != JQ_OK)
            ack = (struct jq_ack){ .id = lookup->ids[i], .error = JQ_EBUSY };
        jq_ack_write(&lookup->kept, &ack);
        lookup->number[0]++;
    }
    if (i > 0 && i < lookup->count &&
        jq_buf_ok(&lookup->kept) && /* the rest was too much at once */
        look_up(core, peer->id, lookup->correlation, lookup->ids + i, lookup->count - i,
                &lookup->kept, lookup->number) == JQ_OK)
        return;
    const struct jq_buf acks = { .data = lookup->kept.data + lookup->number[2],
                                 .size = lookup->kept.size - (size_t)lookup->number[2] };
    if (i == lookup->count && jq_buf_ok(&lookup->kept))
        tell(core, peer, lookup->correlation, lookup->number[1], (uint32_t)lookup->number[0],
             &acks);
    else
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
}

/* Takes `kept` when it returns OK. */
static enum jq_err look_up(struct jq_core *core, uint64_t peer, uint64_t correlation,
                           const uint64_t *ids, uint32_t count, struct jq_buf *kept,
                           const uint64_t number[3])
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer, correlation, loaded);

    if (!lookup)
        return JQ_ENOMEM;
    for (int i = 0; i < 3; i++)
        lookup->number[i] = number[i];
    const enum jq_err err = jq_lookup_ids(core, lookup, ids, count, JQ_READ_LIVE, 0);
    if (err != JQ_OK) {
        jq_lookup_free(core, lookup);
        return err;
    }
    lookup->kept = *kept;
    *kept = (struct jq_buf){ 0 };
    return JQ_OK;
}

struct cancelling {
    struct jq_buf acks;
    uint32_t count;
    uint64_t batch;
    uint64_t *absent;
    uint32_t absent_count;
};

static enum jq_err cancel_one(struct jq_core *core, struct cancelling *c, uint64_t id,
                              struct jq_view reason)
{
    struct jq_job *job = jq_job_find(core, id);
    struct jq_ack ack = { .id = id };

    if (!job && jq_absent(core, id) == JQ_EGONE) {
        c->absent[c->absent_count++] = id;
        return JQ_OK;
    }
    if (!job) {
        ack.error = JQ_ENOENT;
    } else if (jq_state_is_terminal(job->state)) {
        ack.error = JQ_EALREADY;
        ack.state = job->state;
        c->batch = job->end_batch > c->batch ? job->end_batch : c->batch;
    } else {
        JQ_TRY(jq_cancel_job(core, job, reason));
        ack.state = job->state;
        c->batch = jq_batch_number(core);
    }
    jq_ack_write(&c->acks, &ack);
    c->count++;
    return JQ_OK;
}

static enum jq_err answer(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                          struct cancelling *c, struct jq_view reason)
{
    const size_t reason_bytes = reason.size < JQ_REASON_MAX ? reason.size : JQ_REASON_MAX;
    const uint64_t number[3] = { c->count, c->batch, reason_bytes };
    struct jq_buf kept = { 0 };

    if (!jq_buf_ok(&c->acks))
        return JQ_ENOMEM;
    if (c->absent_count == 0) {
        tell(core, peer, correlation, c->batch, c->count, &c->acks);
        return JQ_OK;
    }
    jq_buf_append(&kept, reason.data, reason_bytes);
    jq_buf_append(&kept, c->acks.data, c->acks.size);
    enum jq_err err = jq_buf_ok(&kept) ? JQ_OK : JQ_ENOMEM;
    if (err == JQ_OK)
        err = look_up(core, peer->id, correlation, c->absent, c->absent_count, &kept, number);
    jq_buf_fini(&kept);
    return err;
}

enum jq_err jq_cancel_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_cancel *cancel = &msg->u.cancel;
    struct cancelling c = { .absent = jq_alloc(((size_t)cancel->jobs.count + 1) * 8) };
    enum jq_err err = c.absent ? JQ_OK : JQ_ENOMEM;
    struct jq_job_ref ref;

    for (struct jq_reader r = jq_records_reader(cancel->jobs);
         err == JQ_OK && jq_job_ref_next(&r, &ref);)
        err = cancel_one(core, &c, ref.id, cancel->reason);
    if (err == JQ_OK)
        err = answer(core, peer, msg->correlation, &c, cancel->reason);
    jq_buf_fini(&c.acks);
    jq_free(c.absent);
    return err;
}
