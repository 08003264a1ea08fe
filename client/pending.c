/* SPDX-License-Identifier: MIT
 *
 * pending.c - the table of requests: numbers, what is to be sent, resends, and to whom an answer
 * goes. */
#include "client/pending.h"

#include "client/link.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    RESEND_MS = 6000, /* until the link knows the broker's heartbeat */
    RESEND_MAX_MS = 60000,
    BUSY_FIRST_MS = 20,
    BUSY_MAX_MS = 5000,
};

static bool due_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_ask *x = JQ_ELEMENT(a, const struct jq_ask, in_due);
    const struct jq_ask *y = JQ_ELEMENT(b, const struct jq_ask, in_due);

    return x->resend_at != y->resend_at ? x->resend_at < y->resend_at
                                        : x->correlation < y->correlation;
}

void jq_pending_init(struct jq_pending *p, uint64_t seed)
{
    *p = (struct jq_pending){
        .correlation = JQ_LINK_CORRELATION,
        .resend_ms = RESEND_MS,
    };
    jq_dlist_init(&p->submits);
    jq_dlist_init(&p->calls);
    jq_dlist_init(&p->others);
    jq_dlist_init(&p->unsent);
    jq_dlist_init(&p->unasked);
    jq_dlist_init(&p->rooms);
    jq_dlist_init(&p->items);
    jq_dlist_init(&p->spares);
    jq_dlist_init(&p->leaving);
    jq_dlist_init(&p->settles);
    jq_heap_init(&p->due, due_before);
    jq_slab_init(&p->futures, sizeof(struct jobq_future));
    jq_slab_init(&p->interest_slab, sizeof(struct jq_interest));
    jq_rng_init(&p->rng, seed);
}

static void free_all(struct jq_pending *p, struct jq_dlist *list)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(list)))
        jq_ask_free(p, JQ_ELEMENT(link, struct jq_ask, in_list));
}

void jq_pending_fini(struct jq_pending *p)
{
    struct jq_dlink *link;

    jq_submit_drop_batches(p);
    free_all(p, &p->submits);
    free_all(p, &p->calls);
    free_all(p, &p->others);
    while ((link = jq_dlist_first(&p->unsent))) /* notices */
        jq_ask_free(p, JQ_ELEMENT(link, struct jq_ask, in_unsent));
    jq_item_fini(p);
    jq_heap_fini(&p->due);
    jq_map_fini(&p->asks);
    jq_map_fini(&p->interests);
    jq_slab_fini(&p->futures);
    jq_slab_fini(&p->interest_slab);
}

/* ---- asks ---- */

struct jq_ask *jq_ask_new(struct jq_pending *p, enum jq_ask_kind kind)
{
    /* The frames of jobs that are open now need a place each when they are closed. */
    const size_t places = (size_t)p->batches_count + 1;

    if (jq_map_reserve(&p->asks, places) != JQ_OK ||
        jq_heap_reserve(&p->due, p->asks.count + places - p->due.count) != JQ_OK)
        return NULL;
    struct jq_ask *ask = jq_alloc_zero(1, sizeof *ask);
    if (!ask)
        return NULL;
    ask->kind = kind;
    ask->resend_at = JQ_NEVER;
    return ask;
}

static void free_stream(struct jq_ask *ask)
{
    struct jq_msg msg;
    struct jq_frame *frame;

    while (jq_pending_stream_take(ask, &msg, &frame))
        jq_frame_drop(&frame);
    jq_map_fini(&ask->u.stream.left);
    jq_frame_drop(&ask->u.stream.err_frame);
}

/* What others know of it. */
static void leave_others(struct jq_pending *p, struct jq_ask *ask)
{
    switch (ask->kind) {
    case JQ_ASK_SUBMIT:
    case JQ_ASK_CALL:
        jq_room_leave(p, ask);
        break;
    case JQ_ASK_ONE:
        jq_item_unget(p, ask);
        jq_frame_drop(&ask->u.one.answer);
        break;
    case JQ_ASK_STREAM:
        free_stream(ask);
        break;
    case JQ_ASK_SETTLE:
        jq_settle_reset(ask);
        break;
    case JQ_ASK_ROOM:
        jq_dlist_remove(&ask->u.room.in_rooms);
        ask->u.room.submit->u.submit.room = NULL;
        break;
    case JQ_ASK_WAIT:
    case JQ_ASK_NOTICE:
        break;
    }
}

