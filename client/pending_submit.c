/* SPDX-License-Identifier: MIT
 *
 * pending_submit.c - jobs on their way to the broker: gathered into frames, numbered, kept until
 * they are answered.
 *
 * A frame's records grow behind room for its head and before room for its tail, which are written
 * last, when the count and the number are known: closing a frame copies nothing and cannot fail. */
#include <string.h>

#include "client/pending.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    HEAD_ROOM = 256, /* the fields of a SUBMIT before its records, a queue's name among them */
    TAIL_BYTES = 1,  /* the fields of a SUBMIT behind its records: `results` */
    BATCH_BYTES_MIN = 1024, /* a frame's first allocation */
};

/* ---- batches ---- */

static uint64_t first_number(const struct jq_dlist *list, uint64_t otherwise)
{
    const struct jq_dlink *link = jq_dlist_first(list);

    return link ? JQ_ELEMENT(link, struct jq_ask, in_list)->correlation : otherwise;
}

/* The highest number with nothing unanswered at or below it. */
uint64_t jq_submit_answered(const struct jq_pending *p)
{
    const uint64_t submits = first_number(&p->submits, p->number + 1);
    const uint64_t calls = first_number(&p->calls, p->number + 1);

    return (submits < calls ? submits : calls) - 1;
}

static void remove_batch(struct jq_pending *p, struct jq_batch *batch)
{
    const size_t index = (size_t)(batch - p->batches);

    p->batches_count--;
    memmove(batch, batch + 1, (p->batches_count - index) * sizeof *batch);
}

static void drop_batch(struct jq_pending *p, struct jq_batch *batch)
{
    struct jq_frame *frame = &batch->frame->frame;

    jq_frame_drop(&frame);
    jq_ask_free(p, batch->ask);
    remove_batch(p, batch);
}

/* Writes the head in front of the records. */
static struct jq_frame *end_frame(struct jq_pending *p, const struct jq_batch *batch)
{
    uint8_t bytes[HEAD_ROOM];
    struct jq_buf head = { .data = bytes, .capacity = sizeof bytes };
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = p->number + 1,
        .u.submit = {
            .answered = jq_submit_answered(p),
            .queue = jq_view(batch->queue, batch->queue_size),
            .flags = batch->flags,
            .jobs = { .count = batch->ask->u.submit.count }, /* the records are there already */
            .results = batch->wants_results,
        },
    };

    JQ_CHECK(jq_msg_encode(&msg, &head) == JQ_OK && head.data == bytes);
    head.size -= TAIL_BYTES;
    memcpy(batch->frame->buf.data + HEAD_ROOM - head.size, bytes, head.size);
    jq_buf_append(&batch->frame->buf, bytes + head.size, TAIL_BYTES);
    return jq_frame_buf_end(batch->frame, HEAD_ROOM - head.size);
}

void jq_submit_queue(struct jq_pending *p, struct jq_ask *ask, struct jq_view queue)
{
    static const char *const full = "the queue is full, and others wait for room";

    if (jq_room_is_waited_for(p, queue)) /* what came first waits there: nobody overtakes it */
        jq_room_refused(p, 0, ask, JQ_EFULL, NULL, jq_view_str(full));
    else
        jq_ask_queue(p, ask);
}

static void close_batch(struct jq_pending *p, struct jq_batch *batch)
{
    struct jq_ask *ask = batch->ask;
    char queue[JQ_NAME_MAX];
    const uint32_t queue_size = batch->queue_size;

    if (ask->u.submit.count == 0) { /* the job that it was opened for did not fit into memory */
        drop_batch(p, batch);
        return;
    }
    ask->frame = end_frame(p, batch);
    memcpy(queue, batch->queue, queue_size); /* the batch makes place for another */
    p->batch_bytes = batch->frame->buf.size;
    remove_batch(p, batch);
    p->number++;
    jq_ask_number(p, ask, p->number);
    ask->u.submit.origin = p->number;
    jq_dlist_append(&p->submits, &ask->in_list);
    jq_submit_queue(p, ask, jq_view(queue, queue_size));
}

void jq_submit_close_batches(struct jq_pending *p)
{
    while (p->batches_count)
        close_batch(p, &p->batches[0]);
}

void jq_submit_drop_batches(struct jq_pending *p)
{
    while (p->batches_count)
        drop_batch(p, &p->batches[0]);
}

