/* SPDX-License-Identifier: MIT
 *
 * queue_admin.c - QUEUE_SET, QUEUE_DO and QUEUE_ASK: what a queue is told, and what it says of
 * itself: its counters and settings of one instant. */
#include <string.h>

#include "broker/core/parts.h"

/* ---- saying ---- */

void jq_queue_info_of(const struct jq_queue *queue, struct jq_queue_info *ret)
{
    *ret = (struct jq_queue_info){
        .name = jq_blob_view(queue->name),
        .order = jq_view_str(jq_order_name(queue->order)),
        .maxsize = queue->maxsize,
        .blocked = queue->by_state[JQ_BLOCKED] - queue->doomed[JQ_BLOCKED],
        .delayed = queue->by_state[JQ_DELAYED] - queue->doomed[JQ_DELAYED],
        .ready = queue->by_state[JQ_READY] - queue->doomed[JQ_READY],
        .running = queue->by_state[JQ_RUNNING],
        .unfinished = jq_queue_unfinished(queue),
        .succeeded = queue->by_state[JQ_SUCCEEDED],
        .failed = queue->by_state[JQ_FAILED],
        .cancelled = queue->by_state[JQ_CANCELLED] + jq_queue_doomed(queue),
        .purging = jq_queue_doomed(queue),
        .spilled = jq_spilled_of(queue) - jq_spilled_doomed(queue),
        .expired = queue->by_state[JQ_EXPIRED],
        .skipped = queue->by_state[JQ_SKIPPED],
        .paused = queue->paused,
        .closed = queue->closed,
        .sequence = queue->sequence,
        .kept = queue->kept,
        .kept_bytes = queue->kept_bytes,
        .getters = queue->getting,
        .putters = queue->putting,
    };
}

static void conf_of(const struct jq_queue *queue, struct jq_queue_conf *ret)
{
    *ret = (struct jq_queue_conf){
        .order = jq_view_str(jq_order_name(queue->order)),
        .maxsize = queue->maxsize,
        .durability = queue->durability,
        .concurrency = queue->concurrency,
        .attempts_max = queue->attempts_max,
        .backoff_ms = queue->backoff_ms,
        .backoff_max_ms = queue->backoff_max_ms,
        .keep_ms = queue->keep_ms,
        .keep_bytes = queue->keep_bytes,
        .keep_count = queue->keep_count,
        .aging_ms = queue->aging_ms,
    };
}

void jq_queue_said(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                   const struct jq_queue *queue, uint64_t count)
{
    struct jq_buf infos = { 0 }, confs = { 0 };
    struct jq_queue_info info;
    struct jq_queue_conf conf;

    jq_queue_info_of(queue, &info);
    conf_of(queue, &conf);
    jq_queue_info_write(&infos, &info);
    jq_queue_conf_write(&confs, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SAID,
        .correlation = correlation,
        .u.queue_said = {
            .info = jq_records_of(1, &infos),
            .conf = jq_records_of(1, &confs),
            .count = count,
        },
    };
    if (!peer)
        ; /* its connection is lost */
    else if (jq_buf_ok(&infos) && jq_buf_ok(&confs))
        jq_tell(core, peer, batch, &msg);
    else
        jq_break_peer(core, peer); /* what it asked for may have been done */
    jq_buf_fini(&infos);
    jq_buf_fini(&confs);
}

/* NULL: there is none, and the peer has been told. */
static struct jq_queue *find(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                             struct jq_view name)
{
    struct jq_queue *queue = jq_queue_find(core, name);

    if (!queue)
        jq_tell_error(core, peer, correlation, JQ_ENOENT, "no such queue");
    return queue;
}

enum jq_err jq_queue_ask_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_queue *queue = find(core, peer, msg->correlation, msg->u.queue_ask.name);

    if (queue)
        jq_queue_said(core, peer, msg->correlation, JQ_AT_ONCE, queue, 0);
    return JQ_OK;
}

/* ---- QUEUE_DO ---- */

enum jq_err jq_queue_do_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_queue *queue = find(core, peer, msg->correlation, msg->u.queue_do.name);
    uint64_t count = 0;

    if (!queue)
        return JQ_OK;
    if (queue->removing) {
        jq_tell_error(core, peer, msg->correlation, JQ_ESTATE, "it is being removed");
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 1));
    switch ((enum jq_queue_action)msg->u.queue_do.action) {
    case JQ_QUEUE_PAUSE:
    case JQ_QUEUE_RESUME:
        queue->paused = msg->u.queue_do.action == JQ_QUEUE_PAUSE;
        jq_queue_turn(core, queue);
        break;
    case JQ_QUEUE_CLOSE:
    case JQ_QUEUE_REOPEN:
        queue->closed = msg->u.queue_do.action == JQ_QUEUE_CLOSE;
        jq_getters_end(core, queue);
        jq_room_note(core, queue);
        break;
    case JQ_QUEUE_CLOSE_NOW:
    case JQ_QUEUE_PURGE:
        queue->closed = queue->closed || msg->u.queue_do.action == JQ_QUEUE_CLOSE_NOW;
        jq_purge_start(core, queue, &count);
        jq_getters_end(core, queue);
        jq_room_note(core, queue);
        break;
    case JQ_QUEUE_REMOVE:
        return jq_remove_queue(core, peer, msg->correlation, queue);
    default:
        jq_tell_error(core, peer, msg->correlation, JQ_EINVAL,
                      "QUEUE_DO has an action that this broker does not know");
        return JQ_OK;
    }
    jq_batch_queue(core, queue);
    jq_queue_said(core, peer, msg->correlation, jq_batch_number(core), queue, count);
    return JQ_OK;
}

