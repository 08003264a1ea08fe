/* SPDX-License-Identifier: MIT
 *
 * pending_room.c - full queues: a SUBMIT that was refused waits here, not at the broker. ROOM asks
 * for places; when they are kept the same SUBMIT is sent again, under its old number, so that a
 * copy of it that is still on its way makes no second job. Its deadline stands where the time of
 * its resend would. */
#include "client/pending.h"
#include "proto/base/alloc.h"

static const char *const full_text = "the queue is full";

/* ---- waiting for places ---- */

bool jq_room_is_waited_for(const struct jq_pending *p, struct jq_view queue)
{
    const struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&p->rooms, link)))
        if (jq_view_equal(JQ_ELEMENT(link, const struct jq_ask, u.room.in_rooms)->u.room.queue,
                          queue))
            return true;
    return false;
}

enum jq_err jq_room_park(struct jq_pending *p, struct jq_ask *submit)
{
    struct jq_msg msg;

    JQ_TRY(jq_msg_decode(submit->frame->bytes, &msg));
    struct jq_ask *room = jq_ask_new(p, JQ_ASK_ROOM);
    if (!room)
        return JQ_ENOMEM;
    room->u.room.submit = submit;
    room->u.room.queue = msg.u.submit.queue;
    const struct jq_msg ask = {
        .tag = JQ_MSG_ROOM,
        .correlation = p->correlation + 1,
        .u.room = { .queue = msg.u.submit.queue, .count = submit->u.submit.count },
    };
    const enum jq_err err = jq_ask_encode(room, &ask);
    if (err != JQ_OK) {
        jq_free(room);
        return err;
    }
    submit->u.submit.room = room;
    jq_dlist_remove(&submit->in_unsent);
    jq_ask_resend_at(p, submit, submit->u.submit.put_until);
    jq_ask_number(p, room, ++p->correlation);
    jq_dlist_append(&p->others, &room->in_list);
    jq_dlist_append(&p->rooms, &room->u.room.in_rooms);
    jq_ask_queue(p, room);
    return JQ_OK;
}

void jq_room_leave(struct jq_pending *p, struct jq_ask *submit)
{
    struct jq_ask *room = submit->u.submit.room;

    if (!room)
        return;
    const bool was_sent = room->was_sent;
    const uint64_t correlation = room->correlation;
    jq_ask_free(p, room);
    if (was_sent)
        jq_pending_notice(p, JQ_MSG_UNWAIT, correlation);
}

void jq_room_kept(struct jq_pending *p, struct jq_ask *room)
{
    struct jq_ask *submit = room->u.room.submit;

    submit->u.submit.kept = room->correlation;
    jq_ask_free(p, room);
    jq_ask_queue(p, submit);
}

void jq_room_late(struct jq_pending *p, struct jq_ask *submit)
{
    jq_submit_failed(p, submit, JQ_EFULL, NULL, jq_view_str(full_text));
}

/* ---- one by one ---- */

/* A job of a group as a SUBMIT of its own. */
static struct jq_ask *make_single(struct jq_pending *p, const struct jq_ask *group,
                                  const struct jq_msg *msg, struct jq_view spec)
{
    struct jq_msg one = *msg;
    struct jq_ask *ask = jq_ask_new(p, group->kind);

    if (!ask)
        return NULL;
    jq_dlist_init(&ask->u.submit.futures);
    ask->is_prompt = true;
    ask->u.submit.count = 1;
    ask->u.submit.bytes = spec.size;
    ask->u.submit.origin = group->u.submit.origin;
    ask->u.submit.put_until = group->u.submit.put_until;
    ask->u.submit.is_put = group->u.submit.is_put;
    one.correlation = p->number + 1;
    one.u.submit.answered = jq_submit_answered(p);
    one.u.submit.jobs = (struct jq_records){ .count = 1, .bytes = spec };
    if (jq_ask_encode(ask, &one) != JQ_OK) {
        jq_free(ask);
        return NULL;
    }
    jq_ask_number(p, ask, ++p->number);
    jq_dlist_append(&p->submits, &ask->in_list);
    return ask;
}

static struct jq_ask *after(const struct jq_pending *p, struct jq_ask *ask)
{
    struct jq_dlink *link = jq_dlist_next(&p->submits, &ask->in_list);

    return link ? JQ_ELEMENT(link, struct jq_ask, in_list) : NULL;
}

/* All of its jobs, behind what was submitted last; *ret_first is the first. ENOMEM: none. */
static enum jq_err make_singles(struct jq_pending *p, const struct jq_ask *group,
                                const struct jq_msg *msg, struct jq_ask **ret_first)
{
    struct jq_reader r = jq_records_reader(msg->u.submit.jobs);
    struct jq_job_spec spec;
    struct jq_ask *first = NULL;

    for (const uint8_t *start = r.at; jq_job_spec_next(&r, &spec); start = r.at) {
        struct jq_ask *ask = make_single(p, group, msg, jq_view(start, (size_t)(r.at - start)));
        if (!ask) {
            while (first) {
                struct jq_ask *next = after(p, first);
                jq_ask_free(p, first);
                first = next;
            }
            return JQ_ENOMEM;
        }
        first = first ? first : ask;
    }
    *ret_first = first;
    return JQ_OK;
}

