/* SPDX-License-Identifier: MIT
 *
 * pending_ask.c - requests that are handed out as they are answered: one answer, or a stream. */
#include "client/pending.h"
#include "proto/base/alloc.h"

/* ---- asking ---- */

/* UNWAIT withdraws it. */
static bool is_waiting(const struct jq_msg *msg)
{
    switch ((int)msg->tag) {
    case JQ_MSG_WAIT:
    case JQ_MSG_JOIN:
    case JQ_MSG_ROOM:
        return true;
    case JQ_MSG_GET:
        return msg->u.get.wait != 0;
    default:
        return false;
    }
}

/* Its answer waits for nothing but the broker's turn. */
static bool is_prompt(const struct jq_msg *msg)
{
    switch ((int)msg->tag) {
    case JQ_MSG_LOG_READ:
        return !msg->u.log_read.follow;
    default:
        return !is_waiting(msg);
    }
}

static bool is_askable(enum jq_tag tag)
{
    switch ((int)tag) {
    case JQ_MSG_HELLO:
    case JQ_MSG_BYE:
    case JQ_MSG_SUBMIT:
        return false;
    default:
        return true;
    }
}

/* The ids of a WAIT, so that after a reconnect only those are asked for that have not come. */
static enum jq_err note_ids(struct jq_ask *ask, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.wait.jobs);
    struct jq_job_ref ref;

    ask->u.stream.is_wait = true;
    JQ_TRY(jq_map_reserve(&ask->u.stream.left, msg->u.wait.jobs.count));
    while (jq_job_ref_next(&r, &ref)) {
        if (ref.id == 0 || jq_map_find(&ask->u.stream.left, ref.id))
            continue;
        JQ_TRY(jq_map_put(&ask->u.stream.left, ref.id, ask));
    }
    return JQ_OK;
}

enum jq_err jq_pending_ask(struct jq_pending *p, enum jq_ask_kind kind, const struct jq_msg *msg,
                           struct jq_ask **ret_ask)
{
    struct jq_msg copy = *msg;
    enum jq_err err;

    if (!is_askable(msg->tag))
        return JQ_EINVAL;
    struct jq_ask *ask = jq_ask_new(p, kind);
    if (!ask)
        return JQ_ENOMEM;
    copy.correlation = p->correlation + 1;
    if (kind == JQ_ASK_STREAM)
        jq_dlist_init(&ask->u.stream.answers);
    else
        ask->is_prompt = is_prompt(msg);
    if (kind == JQ_ASK_ONE)
        ask->u.one.is_waiting = is_waiting(msg);
    err = jq_ask_encode(ask, &copy);
    if (err == JQ_OK && kind == JQ_ASK_STREAM && msg->tag == JQ_MSG_WAIT)
        err = note_ids(ask, msg);
    if (err != JQ_OK) {
        jq_ask_free(p, ask);
        return err;
    }
    jq_ask_number(p, ask, ++p->correlation);
    jq_dlist_append(&p->others, &ask->in_list);
    jq_ask_queue(p, ask);
    *ret_ask = ask;
    return JQ_OK;
}

/* The message that tells the broker not to answer; 0: it has answered, or will soon. */
static int withdrawal(const struct jq_ask *ask)
{
    if (!ask->was_sent)
        return 0;
    if (ask->kind == JQ_ASK_ONE)
        return ask->u.one.is_waiting && !ask->u.one.done ? JQ_MSG_UNWAIT : 0;
    if (ask->u.stream.err != JQ_OK)
        return 0;
    return ask->u.stream.is_wait ? JQ_MSG_UNWAIT : JQ_MSG_UNWATCH;
}

void jq_pending_end(struct jq_pending *p, struct jq_ask *ask)
{
    const uint64_t correlation = ask->correlation;
    const int tag = withdrawal(ask);

    jq_ask_free(p, ask);
    if (tag)
        jq_pending_notice(p, (enum jq_tag)tag, correlation);
}

/* ---- answers ---- */

static void finish_one(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                       struct jq_frame *frame)
{
    if (ask->u.one.done) {
        if (msg->tag == JQ_MSG_ITEM || msg->tag == JQ_MSG_ITEMS)
            jq_item_late(p, msg);
        return;
    }
    if (msg->tag == JQ_MSG_ITEM || msg->tag == JQ_MSG_ITEMS)
        jq_item_come(p, ask, msg, frame);
    ask->u.one.done = true;
    ask->u.one.msg = *msg;
    ask->u.one.answer = jq_frame_keep(frame);
    if (msg->tag == JQ_MSG_ERROR)
        ask->u.one.err = msg->u.error.error < 0 ? (enum jq_err)msg->u.error.error : JQ_EPROTO;
}

static struct jq_stream_answer *first_answer(const struct jq_ask *ask)
{
    struct jq_dlink *link = jq_dlist_first(&ask->u.stream.answers);

    return link ? JQ_ELEMENT(link, struct jq_stream_answer, link) : NULL;
}

bool jq_pending_stream_take(struct jq_ask *ask, struct jq_msg *ret_msg, struct jq_frame **ret_frame)
{
    struct jq_stream_answer *answer = first_answer(ask);

    if (!answer)
        return false;
    jq_dlist_remove(&answer->link);
    ask->u.stream.count--;
    *ret_msg = answer->msg;
    *ret_frame = answer->frame;
    jq_free(answer);
    return true;
}