void jq_ask_free(struct jq_pending *p, struct jq_ask *ask)
{
    leave_others(p, ask);
    if (ask->correlation && ask->kind != JQ_ASK_NOTICE)
        jq_map_remove(&p->asks, ask->correlation);
    jq_dlist_remove(&ask->in_list);
    jq_dlist_remove(&ask->in_unsent);
    if (jq_heap_holds(&ask->in_due))
        jq_heap_remove(&p->due, &ask->in_due);
    jq_frame_drop(&ask->frame);
    jq_free(ask);
}

void jq_ask_number(struct jq_pending *p, struct jq_ask *ask, uint64_t correlation)
{
    ask->correlation = correlation;
    if (ask->kind != JQ_ASK_NOTICE)
        JQ_CHECK(jq_map_put(&p->asks, correlation, ask) == JQ_OK); /* reserved when it was made */
}

void jq_ask_queue(struct jq_pending *p, struct jq_ask *ask)
{
    jq_ask_resend_at(p, ask, JQ_NEVER);
    if (!jq_dlink_used(&ask->in_unsent))
        jq_dlist_append(&p->unsent, &ask->in_unsent);
}

void jq_ask_resend_at(struct jq_pending *p, struct jq_ask *ask, jq_ms at)
{
    ask->resend_at = at;
    if (at == JQ_NEVER) {
        if (jq_heap_holds(&ask->in_due))
            jq_heap_remove(&p->due, &ask->in_due);
    } else if (jq_heap_holds(&ask->in_due)) {
        jq_heap_moved(&p->due, &ask->in_due);
    } else {
        JQ_CHECK(jq_heap_put(&p->due, &ask->in_due) == JQ_OK); /* reserved when it was made */
    }
}

enum jq_err jq_ask_encode(struct jq_ask *ask, const struct jq_msg *msg)
{
    struct jq_frame_buf *frame = jq_frame_buf_new();

    if (!frame)
        return JQ_ENOMEM;
    const enum jq_err err = jq_msg_encode(msg, &frame->buf);
    struct jq_frame *made = jq_frame_buf_end(frame, 0);
    if (err != JQ_OK) {
        jq_frame_drop(&made);
        return err;
    }
    jq_frame_drop(&ask->frame);
    ask->frame = made;
    return JQ_OK;
}

/* `first` doubled once for each resend; half of it is random, so that a crowd spreads. */
static jq_ms spread(struct jq_pending *p, jq_ms first, unsigned resends, jq_ms max)
{
    jq_ms ms = first;

    for (unsigned i = 0; i < resends && ms < max; i++)
        ms *= 2;
    if (ms > max)
        ms = max;
    return ms / 2 + (jq_ms)jq_rng_below(&p->rng, (uint64_t)ms / 2 + 1);
}

jq_ms jq_ask_backoff(struct jq_pending *p, struct jq_ask *ask, jq_ms now)
{
    return jq_ms_add(now, spread(p, BUSY_FIRST_MS, ask->resends++, BUSY_MAX_MS));
}

void jq_pending_notice(struct jq_pending *p, enum jq_tag tag, uint64_t correlation)
{
    const struct jq_msg msg = { .tag = tag, .correlation = correlation };
    struct jq_ask *ask = jq_ask_new(p, JQ_ASK_NOTICE);

    /* Without memory the broker goes on telling us what we then ignore. */
    if (!ask)
        return;
    ask->correlation = correlation;
    if (jq_ask_encode(ask, &msg) == JQ_OK)
        jq_ask_queue(p, ask);
    else
        jq_ask_free(p, ask);
}

/* ---- the four verbs ---- */

/* A SUBMIT that waits for room. */
static bool is_parked(const struct jq_ask *ask)
{
    return (ask->kind == JQ_ASK_SUBMIT || ask->kind == JQ_ASK_CALL) && ask->u.submit.room;
}

/* It was not done, and is to be asked again later. */
static void put_off(struct jq_pending *p, jq_ms now, struct jq_ask *ask)
{
    if (is_parked(ask)) /* of a copy: its time is that of its wait */
        return;
    ask->was_sent = ask->is_repeated; /* what of it is on its way: older copies */
    jq_dlist_remove(&ask->in_unsent);
    jq_ask_resend_at(p, ask, jq_ask_backoff(p, ask, now));
}