/* The future of a job goes with it. */
static void move_future(struct jq_pending *p, struct jq_ask *group, uint32_t index,
                        struct jq_ask *single)
{
    struct jq_dlink *link = jq_dlist_first(&group->u.submit.futures);
    struct jobq_future *future = link ? JQ_ELEMENT(link, struct jobq_future, in_ask) : NULL;

    if (!single->u.submit.is_put) {
        p->unanswered_jobs++;
        p->unanswered_bytes += single->u.submit.bytes;
    }
    single->u.submit.started = 1;
    if (!future || future->index != index)
        return;
    single->u.submit.started = !future->is_direct;
    jq_dlist_remove(link);
    future->ask = single;
    future->index = 0;
    if (single->u.submit.is_put)
        single->u.submit.put_until = future->put_until;
    jq_dlist_append(&single->u.submit.futures, link);
}

/* Each job of a group on its own. Those that wait for room wait one by one, and so does a put whose
 * thread gives up. ENOMEM: nothing has changed. */
static enum jq_err split(struct jq_pending *p, struct jq_ask *group)
{
    struct jq_frame *frame = jq_frame_keep(group->frame);
    struct jq_ask *single = NULL, *next;
    struct jq_msg msg;
    uint32_t index = 0;

    enum jq_err err = jq_msg_decode(frame->bytes, &msg);
    if (err == JQ_OK)
        err = make_singles(p, group, &msg, &single);
    if (err != JQ_OK) {
        jq_frame_drop(&frame);
        return err;
    }
    p->was_split = true;
    if (!group->u.submit.is_put) {
        p->unanswered_jobs -= group->u.submit.count;
        p->unanswered_bytes -= group->u.submit.bytes;
    }
    for (struct jq_ask *at = single; at; at = after(p, at))
        move_future(p, group, index++, at);
    jq_ask_free(p, group);
    for (; single; single = next) {
        next = after(p, single);
        if (single->u.submit.is_put && jq_dlist_empty(&single->u.submit.futures))
            jq_ask_free(p, single); /* its thread has given up */
        else
            jq_submit_queue(p, single, msg.u.submit.queue);
    }
    jq_frame_drop(&frame);
    return JQ_OK;
}

/* ---- refusals ---- */

void jq_room_refused(struct jq_pending *p, jq_ms now, struct jq_ask *submit, enum jq_err err,
                     struct jq_frame *frame, struct jq_view text)
{
    const bool is_group = submit->u.submit.count > 1;
    enum jq_err done;

    if (submit->u.submit.room) /* it came twice */
        return;
    if (is_group && (err == JQ_EMSGSIZE || submit->u.submit.is_put)) {
        done = split(p, submit);
    } else if (submit->u.submit.put_until <= now) {
        jq_submit_failed(p, submit, JQ_EFULL, frame, text);
        return;
    } else {
        submit->u.submit.kept = 0;
        done = jq_room_park(p, submit);
    }
    if (done != JQ_OK) { /* no memory: as if the broker had been busy */
        jq_dlist_remove(&submit->in_unsent);
        jq_ask_resend_at(p, submit, jq_ask_backoff(p, submit, now));
    }
}

void jq_room_failed(struct jq_pending *p, struct jq_ask *room, enum jq_err err,
                    struct jq_frame *frame, struct jq_view text)
{
    struct jq_ask *submit = room->u.room.submit;

    jq_ask_free(p, room);
    if (err == JQ_EMSGSIZE && submit->u.submit.count > 1)
        jq_room_refused(p, 0, submit, err, frame, text);
    else
        jq_submit_failed(p, submit, err, frame, text);
}

/* ---- those who wait ---- */

bool jq_pending_put_late(struct jq_pending *p, struct jobq_future *future)
{
    if (!future->is_ended && future->ask && future->ask->u.submit.room)
        jq_room_late(p, future->ask);
    return future->is_ended;
}

bool jq_pending_put_withdraw(struct jq_pending *p, struct jobq_future *future)
{
    jq_submit_close_batches(p);
    struct jq_ask *ask = future->ask;
    if (future->is_ended) { /* refused for those that wait already */
        jq_pending_free_future(p, future);
        return true;
    }
    /* Waiting for room, or never sent: the broker has nothing of it. */
    if (ask->u.submit.count > 1 && !ask->was_sent && split(p, ask) == JQ_OK)
        ask = future->ask;
    const bool is_alone = ask->u.submit.count == 1;
    const bool is_nowhere = is_alone && (!ask->was_sent || ask->u.submit.room);
    jq_pending_free_future(p, future);
    if (is_alone || jq_dlist_empty(&ask->u.submit.futures))
        jq_ask_free(p, ask);
    return is_nowhere;
}
