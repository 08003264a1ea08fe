/* SPDX-License-Identifier: MIT
 *
 * done.c - DONE: outcomes become results, once each. The fence and the holder must fit; what comes
 * late is told so. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    SMALL_BYTES = 128, /* an outcome without bytes of its own */
    LARGE_BYTES = 256,
};

static enum jq_job_state state_of(const struct jq_outcome *outcome)
{
    switch ((enum jq_outcome_kind)outcome->kind) {
    case JQ_OUTCOME_EXITED:
        return outcome->code == 0 ? JQ_SUCCEEDED : JQ_FAILED;
    case JQ_OUTCOME_CANCELLED:
        return JQ_CANCELLED;
    case JQ_OUTCOME_SIGNALLED:
    case JQ_OUTCOME_NOSTART:
    case JQ_OUTCOME_ERROR:
    case JQ_OUTCOME_TIMEDOUT:
        break;
    }
    return JQ_FAILED; /* and any kind that a newer worker knows */
}

/* Copies `count` views into one blob and points them there; *ret_blob is NULL when all are empty.
 */
static enum jq_err keep(struct jq_view *views, size_t count, struct jq_blob **ret_blob)
{
    size_t size = 0;

    *ret_blob = NULL;
    for (size_t i = 0; i < count; i++)
        size += views[i].size;
    if (size == 0)
        return JQ_OK;
    struct jq_blob *blob = jq_alloc(sizeof *blob + size);
    if (!blob)
        return JQ_ENOMEM;
    blob->references = 1;
    blob->size = (uint32_t)size;
    uint8_t *at = blob->data;
    for (size_t i = 0; i < count; i++) {
        if (views[i].size)
            memcpy(at, views[i].data, views[i].size);
        views[i].data = at;
        at += views[i].size;
    }
    *ret_blob = blob;
    return JQ_OK;
}

static enum jq_err finish(struct jq_core *core, struct jq_job *job,
                          const struct jq_outcome *outcome)
{
    struct jq_view kept[] = { outcome->reason,      outcome->value,       outcome->stdout_head,
                              outcome->stdout_tail, outcome->stderr_head, outcome->stderr_tail };

    if (state_of(outcome) == JQ_FAILED && jq_retry_due(job, outcome)) {
        struct jq_worker *worker = job->worker;
        JQ_TRY(jq_retry(core, job, outcome));
        worker->ended++;
        return JQ_OK;
    }
    JQ_TRY(jq_batch_reserve(core, 2));
    struct jq_ending *ending = jq_alloc(sizeof *ending);
    if (!ending)
        return JQ_ENOMEM;
    const enum jq_err err = keep(kept, sizeof kept / sizeof kept[0], &ending->bytes);
    if (err != JQ_OK) {
        jq_free(ending);
        return err;
    }
    ending->record = (struct jq_result_record){
        .ended_at = outcome->ended_at ? outcome->ended_at : core->now.wall,
        .code = outcome->code,
        .signal = (uint32_t)outcome->signal,
        .wall_us = outcome->wall_us,
        .user_us = outcome->user_us,
        .system_us = outcome->system_us,
        .max_rss_kib = outcome->max_rss_kib,
        .stdout_bytes = outcome->stdout_bytes,
        .stderr_bytes = outcome->stderr_bytes,
        .reason = kept[0],
        .value = kept[1],
        .stdout_head = kept[2],
        .stdout_tail = kept[3],
        .stderr_head = kept[4],
        .stderr_tail = kept[5],
    };
    job->result = &ending->record;
    if (outcome->started_at)
        job->started_at = outcome->started_at;
    job->worker->ended++;
    jq_job_move(core, job, state_of(outcome));
    return JQ_OK;
}

/* The worker may have no room for more until it can forget these. */
static bool is_large(const struct jq_done *done)
{
    return done->outcomes.bytes.size > LARGE_BYTES + (size_t)done->outcomes.count * SMALL_BYTES;
}

static void acknowledge(struct jq_core *core, struct jq_peer *peer, uint64_t batch,
                        const struct jq_outcome *outcome, bool is_urgent)
{
    struct jq_buf *buf = jq_tell_record(core, peer, batch, JQ_FILL_ACKS, 0);
    const struct jq_held held = { .id = outcome->id, .fence = outcome->fence };

    if (!buf)
        return;
    jq_held_write(buf, &held);
    peer->filling[JQ_FILL_ACKS]->is_urgent |= is_urgent;
    jq_tell_record_end(core, peer, JQ_FILL_ACKS);
}

static void tell_fenced(struct jq_core *core, struct jq_peer *peer, uint32_t count,
                        const struct jq_buf *fenced)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_DONE_ACK,
        .u.done_ack = { .fenced = jq_records_of(count, fenced) },
    };

    core->count.fenced += count;
    jq_tell(core, peer, JQ_AT_ONCE, &msg);
    jq_trace(core, JQ_TRACE_WARN, "outcome.fenced", "worker=%.*s outcomes=%u",
             JQ_VIEW_ARG(jq_blob_view(peer->worker->name)), count);
}

enum jq_err jq_done_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_buf fenced = { 0 };
    struct jq_outcome outcome;
    uint32_t fenced_count = 0;
    enum jq_err err = JQ_OK;
    const bool is_urgent = is_large(&msg->u.done);

    for (struct jq_reader r = jq_records_reader(msg->u.done.outcomes);
         err == JQ_OK && jq_outcome_next(&r, &outcome);) {
        struct jq_job *job = jq_job_find(core, outcome.id);
        const bool fits = job && job->fence == outcome.fence;
        if (fits && job->state == JQ_RUNNING && job->worker == peer->worker) {
            err = finish(core, job, &outcome);
            if (err == JQ_OK)
                acknowledge(core, peer, jq_job_promise(core, job), &outcome, is_urgent);
        } else if (fits && jq_state_is_terminal(job->state)) {
            acknowledge(core, peer, job->end_batch, &outcome, is_urgent); /* sent again */
        } else if (fits && job->fence_done) {
            acknowledge(core, peer, job->op_batch, &outcome,
                        is_urgent); /* likewise; it is tried again */
        } else {
            const struct jq_held held = { .id = outcome.id, .fence = outcome.fence };
            jq_held_write(&fenced, &held);
            fenced_count++;
        }
    }
    if (fenced_count && jq_buf_ok(&fenced))
        tell_fenced(core, peer, fenced_count, &fenced);
    jq_buf_fini(&fenced);
    return err;
}