static struct jq_batch *find_batch(struct jq_pending *p, struct jq_view queue)
{
    for (uint32_t i = 0; i < p->batches_count; i++) {
        struct jq_batch *batch = &p->batches[i];
        if (batch->queue_size == queue.size && memcmp(batch->queue, queue.data, queue.size) == 0)
            return batch;
    }
    return NULL;
}

static size_t first_bytes(const struct jq_pending *p, const struct jq_job_spec *spec)
{
    const size_t job = spec->payload.size + spec->title.size + 512;
    size_t usual = p->batch_bytes;

    if (usual > JQ_FRAME_SOFT + BATCH_BYTES_MIN)
        usual = JQ_FRAME_SOFT + BATCH_BYTES_MIN;
    return HEAD_ROOM + (job > usual ? job : usual < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : usual);
}

static struct jq_batch *open_batch(struct jq_pending *p, const struct jq_start *start)
{
    if (p->batches_count == JQ_BATCHES_MAX)
        close_batch(p, &p->batches[0]);
    const enum jq_ask_kind kind = start->flags & JQ_SUBMIT_CALL ? JQ_ASK_CALL : JQ_ASK_SUBMIT;
    struct jq_ask *ask = jq_ask_new(p, kind);
    struct jq_frame_buf *frame = jq_frame_buf_new();
    if (!ask || !frame || jq_buf_reserve(&frame->buf, first_bytes(p, &start->spec)) != JQ_OK) {
        struct jq_frame *dropped = frame ? &frame->frame : NULL;
        jq_frame_drop(&dropped);
        jq_free(ask);
        return NULL;
    }
    jq_buf_extend(&frame->buf, HEAD_ROOM);
    jq_dlist_init(&ask->u.submit.futures);
    ask->is_prompt = true;
    struct jq_batch *batch = &p->batches[p->batches_count++];
    batch->ask = ask;
    batch->frame = frame;
    ask->u.submit.is_put = start->is_put;
    batch->flags = start->flags;
    batch->is_put = start->is_put;
    batch->wants_results = false;
    batch->put_timeout_ms = start->put_timeout_ms;
    batch->queue_size = (uint32_t)start->queue.size;
    memcpy(batch->queue, start->queue.data, start->queue.size);
    return batch;
}

/* ---- starting ---- */

static void add_job(struct jq_pending *p, struct jq_batch *batch, const struct jq_start *start,
                    size_t bytes, struct jobq_future *future)
{
    struct jq_ask *ask = batch->ask;

    if (future) {
        future->ask = ask;
        future->index = ask->u.submit.count;
        future->is_direct = start->is_direct;
        future->put_until = start->put_until;
        future->is_discarded = (start->spec.flags & JQ_JOB_DISCARD) != 0;
        jq_dlist_append(&ask->u.submit.futures, &future->in_ask);
    }
    batch->wants_results |= start->wants_results;
    ask->u.submit.count++;
    ask->u.submit.started += !start->is_direct;
    ask->u.submit.bytes += bytes;
    ask->u.submit.put_until = start->put_until;
    p->unanswered_jobs += !start->is_put;
    p->unanswered_bytes += start->is_put ? 0 : bytes;
    p->tied += (start->spec.flags & JQ_JOB_TIE) != 0;
    if (ask->u.submit.count == JQ_JOBS_PER_FRAME || batch->frame->buf.size >= JQ_FRAME_SOFT)
        close_batch(p, batch);
}

/* They may share a frame. */
static bool is_company(const struct jq_batch *batch, const struct jq_start *start)
{
    if (batch->flags != start->flags || batch->is_put != start->is_put)
        return false;
    return start->is_put || batch->put_timeout_ms == start->put_timeout_ms;
}

enum jq_err jq_pending_start(struct jq_pending *p, const struct jq_start *start,
                             struct jobq_future *future)
{
    const bool needs_interest = start->wants_results || (start->flags & JQ_SUBMIT_CALL);
    struct jq_batch *batch = find_batch(p, start->queue);

    if (batch && !is_company(batch, start)) { /* one after the other, or they change places */
        close_batch(p, batch);
        batch = NULL;
    }
    if (!batch)
        batch = open_batch(p, start);
    if (!batch)
        return JQ_ENOMEM;
    if (needs_interest && future) /* so that its answer can be taken whatever happens */
        JQ_TRY(jq_wait_reserve(p, future));
    struct jq_buf *buf = &batch->frame->buf;
    const size_t before = buf->size;
    jq_job_spec_write(buf, &start->spec);
    if (!jq_buf_ok(buf) || jq_buf_reserve(buf, TAIL_BYTES) != JQ_OK) {
        buf->size = before;
        buf->broken = false;
        if (needs_interest && future)
            jq_wait_leave(p, future);
        return JQ_ENOMEM;
    }
    add_job(p, batch, start, buf->size - before, future);
    return JQ_OK;
}

