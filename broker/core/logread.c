/* SPDX-License-Identifier: MIT
 *
 * logread.c - LOG_READ: bytes that a job has written. While it runs its worker knows them, before
 * it starts a follower waits, after its end the store has what was kept. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- answering ---- */

static void tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                 const struct jq_log_data *data)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = correlation,
        .u.log_data = *data,
    };
    jq_tell(core, peer, JQ_AT_ONCE, &msg);
}

/* The part of a stream, kept as head and tail of `total` bytes, that follows `offset`. */
static void slice(struct jq_view head, struct jq_view tail, uint64_t total, uint64_t offset,
                  uint64_t limit, struct jq_log_data *ret)
{
    const uint64_t tail_at = total - tail.size;
    struct jq_view part = head;
    uint64_t part_at = 0;

    if (offset >= head.size && tail.size) {
        part = tail;
        part_at = tail_at;
        offset = offset > tail_at ? offset : tail_at;
    }
    uint64_t skip = offset - part_at;
    if (skip > part.size)
        skip = part.size;
    uint64_t size = part.size - skip;
    size = size < limit ? size : limit;
    ret->offset = part_at + skip;
    ret->bytes = jq_view(part.data ? (const uint8_t *)part.data + skip : NULL, (size_t)size);
    ret->total = total;
    /* Nothing is kept behind the tail, or, without one, behind the head. */
    ret->end = (part_at > 0 || !tail.size) && skip + size == part.size;
}

/* lookup->number: stream, offset, limit. */
static bool follow_live(struct jq_core *core, struct jq_peer *peer, const struct jq_lookup *lookup);

static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct jq_log_data data = {
        .id = lookup->ids[0],
        .stream = lookup->number[0],
        .offset = lookup->number[1],
        .end = 1,
    };

    if (!peer)
        return;
    if (lookup->number[3] && lookup->found && follow_live(core, peer, lookup))
        return;
    if (lookup->err != JQ_OK || lookup->found == 0) {
        data.error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, data.id);
    } else if (!jq_state_is_terminal(lookup->jobs[0].job.state)) {
        data.end = jq_spill_is_doomed(core, &lookup->jobs[0].job);
    } else if (lookup->jobs[0].has_result) {
        const struct jq_result_record *result = &lookup->jobs[0].result;
        if (data.stream == 1)
            slice(result->stdout_head, result->stdout_tail, result->stdout_bytes, lookup->number[1],
                  lookup->number[2], &data);
        else
            slice(result->stderr_head, result->stderr_tail, result->stderr_bytes, lookup->number[1],
                  lookup->number[2], &data);
    }
    tell(core, peer, lookup->correlation, &data);
}

static enum jq_err ask_store(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                             const struct jq_log_read *read, uint64_t after)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, loaded);

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = read->stream;
    lookup->number[1] = read->offset;
    lookup->number[2] =
        read->limit && read->limit < JQ_LOG_CHUNK_MAX ? read->limit : JQ_LOG_CHUNK_MAX;
    lookup->number[3] = read->follow;
    const enum jq_err err = jq_lookup_ids(core, lookup, &read->id, 1,
                                          JQ_READ_RESULT | JQ_READ_OUTPUT | JQ_READ_LIVE, after);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}

/* ---- readers of jobs that have not ended ---- */

void jq_log_reader_free(struct jq_core *core, struct jq_log_reader *reader)
{
    jq_map_remove(&core->log_readers, reader->token);
    jq_dlist_remove(&reader->in_peer);
    jq_dlist_remove(&reader->in_job);
    jq_free(reader);
}

static void pass_on(struct jq_core *core, struct jq_log_reader *reader)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_READ,
        .correlation = reader->token,
        .u.log_read = {
            .id = reader->job->id,
            .stream = reader->stream,
            .offset = reader->offset,
            .limit = reader->limit,
            .follow = reader->follow,
        },
    };

    if (!reader->job->worker->peer)
        return; /* asked when it comes back */
    reader->passed_on = true;
    jq_tell(core, reader->job->worker->peer, JQ_AT_ONCE, &msg);
}

static void answer_empty(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                         const struct jq_log_read *read)
{
    const struct jq_log_data nothing = {
        .id = read->id,
        .stream = read->stream,
        .offset = read->offset,
    };
    tell(core, peer, correlation, &nothing);
}

static struct jq_log_read read_of(const struct jq_log_reader *reader)
{
    return (struct jq_log_read){
        .id = reader->job->id,
        .stream = reader->stream,
        .offset = reader->offset,
        .limit = reader->limit,
        .follow = reader->follow,
    };
}

static void job_ended(struct jq_core *core, struct jq_job *job, struct jq_log_reader *reader)
{
    const struct jq_log_read read = read_of(reader);

    if (ask_store(core, reader->peer, reader->correlation, &read, job->end_batch) != JQ_OK)
        jq_tell_error(core, reader->peer, reader->correlation, JQ_EBUSY, NULL);
    jq_log_reader_free(core, reader);
}