static void receive_error(struct jq_pending *p, jq_ms now, struct jq_ask *ask,
                          const struct jq_msg *msg, struct jq_frame *frame)
{
    const enum jq_err err = msg->u.error.error < 0 ? (enum jq_err)msg->u.error.error : JQ_EPROTO;
    const struct jq_view text = msg->u.error.text;

    if (ask->kind == JQ_ASK_WAIT) {
        jq_wait_failed(p, ask, now, err, frame, text);
    } else if (err == JQ_EBUSY) {
        put_off(p, now, ask);
    } else if (ask->kind == JQ_ASK_ROOM) {
        jq_room_failed(p, ask, err, frame, text);
    } else if (ask->kind == JQ_ASK_SETTLE) {
        jq_settle_answered(p, ask, msg);
    } else if (ask->kind != JQ_ASK_SUBMIT && ask->kind != JQ_ASK_CALL) {
        jq_ask_answered(p, ask, msg, frame);
    } else if (err == JQ_EFULL || (err == JQ_EMSGSIZE && ask->u.submit.count > 1)) {
        jq_room_refused(p, now, ask, err, frame, text);
    } else {
        /* That we have not seen the answer, and the broker has it no more. */
        jq_submit_failed(p, ask, err == JQ_EALREADY ? JQ_EUNKNOWN : err, frame, text);
    }
}

void jq_pending_receive(struct jq_pending *p, jq_ms now, const struct jq_msg *msg,
                        struct jq_frame *frame)
{
    struct jq_ask *ask = jq_map_find(&p->asks, msg->correlation);

    if (!ask) { /* it came twice, or nobody wants it any more; results have their ids */
        if (msg->tag == JQ_MSG_ITEM || msg->tag == JQ_MSG_ITEMS)
            jq_item_late(p, msg);
        return;
    }
    if (msg->tag == JQ_MSG_ERROR) {
        receive_error(p, now, ask, msg, frame);
        return;
    }
    switch (ask->kind) {
    case JQ_ASK_SUBMIT:
    case JQ_ASK_CALL:
        if (msg->tag == JQ_MSG_SUBMITTED) {
            jq_submit_submitted(p, ask, msg, frame);
        } else if (msg->tag == JQ_MSG_RESULTS) {
            if (ask->kind == JQ_ASK_CALL && msg->u.results.first_id)
                jq_submit_hinted(p, ask, msg->u.results.first_id);
            jq_wait_results(p, msg, frame);
        }
        break;
    case JQ_ASK_WAIT:
        if (msg->tag == JQ_MSG_RESULTS)
            jq_wait_results(p, msg, frame);
        break;
    case JQ_ASK_ONE:
    case JQ_ASK_STREAM:
        jq_ask_answered(p, ask, msg, frame);
        break;
    case JQ_ASK_SETTLE:
        jq_settle_answered(p, ask, msg);
        break;
    case JQ_ASK_ROOM:
        if (msg->tag == JQ_MSG_ROOM_KEPT)
            jq_room_kept(p, ask);
        break;
    case JQ_ASK_NOTICE:
        break;
    }
}

void jq_pending_tick(struct jq_pending *p, jq_ms now)
{
    struct jq_heap_node *node;

    while ((node = jq_heap_first(&p->due))) {
        struct jq_ask *ask = JQ_ELEMENT(node, struct jq_ask, in_due);
        if (ask->resend_at > now)
            return;
        if (is_parked(ask)) {
            jq_room_late(p, ask);
            continue;
        }
        ask->resends += ask->was_sent;
        ask->is_repeated = ask->is_repeated || ask->was_sent;
        jq_ask_queue(p, ask);
    }
}

jq_ms jq_pending_next_at(const struct jq_pending *p)
{
    const struct jq_heap_node *node = jq_heap_first(&p->due);
    jq_ms at = node ? JQ_ELEMENT(node, const struct jq_ask, in_due)->resend_at : JQ_NEVER;

    if (!jq_dlist_empty(&p->unasked))
        at = jq_ms_min(at, p->ask_at);
    return jq_dlist_empty(&p->settles) ? at : jq_ms_min(at, p->settle_at);
}

void jq_pending_flush(struct jq_pending *p, jq_ms now)
{
    jq_submit_close_batches(p);
    jq_settle_flush(p, now);
    jq_wait_flush(p, now);
}

struct jq_ask *jq_pending_next(const struct jq_pending *p)
{
    struct jq_dlink *link = jq_dlist_first(&p->unsent);

    return link ? JQ_ELEMENT(link, struct jq_ask, in_unsent) : NULL;
}

void jq_pending_sent(struct jq_pending *p, struct jq_ask *ask, jq_ms now)
{
    jq_dlist_remove(&ask->in_unsent);
    ask->was_sent = true;
    if (ask->kind == JQ_ASK_NOTICE)
        jq_ask_free(p, ask);
    else if (ask->kind == JQ_ASK_WAIT)
        jq_frame_drop(&ask->frame);
    else if (ask->is_prompt)
        jq_ask_resend_at(
            p, ask,
            jq_ms_add(now, p->resend_ms + spread(p, p->resend_ms, ask->resends, RESEND_MAX_MS)));
}

static void queue_again(struct jq_pending *p, struct jq_ask *ask)
{
    ask->resends += ask->was_sent;
    ask->is_repeated = ask->is_repeated || ask->was_sent;
    jq_ask_queue(p, ask);
}