bool jq_pending_has_room(const struct jq_pending *p)
{
    return p->unanswered_jobs < JQ_UNANSWERED_JOBS_MAX &&
           p->unanswered_bytes < JQ_UNANSWERED_BYTES_MAX;
}

/* A put is waited for by its own thread. */
bool jq_pending_is_flushed(const struct jq_pending *p, uint64_t number)
{
    const struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&p->submits, link))) {
        const struct jq_ask *ask = JQ_ELEMENT(link, const struct jq_ask, in_list);
        if (!ask->u.submit.is_put && ask->u.submit.origin <= number)
            return false;
        if (ask->correlation > number && !p->was_split)
            return true;
    }
    return true;
}

enum jq_err jq_pending_take_flush_error(struct jq_pending *p, struct jq_detail *ret_text)
{
    const enum jq_err err = p->flush_error;

    *ret_text = p->flush_text;
    p->flush_error = JQ_OK;
    return err;
}

void jq_pending_note_error(struct jq_pending *p, enum jq_err err, struct jq_view text)
{
    if (p->flush_error != JQ_OK)
        return;
    p->flush_error = err;
    jq_detail_set(&p->flush_text, "%.*s", JQ_VIEW_ARG(text));
}

/* ---- answers ---- */

/* It counts as unanswered no more. */
static void uncount(struct jq_pending *p, const struct jq_ask *ask)
{
    if (ask->u.submit.is_put)
        return;
    p->unanswered_jobs -= ask->u.submit.count;
    p->unanswered_bytes -= ask->u.submit.bytes;
}

void jq_submit_failed(struct jq_pending *p, struct jq_ask *ask, enum jq_err err,
                      struct jq_frame *frame, struct jq_view text)
{
    struct jq_dlink *link;

    p->has_failed = true;
    if (!ask->u.submit.is_hinted)
        uncount(p, ask);
    if (ask->u.submit.kept) /* it has not used its places */
        jq_pending_notice(p, JQ_MSG_UNWAIT, ask->u.submit.kept);
    ask->u.submit.is_hinted = false; /* or it would be settled with its last future */
    if (ask->u.submit.started)
        jq_pending_note_error(p, err, text);
    while ((link = jq_dlist_first(&ask->u.submit.futures)))
        jq_pending_fail_future(p, JQ_ELEMENT(link, struct jobq_future, in_ask), err, frame, text);
    jq_ask_free(p, ask);
}

/* The id of a CALL's job is known. ENOMEM: as before. */
static enum jq_err hint(struct jq_pending *p, struct jobq_future *future, uint64_t id)
{
    if (jq_dlink_used(&future->in_interest))
        return future->id == id ? JQ_OK : jq_wait_move(p, future, id);
    future->id = id;
    if (future->interest)
        jq_wait_join(p, future, false);
    return JQ_OK;
}

/* The job of a SUBMIT is the broker's. */
static void leave_submit(struct jq_pending *p, struct jq_ask *ask, struct jobq_future *future,
                         uint64_t id, bool results_follow)
{
    jq_dlist_remove(&future->in_ask);
    future->ask = NULL;
    future->id = id;
    if (!future->interest)
        return;
    if (results_follow)
        ask->u.submit.relying += jq_wait_rely(p, future, ask);
    else if (future->is_wanted)
        jq_wait_join(p, future, true);
    else
        jq_wait_leave(p, future);
}

/* One job of an answered SUBMIT or a hinted CALL; `future` may be NULL. */
static enum jq_err take_ack(struct jq_pending *p, struct jq_ask *ask, struct jobq_future *future,
                            bool results_follow, const struct jq_ack *ack)
{
    if (ack->error != 0) {
        const enum jq_err err = ack->error < 0 ? (enum jq_err)ack->error : JQ_EPROTO;
        const struct jq_view text = jq_view_str(jq_err_text(err));
        if (!future || !future->is_direct)
            jq_pending_note_error(p, err, text);
        if (future)
            jq_pending_fail_future(p, future, err, NULL, text);
        return JQ_OK;
    }
    if (!future)
        return JQ_OK;
    future->is_created = ack->created != 0;
    if (ask->kind == JQ_ASK_CALL)
        return hint(p, future, ack->id);
    leave_submit(p, ask, future, ack->id, results_follow);
    return JQ_OK;
}