void jq_log_job_moved(struct jq_core *core, struct jq_job *job)
{
    struct jq_dlink *next;

    if (!job->extra)
        return;
    struct jq_dlist *const readers = &job->extra->readers;
    for (struct jq_dlink *at = jq_dlist_first(readers); at; at = next) {
        struct jq_log_reader *reader = JQ_ELEMENT(at, struct jq_log_reader, in_job);
        next = jq_dlist_next(readers, at);
        reader->passed_on = false;
        if (jq_state_is_terminal(job->state)) {
            job_ended(core, job, reader);
        } else if (job->state == JQ_RUNNING) {
            pass_on(core, reader);
        } else if (!reader->follow) {
            const struct jq_log_read read = read_of(reader);
            answer_empty(core, reader->peer, reader->correlation, &read);
            jq_log_reader_free(core, reader);
        }
    }
}

static enum jq_err park(struct jq_core *core, struct jq_peer *peer, struct jq_job *job,
                        uint64_t correlation, const struct jq_log_read *read)
{
    struct jq_log_reader *reader;

    JQ_TRY(jq_extra_need(job));
    JQ_TRY(jq_map_reserve(&core->log_readers, 1));
    reader = jq_alloc_zero(1, sizeof *reader);
    if (!reader)
        return JQ_ENOMEM;
    reader->token = ++core->next_token;
    reader->peer = peer;
    reader->job = job;
    reader->correlation = correlation;
    reader->stream = read->stream;
    reader->offset = read->offset;
    reader->limit = read->limit;
    reader->follow = read->follow != 0;
    JQ_CHECK(jq_map_put(&core->log_readers, reader->token, reader) == JQ_OK);
    jq_dlist_append(&peer->readers, &reader->in_peer);
    jq_dlist_append(&job->extra->readers, &reader->in_job);
    if (job->state == JQ_RUNNING)
        pass_on(core, reader);
    return JQ_OK;
}

/* A question asked again (same correlation) replaces the first. False: there are too many. */
static bool make_room(struct jq_core *core, struct jq_peer *peer, uint64_t correlation)
{
    uint32_t count = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&peer->readers, at));) {
        struct jq_log_reader *reader = JQ_ELEMENT(at, struct jq_log_reader, in_peer);
        if (reader->correlation == correlation) {
            jq_log_reader_free(core, reader);
            return true;
        }
        count++;
    }
    return count < core->conf.log_readers_max;
}

/* It was in the store alone, and its output is followed. False: it had ended. */
static bool follow_live(struct jq_core *core, struct jq_peer *peer, const struct jq_lookup *lookup)
{
    const struct jq_log_read read = {
        .id = lookup->ids[0],
        .stream = lookup->number[0],
        .offset = lookup->number[1],
        .limit = lookup->number[2],
        .follow = true,
    };
    const struct jq_job_record *row = &lookup->jobs[0].job;
    struct jq_job *job;
    enum jq_err err = jq_spill_need(core, row, &job);

    if (err == JQ_OK && (!job || jq_state_is_terminal(row->state)))
        return false;
    if (err == JQ_OK && jq_state_is_terminal(job->state)) /* meanwhile */
        err = ask_store(core, peer, lookup->correlation, &read, job->end_batch);
    else if (err == JQ_OK)
        err = make_room(core, peer, lookup->correlation)
                  ? park(core, peer, job, lookup->correlation, &read)
                  : JQ_EBUSY;
    if (err != JQ_OK)
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
    return true;
}

enum jq_err jq_log_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_log_read *read = &msg->u.log_read;
    struct jq_job *job = jq_job_find(core, read->id);

    if (read->stream != 1 && read->stream != 2) {
        jq_tell_error(core, peer, msg->correlation, JQ_EINVAL, "stream is 1 or 2");
        return JQ_OK;
    }
    if (!job && jq_absent(core, read->id) == JQ_ENOENT) {
        const struct jq_log_data unknown = { .id = read->id, .error = JQ_ENOENT, .end = 1 };
        tell(core, peer, msg->correlation, &unknown);
        return JQ_OK;
    }
    if (!job)
        return ask_store(core, peer, msg->correlation, read, 0);
    if (jq_state_is_terminal(job->state))
        return ask_store(core, peer, msg->correlation, read, job->end_batch);
    if (job->state != JQ_RUNNING && !read->follow) {
        answer_empty(core, peer, msg->correlation, read);
        return JQ_OK;
    }
    if (!make_room(core, peer, msg->correlation)) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY,
                      "too many log readers of one connection");
        return JQ_OK;
    }
    return park(core, peer, job, msg->correlation, read);
}

/* From the worker. `end` there means the end of the run's output: the job itself ends with its
 * DONE. */
void jq_log_data_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_log_reader *reader = jq_map_find(&core->log_readers, msg->correlation);

    if (!reader || !reader->passed_on || reader->job->worker != peer->worker)
        return; /* answered by other means, or asked of another */
    if (msg->u.log_data.error != JQ_OK)
        return; /* its run has ended there: the outcome is on its way, and answers */
    struct jq_log_data data = msg->u.log_data;
    data.id = reader->job->id;
    data.stream = reader->stream;
    tell(core, reader->peer, reader->correlation, &data);
    jq_log_reader_free(core, reader);
}