/* The oldest EVENTS goes; the one after it says how many were lost. */
static void drop_oldest(struct jq_ask *ask)
{
    struct jq_msg msg;
    struct jq_frame *frame;

    if (!jq_pending_stream_take(ask, &msg, &frame))
        return;
    const uint64_t lost = msg.u.events.dropped + msg.u.events.events.count;
    struct jq_stream_answer *next = first_answer(ask);
    if (next)
        next->msg.u.events.dropped += lost;
    else
        ask->u.stream.dropped += lost;
    jq_frame_drop(&frame);
}

static void end_stream(struct jq_pending *p, struct jq_ask *ask, enum jq_err err,
                       struct jq_frame *frame, struct jq_view text)
{
    ask->u.stream.err = err;
    ask->u.stream.err_frame = frame ? jq_frame_keep(frame) : NULL;
    ask->u.stream.err_text = text;
    jq_dlist_remove(&ask->in_unsent);
    jq_ask_resend_at(p, ask, JQ_NEVER);
}

static void note_results(struct jq_ask *ask, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.results.results);
    struct jq_result result;

    while (jq_result_next(&r, &result))
        jq_map_remove(&ask->u.stream.left, result.id);
}

static void note_events(struct jq_ask *ask, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.events.events);
    struct jq_event event;

    while (jq_event_next(&r, &event))
        ask->u.stream.sequence = event.sequence;
    if (msg->u.events.sequence) /* behind those that a filter kept back, too */
        ask->u.stream.sequence = msg->u.events.sequence;
}

static void add_to_stream(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                          struct jq_frame *frame)
{
    const bool is_events = msg->tag == JQ_MSG_EVENTS;

    if (ask->u.stream.err != JQ_OK)
        return;
    if (is_events)
        note_events(ask, msg);
    if (is_events && ask->u.stream.count >= JQ_STREAM_FRAMES_MAX)
        drop_oldest(ask);
    struct jq_stream_answer *answer = jq_alloc_zero(1, sizeof *answer);
    if (!answer) {
        if (is_events) /* as a reader that is too slow */
            ask->u.stream.dropped += msg->u.events.dropped + msg->u.events.events.count;
        else
            end_stream(p, ask, JQ_ENOMEM, NULL, jq_view_str("out of memory for an answer"));
        return;
    }
    answer->msg = *msg;
    answer->frame = jq_frame_keep(frame);
    if (is_events) {
        answer->msg.u.events.dropped += ask->u.stream.dropped;
        ask->u.stream.dropped = 0;
    } else if (msg->tag == JQ_MSG_RESULTS) {
        note_results(ask, msg);
    }
    ask->u.stream.count++;
    jq_dlist_append(&ask->u.stream.answers, &answer->link);
}

void jq_ask_answered(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                     struct jq_frame *frame)
{
    jq_ask_resend_at(p, ask, JQ_NEVER);
    jq_dlist_remove(&ask->in_unsent);
    if (ask->kind == JQ_ASK_ONE)
        finish_one(p, ask, msg, frame);
    else if (msg->tag != JQ_MSG_ERROR)
        add_to_stream(p, ask, msg, frame);
    else if (ask->u.stream.err == JQ_OK)
        end_stream(p, ask, msg->u.error.error < 0 ? (enum jq_err)msg->u.error.error : JQ_EPROTO,
                   frame, msg->u.error.text);
}

/* ---- after a reconnect ---- */

static enum jq_err encode_left(struct jq_ask *ask)
{
    struct jq_reader r;
    struct jq_msg msg;
    struct jq_job_ref ref;
    struct jq_buf refs = { 0 };
    uint32_t count = 0;

    JQ_TRY(jq_msg_decode(ask->frame->bytes, &msg));
    for (r = jq_records_reader(msg.u.wait.jobs); jq_job_ref_next(&r, &ref);) {
        if (!jq_map_find(&ask->u.stream.left, ref.id))
            continue;
        jq_job_ref_write(&refs, &ref);
        count++;
    }
    msg.u.wait.jobs = jq_records_of(count, &refs);
    const enum jq_err err = jq_buf_ok(&refs) ? jq_ask_encode(ask, &msg) : JQ_ENOMEM;
    jq_buf_fini(&refs);
    return err;
}

/* Those after the last one, not from now on. */
static enum jq_err encode_after(struct jq_ask *ask)
{
    struct jq_msg msg;

    JQ_TRY(jq_msg_decode(ask->frame->bytes, &msg));
    msg.u.watch.after = ask->u.stream.sequence;
    return jq_ask_encode(ask, &msg);
}

void jq_stream_reconnected(struct jq_pending *p, struct jq_ask *ask)
{
    if (ask->u.stream.err != JQ_OK)
        return;
    if (ask->u.stream.is_wait) {
        if (ask->u.stream.left.count == 0)
            return;
        if (encode_left(ask) != JQ_OK) {
            end_stream(p, ask, JQ_ENOMEM, NULL, jq_view_str("out of memory for asking again"));
            return;
        }
    } else if (ask->u.stream.sequence && encode_after(ask) != JQ_OK) {
        end_stream(p, ask, JQ_ENOMEM, NULL, jq_view_str("out of memory for asking again"));
        return;
    }
    ask->resends += ask->was_sent;
    jq_ask_queue(p, ask);
}
