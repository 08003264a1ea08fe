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

/* lookup: `kept` has the answers for jobs in memory, number[0] of them, true with batch number[1].
 */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    size_t cursor = 0;

    if (!peer)
        return;
    for (uint32_t i = 0; i < lookup->count; i++) {
        const struct jq_loaded_job *job = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        struct jq_ack ack = { .id = lookup->ids[i], .error = JQ_EALREADY };
        if (job)
            ack.state = job->job.state;
        else
            ack.error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, ack.id);
        jq_ack_write(&lookup->kept, &ack);
    }
    if (jq_buf_ok(&lookup->kept))
        tell(core, peer, lookup->correlation, lookup->number[1],
             (uint32_t)lookup->number[0] + lookup->count, &lookup->kept);
    else
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
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
                          struct cancelling *c)
{
    if (!jq_buf_ok(&c->acks))
        return JQ_ENOMEM;
    if (c->absent_count == 0) {
        tell(core, peer, correlation, c->batch, c->count, &c->acks);
        return JQ_OK;
    }
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, loaded);
    if (!lookup)
        return JQ_ENOMEM;
    lookup->kept = c->acks;
    c->acks = (struct jq_buf){ 0 };
    lookup->number[0] = c->count;
    lookup->number[1] = c->batch;
    const enum jq_err err = jq_lookup_ids(core, lookup, c->absent, c->absent_count, 0, 0);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
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
        err = answer(core, peer, msg->correlation, &c);
    jq_buf_fini(&c.acks);
    jq_free(c.absent);
    return err;
}
