/* SPDX-License-Identifier: MIT
 *
 * join.c - JOIN: who waits until nothing of a queue is unfinished. A release costs O(1) for each;
 * it is a promise: it leaves when the last end is durable. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

static void tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation)
{
    const struct jq_msg msg = { .tag = JQ_MSG_JOINED, .correlation = correlation };

    jq_tell(core, peer, jq_batch_number(core), &msg);
}

void jq_joiner_free(struct jq_joiner *joiner)
{
    joiner->peer->joining--;
    jq_dlist_remove(&joiner->in_queue);
    jq_dlist_remove(&joiner->in_peer);
    jq_free(joiner);
}

void jq_join_release(struct jq_core *core, struct jq_queue *queue)
{
    struct jq_dlink *link;

    if (jq_dlist_empty(&queue->joiners) || jq_queue_unfinished(queue) > 0)
        return;
    while ((link = jq_dlist_first(&queue->joiners))) {
        struct jq_joiner *joiner = JQ_ELEMENT(link, struct jq_joiner, in_queue);
        tell(core, joiner->peer, joiner->correlation);
        jq_joiner_free(joiner);
    }
}

/* Asked again, or withdrawn: at most one has this correlation. */
void jq_join_withdraw(struct jq_peer *peer, uint64_t correlation)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&peer->joins); at; at = next) {
        struct jq_joiner *joiner = JQ_ELEMENT(at, struct jq_joiner, in_peer);
        next = jq_dlist_next(&peer->joins, at);
        if (joiner->correlation == correlation)
            jq_joiner_free(joiner);
    }
}

enum jq_err jq_join_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_queue *queue = jq_queue_find(core, msg->u.join.queue);

    if (!queue || queue->removing) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, "no such queue");
        return JQ_OK;
    }
    jq_join_withdraw(peer, msg->correlation);
    if (peer->joining >= core->conf.watchers_max) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY, "too many joins of one connection");
        return JQ_OK;
    }
    struct jq_joiner *joiner = jq_alloc_zero(1, sizeof *joiner);
    if (!joiner)
        return JQ_ENOMEM;
    joiner->peer = peer;
    joiner->correlation = msg->correlation;
    peer->joining++;
    jq_dlist_append(&peer->joins, &joiner->in_peer);
    jq_dlist_append(&queue->joiners, &joiner->in_queue);
    jq_join_release(core, queue);
    return JQ_OK;
}