/* ---- QUEUE_SET ---- */

struct setting {
    uint64_t fields;
    struct jq_queue_conf conf;
    enum jq_order_kind order;
};

/* NULL: it can be done. */
static const char *fault_of(const struct jq_queue_set *set, struct setting *ret)
{
    struct jq_reader r = jq_records_reader(set->conf);
    char order[JQ_NAME_MAX + 1];

    *ret = (struct setting){ .fields = set->fields };
    if (!jq_name_valid(set->name))
        return "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -";
    if (set->fields & ~JQ_QUEUE_FIELDS)
        return "QUEUE_SET has fields that this broker does not know";
    if (!jq_queue_conf_next(&r, &ret->conf) && set->fields)
        return "QUEUE_SET has no queue_conf";
    memcpy(order, ret->conf.order.size ? ret->conf.order.data : "", ret->conf.order.size);
    order[ret->conf.order.size] = '\0';
    if ((set->fields & JQ_QUEUE_ORDER) && !jq_order_parse(order, &ret->order))
        return "order: fifo, lifo or priority";
    if ((set->fields & JQ_QUEUE_AGING) && ret->conf.aging_ms > INT32_MAX)
        return "aging: at most 2147483647 ms, which is 24 days";
    return NULL;
}

static void set_fields(struct jq_core *core, struct jq_queue *queue, const struct setting *s)
{
    const uint64_t fields = s->fields;

    if (fields & JQ_QUEUE_ORDER)
        jq_queue_set_order(queue, s->order);
    if (fields & JQ_QUEUE_MAXSIZE)
        queue->maxsize = s->conf.maxsize;
    if (fields & JQ_QUEUE_DURABILITY)
        queue->durability = (enum jq_durability)s->conf.durability;
    core->loose |= queue->durability != JQ_DURABILITY_FULL;
    if (fields & JQ_QUEUE_AGING)
        jq_queue_set_aging(core, queue, s->conf.aging_ms);
    if (fields & JQ_QUEUE_CONCURRENCY)
        queue->concurrency = (uint32_t)s->conf.concurrency;
    if (fields & JQ_QUEUE_ATTEMPTS_MAX)
        queue->attempts_max = (uint32_t)s->conf.attempts_max;
    if (fields & JQ_QUEUE_BACKOFF)
        queue->backoff_ms = s->conf.backoff_ms;
    if (fields & JQ_QUEUE_BACKOFF_MAX)
        queue->backoff_max_ms = s->conf.backoff_max_ms;
    if (fields & JQ_QUEUE_KEEP)
        queue->keep_ms = s->conf.keep_ms;
    if (fields & JQ_QUEUE_KEEP_BYTES)
        queue->keep_bytes = s->conf.keep_bytes;
    if (fields & JQ_QUEUE_KEEP_COUNT)
        queue->keep_count = s->conf.keep_count;
}

/* OK: it may be set, or is to be made. */
static enum jq_err may_set(const struct jq_core *core, const struct jq_queue *queue,
                           const struct jq_queue_set *set, const struct setting *s,
                           const char **ret_text)
{
    *ret_text = NULL;
    if (!queue && set->mode == JQ_QUEUE_CHANGE)
        return JQ_ENOENT;
    if (queue && set->mode == JQ_QUEUE_MAKE)
        return JQ_EEXIST;
    if (!queue && core->queues.count >= core->conf.queues_max) {
        *ret_text = "the broker has as many queues as it may have";
        return JQ_ENOSPC;
    }
    if (queue && (s->fields & JQ_QUEUE_ORDER) && s->order != queue->order &&
        jq_queue_unfinished(queue) + jq_queue_doomed(queue) > 0) {
        *ret_text = "its order can change only while nothing of it is unfinished";
        return set->mode == JQ_QUEUE_DECLARE ? JQ_EEXIST : JQ_ESTATE;
    }
    if (queue && (s->fields & JQ_QUEUE_AGING) && s->conf.aging_ms != queue->aging_ms &&
        jq_spilled_of(queue) > 0) {
        *ret_text =
            "so many of its jobs wait that some are on disk alone, in their order: its aging "
            "can change when fewer do";
        return JQ_ESTATE;
    }
    return JQ_OK;
}

enum jq_err jq_queue_set_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_queue_set *set = &msg->u.queue_set;
    struct jq_queue *queue = jq_queue_find(core, set->name);
    struct setting s;
    const char *text = fault_of(set, &s);
    const enum jq_err err = text                       ? JQ_EINVAL
                            : queue && queue->removing ? JQ_ESTATE
                                                       : may_set(core, queue, set, &s, &text);

    if (err != JQ_OK) {
        jq_tell_error(core, peer, msg->correlation, err, text);
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 2));
    if (!queue)
        JQ_TRY(jq_queue_get(core, set->name, &queue));
    set_fields(core, queue, &s);
    jq_queue_turn(core, queue);
    jq_room_note(core, queue);
    jq_batch_queue(core, queue);
    jq_queue_said(core, peer, msg->correlation, jq_batch_number(core), queue, 0);
    return JQ_OK;
}
