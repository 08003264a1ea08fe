/* SPDX-License-Identifier: MIT
 *
 * peek.c - PEEK: the item that GET would give now, wherever it is; and how an item is told. */
#include "broker/core/parts.h"

/* ---- telling ---- */

struct jq_given jq_given_of(const struct jq_job *job)
{
    return (struct jq_given){
        .id = job->id,
        .fence = job->fence,
        .priority = job->priority,
        .attempt = job->attempt,
        .created_at = job->fixed.created_at,
        .payload = jq_job_payload(job),
        .options = jq_job_options(job),
        .lease_until = jq_job_due_at(job),
    };
}

void jq_tell_item(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                  const struct jq_given *given)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEM,
        .correlation = correlation,
        .u.item = {
            .id = given->id,
            .fence = given->fence,
            .priority = given->priority,
            .attempt = given->attempt,
            .created_at = given->created_at,
            .payload = given->payload,
            .options = given->options,
            .lease_until = given->lease_until,
        },
    };

    jq_tell(core, peer, batch, &msg);
}

/* ---- looking ---- */

/* Nobody holds it. */
static void show(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                 const struct jq_job *job)
{
    struct jq_given given = jq_given_of(job);

    given.fence = 0;
    given.lease_until = 0;
    jq_tell_item(core, peer, correlation, JQ_AT_ONCE, &given);
}

static enum jq_err peek_spilled(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                                const struct jq_queue *queue);

/* lookup->number: the queue, and the batch behind which was read. The first item, if it is in
 * memory by now. */
static const struct jq_job *first_here(struct jq_core *core, const struct jq_lookup *lookup)
{
    const struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    const struct jq_job *first = queue ? jq_lane_first(&queue->items) : NULL;

    if (!queue || first)
        return first;
    const struct jq_heap_node *node = jq_heap_first(&queue->items.spill.beyond);
    const struct jq_job *beyond = node ? JQ_ELEMENT(node, struct jq_job, in_heap) : NULL;
    if (!beyond || lookup->found == 0)
        return beyond;
    const struct jq_job_record *row = &lookup->jobs[0].job;
    const struct jq_order_key key = {
        .rank = jq_queue_rank(queue, row->priority, row->created_at),
        .id = row->id,
    };
    return jq_order_before(queue->order, key, jq_queue_key(beyond)) ? NULL : beyond;
}

static void peeked(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);

    if (!peer || peer->token != lookup->peer_token)
        return;
    const struct jq_job *here = first_here(core, lookup);
    if (here) {
        show(core, peer, lookup->correlation, here);
        return;
    }
    if (lookup->found == 0) {
        jq_tell_error(core, peer, lookup->correlation,
                      lookup->err == JQ_OK ? JQ_EEMPTY : lookup->err, NULL);
        return;
    }
    const struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    const struct jq_job_record *job = &lookup->jobs[0].job;
    if (queue && queue->items.spill.batch > lookup->number[1]) { /* more has gone there meanwhile */
        if (peek_spilled(core, peer, lookup->correlation, queue) != JQ_OK)
            jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
        return;
    }
    if (jq_spill_is_doomed(core, job)) { /* the first that is not stands behind those */
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, "it is being purged");
        return;
    }
    const struct jq_given given = {
        .id = job->id,
        .priority = job->priority,
        .attempt = job->attempt,
        .created_at = job->created_at,
        .payload = job->payload,
        .options = job->options,
    };
    jq_tell_item(core, peer, lookup->correlation, JQ_AT_ONCE, &given);
}

/* The first is on its way into memory: whoever looks does not have to wait for it. */
static enum jq_err peek_spilled(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                                const struct jq_queue *queue)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, peeked);
    const struct jq_read read = jq_spill_read(&queue->items, 1);

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = queue->id;
    lookup->number[1] = read.after;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

enum jq_err jq_peek_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_queue *queue = jq_queue_find(core, msg->u.peek.queue);
    const bool gates = queue && jq_purge_gates(queue);
    const struct jq_job *job = queue && !gates ? jq_lane_first(&queue->items) : NULL;

    if (queue && !gates && jq_spill_starves(&queue->items))
        return peek_spilled(core, peer, msg->correlation, queue);
    if (job)
        show(core, peer, msg->correlation, job);
    else
        jq_tell_error(core, peer, msg->correlation, queue ? JQ_EEMPTY : JQ_ENOENT,
                      queue ? NULL : "no such queue");
    return JQ_OK;
}