static enum jq_err take_acks(struct jq_pending *p, struct jq_ask *ask,
                             const struct jq_submitted *answer)
{
    struct jq_reader r = jq_records_reader(answer->each);
    struct jq_dlink *link = jq_dlist_first(&ask->u.submit.futures), *next;

    for (uint32_t i = 0; i < ask->u.submit.count; i++) {
        struct jobq_future *future = link ? JQ_ELEMENT(link, struct jobq_future, in_ask) : NULL;
        struct jq_ack ack = { .id = answer->first_id + i, .created = 1 };
        if (answer->each.count && !jq_ack_next(&r, &ack))
            return JQ_EPROTO;
        if (future && future->index != i)
            future = NULL;
        next = future ? jq_dlist_next(&ask->u.submit.futures, link) : link;
        JQ_TRY(take_ack(p, ask, future, answer->results != 0, &ack));
        link = next;
        if (!link && !answer->each.count) /* the rest has no futures and no errors */
            break;
    }
    return JQ_OK;
}

/* The ids of a CALL are known; the results are its answer. Calls are few or come in order: the
 * place is near the end. */
static void hinted(struct jq_pending *p, struct jq_ask *ask)
{
    struct jq_dlink *at = jq_dlist_last(&p->calls);

    uncount(p, ask);
    ask->u.submit.is_hinted = true;
    jq_dlist_remove(&ask->in_list);
    while (at && JQ_ELEMENT(at, struct jq_ask, in_list)->correlation > ask->correlation)
        at = jq_dlist_prev(&p->calls, at);
    jq_dlist_put_before(at ? at->next : p->calls.head.next, &ask->in_list);
    jq_ask_resend_at(p, ask, JQ_NEVER);
    jq_dlist_remove(&ask->in_unsent);
    jq_call_settled(p, ask);
}

void jq_submit_hinted(struct jq_pending *p, struct jq_ask *ask, uint64_t first_id)
{
    const struct jq_submitted answer = { .first_id = first_id, .count = ask->u.submit.count };

    if (!ask->u.submit.is_hinted && take_acks(p, ask, &answer) == JQ_OK)
        hinted(p, ask); /* else it is sent again, and so will its results be */
}

void jq_submit_submitted(struct jq_pending *p, struct jq_ask *ask, const struct jq_msg *msg,
                         struct jq_frame *frame)
{
    const struct jq_submitted *answer = &msg->u.submitted;
    const bool is_call = ask->kind == JQ_ASK_CALL;

    if ((!is_call && !answer->durable) || (is_call && ask->u.submit.is_hinted))
        return;
    if (answer->count != ask->u.submit.count ||
        (answer->each.count && answer->each.count != answer->count)) {
        jq_submit_failed(p, ask, JQ_EPROTO, frame,
                         jq_view_str("the broker answered for another number of jobs"));
        return;
    }
    if (take_acks(p, ask, answer) != JQ_OK) /* no memory: the next hint will do */
        return;
    if (is_call) {
        hinted(p, ask);
        return;
    }
    uncount(p, ask);
    if (answer->results)
        jq_wait_follows(p, ask);
    else
        jq_ask_free(p, ask);
}

void jq_call_settled(struct jq_pending *p, struct jq_ask *ask)
{
    if (ask->u.submit.is_hinted && jq_dlist_empty(&ask->u.submit.futures))
        jq_ask_free(p, ask);
}

/* No promise was given for a hint: the broker may have forgotten job and id. */
void jq_submit_reconnected(struct jq_pending *p)
{
    struct jq_dlink *at = jq_dlist_first(&p->submits), *link;

    while ((link = jq_dlist_first(&p->calls))) {
        struct jq_ask *ask = JQ_ELEMENT(link, struct jq_ask, in_list);
        while (at && JQ_ELEMENT(at, struct jq_ask, in_list)->correlation < ask->correlation)
            at = jq_dlist_next(&p->submits, at);
        jq_dlist_remove(link);
        jq_dlist_put_before(at ? at : &p->submits.head, link);
        ask->u.submit.is_hinted = false;
        p->unanswered_jobs += ask->u.submit.count;
        p->unanswered_bytes += ask->u.submit.bytes;
    }
}