/* In the order of their numbers, as they were sent first. */
static void queue_submits(struct jq_pending *p)
{
    struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&p->submits, link))) {
        struct jq_ask *ask = JQ_ELEMENT(link, struct jq_ask, in_list);
        ask->u.submit.kept = 0; /* places are kept for a connection */
        if (!is_parked(ask))
            queue_again(p, ask);
    }
}

void jq_pending_reconnected(struct jq_pending *p)
{
    struct jq_dlink *link, *next;

    while ((link = jq_dlist_first(&p->unsent))) {
        struct jq_ask *ask = JQ_ELEMENT(link, struct jq_ask, in_unsent);
        jq_dlist_remove(link);
        if (ask->kind == JQ_ASK_NOTICE)
            jq_ask_free(p, ask);
    }
    jq_submit_reconnected(p);
    queue_submits(p);
    jq_wait_reconnected(p);
    for (link = jq_dlist_first(&p->others); link; link = next) {
        struct jq_ask *ask = JQ_ELEMENT(link, struct jq_ask, in_list);
        next = jq_dlist_next(&p->others, link);
        if (ask->kind == JQ_ASK_STREAM)
            jq_stream_reconnected(p, ask);
        else if (ask->kind != JQ_ASK_ONE || !ask->u.one.done)
            queue_again(p, ask);
    }
}

void jq_pending_set_resend(struct jq_pending *p, jq_ms ms)
{
    p->resend_ms = ms < 1 ? 1 : ms;
}

bool jq_pending_is_open(const struct jq_pending *p)
{
    return p->batches_count > 0 || !jq_dlist_empty(&p->unasked) || !jq_dlist_empty(&p->settles);
}

bool jq_pending_is_waiting(const struct jq_pending *p)
{
    return !jq_dlist_empty(&p->submits) || !jq_dlist_empty(&p->calls) ||
           !jq_dlist_empty(&p->others) || !jq_dlist_empty(&p->unasked) ||
           !jq_dlist_empty(&p->settles) || !jq_dlist_empty(&p->items);
}

/* ---- invariants ---- */

static void check_numbers(const struct jq_dlist *list, bool hinted, size_t *jobs, size_t *bytes)
{
    const struct jq_dlink *link = NULL;
    uint64_t last = 0;

    while ((link = jq_dlist_next(list, link))) {
        const struct jq_ask *ask = JQ_ELEMENT(link, const struct jq_ask, in_list);
        JQ_CHECK(ask->correlation > last);
        JQ_CHECK(ask->u.submit.is_hinted == hinted);
        JQ_CHECK(ask->frame != NULL);
        last = ask->correlation;
        JQ_CHECK(!is_parked(ask) || !jq_dlink_used(&ask->in_unsent));
        *jobs += hinted || ask->u.submit.is_put ? 0 : ask->u.submit.count;
        *bytes += hinted || ask->u.submit.is_put ? 0 : ask->u.submit.bytes;
    }
}

static void check_interest(const struct jq_interest *interest)
{
    const struct jq_dlink *link = NULL;
    bool by_call = true;

    JQ_CHECK(!jq_dlist_empty(&interest->futures));
    while ((link = jq_dlist_next(&interest->futures, link))) {
        const struct jobq_future *f = JQ_ELEMENT(link, const struct jobq_future, in_interest);
        JQ_CHECK(f->interest == interest && f->id == interest->id && !f->is_ended);
        by_call = by_call && f->ask;
    }
    JQ_CHECK(!interest->ask || !jq_dlink_used(&interest->in_unasked));
    JQ_CHECK(interest->ask || jq_dlink_used(&interest->in_unasked) || by_call);
}

void jq_pending_check(const struct jq_pending *p)
{
    size_t jobs = 0, bytes = 0, cursor = 0;
    const struct jq_interest *interest;

    check_numbers(&p->submits, false, &jobs, &bytes);
    check_numbers(&p->calls, true, &jobs, &bytes);
    for (uint32_t i = 0; i < p->batches_count; i++) {
        const struct jq_ask *ask = p->batches[i].ask;
        jobs += ask->u.submit.is_put ? 0 : ask->u.submit.count;
        bytes += ask->u.submit.is_put ? 0 : ask->u.submit.bytes;
    }
    JQ_CHECK(jobs == p->unanswered_jobs && bytes == p->unanswered_bytes);
    while ((interest = jq_map_next(&p->interests, &cursor)))
        check_interest(interest);
    JQ_CHECK(p->interest_slab.count == p->interests.count + p->promised);
    jq_heap_check(&p->due);
}
