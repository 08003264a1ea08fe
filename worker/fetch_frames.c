/* SPDX-License-Identifier: MIT
 *
 * fetch_frames.c - what fetch says: HELLO, DONE and RELEASE in groups, answers to LOG_READ. */
#include "worker/fetch_state.h"

#include "proto/base/check.h"
#include "proto/limits.h"
#include "worker/output.h"

enum { KEEP_BYTES = 1 << 20 }; /* of an open frame's memory, once it is sent */

void jq_fetch_send(struct jq_fetch *fetch, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    if (jq_msg_encode(msg, &frame) != JQ_OK) {
        jq_buf_fini(&frame);
        fetch->out_of_memory = true;
        return;
    }
    struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_SEND);
    if (effect == NULL)
        jq_buf_fini(&frame);
    else
        effect->frame = frame;
}

void jq_fetch_greet(struct jq_fetch *fetch, struct jq_now now)
{
    struct jq_buf held = { 0 };
    uint32_t count = 0;
    const struct jq_run *run;
    for (size_t cursor = 0; (run = jq_map_next(&fetch->held, &cursor)) != NULL;) {
        jq_held_write(&held, &(struct jq_held){ .id = run->id, .fence = run->fence });
        count++;
    }
    JQ_CHECK(count <= JQ_HELD_MAX);
    fetch->link = JQ_LINK_GREETING;
    fetch->hello_number++;
    fetch->asked_at = now.mono;
    /* What was not sent yet is in `held`, or is given back by not being there. */
    jq_buf_clear(&fetch->done.records);
    jq_buf_clear(&fetch->release.records);
    fetch->done.count = 0;
    fetch->release.count = 0;
    if (!jq_buf_ok(&held)) {
        fetch->out_of_memory = true;
        jq_buf_fini(&held);
        return;
    }
    const struct jq_fetch_conf *conf = &fetch->conf;
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .correlation = fetch->hello_number,
        .u.hello = {
            .version_min = JQ_PROTOCOL_MIN,
            .version_max = JQ_PROTOCOL_MAX,
            .role = JQ_ROLE_WORKER,
            .session = conf->session,
            .name = jq_view_str(conf->name),
            .software = jq_view_str(conf->software),
            .pid = conf->pid,
            .host = jq_view_str(conf->host),
            .slots = conf->slots,
            .held = jq_records_of(count, &held),
            .config = conf->config,
            .die_with = conf->die_with,
            .tags = conf->tags,
        },
    };
    jq_fetch_send(fetch, &msg);
    jq_buf_fini(&held);
}

static void begin_again(struct jq_open_frame *frame)
{
    frame->count = 0;
    if (frame->records.capacity > KEEP_BYTES)
        jq_buf_fini(&frame->records);
    else
        jq_buf_clear(&frame->records);
}

static void close_done(struct jq_fetch *fetch)
{
    if (fetch->done.count == 0 || fetch->link != JQ_LINK_UP)
        return;
    const struct jq_msg msg = {
        .tag = JQ_MSG_DONE,
        .u.done.outcomes = jq_records_of(fetch->done.count, &fetch->done.records),
    };
    if (jq_buf_ok(&fetch->done.records))
        jq_fetch_send(fetch, &msg);
    else
        fetch->out_of_memory = true;
    begin_again(&fetch->done);
}

static void close_release(struct jq_fetch *fetch)
{
    if (fetch->release.count == 0 || fetch->link != JQ_LINK_UP)
        return;
    const struct jq_msg msg = {
        .tag = JQ_MSG_RELEASE,
        .u.release.jobs = jq_records_of(fetch->release.count, &fetch->release.records),
    };
    if (jq_buf_ok(&fetch->release.records))
        jq_fetch_send(fetch, &msg);
    else
        fetch->out_of_memory = true;
    begin_again(&fetch->release);
}

void jq_fetch_close_frames(struct jq_fetch *fetch)
{
    close_done(fetch);
    close_release(fetch);
}

void jq_fetch_tell_done(struct jq_fetch *fetch, const struct jq_run *run)
{
    if (fetch->link != JQ_LINK_UP)
        return; /* sent after WELCOME */
    const struct jq_view outcome = jq_run_outcome(run);
    if (fetch->done.count == JQ_JOBS_PER_FRAME ||
        fetch->done.records.size + outcome.size > JQ_FRAME_SOFT)
        close_done(fetch);
    jq_buf_append(&fetch->done.records, outcome.data, outcome.size);
    fetch->done.count++;
}

void jq_fetch_tell_release(struct jq_fetch *fetch, uint64_t id, uint64_t fence)
{
    if (fetch->link == JQ_LINK_DOWN)
        return; /* its absence from the next HELLO says it */
    /* The HELLO under way lists it: then this waits for the WELCOME, or a new HELLO. */
    if (fetch->release.count == JQ_JOBS_PER_FRAME)
        close_release(fetch);
    jq_held_write(&fetch->release.records, &(struct jq_held){ .id = id, .fence = fence });
    fetch->release.count++;
}

/* A handler writes no streams: what there is of them is all there will be. */
static void answer_from(const struct jq_run *run, struct jq_log_data *data,
                        const struct jq_log_request *read)
{
    data->end = 1;
    struct jq_outcome outcome;
    struct jq_reader reader = jq_reader(jq_run_outcome(run));
    if (run->state != JQ_RUN_ENDED || jq_outcome_read(&reader, &outcome) != JQ_OK)
        return;
    const bool first = read->stream == 1;
    const uint64_t total = first ? outcome.stdout_bytes : outcome.stderr_bytes;
    const struct jq_view head = first ? outcome.stdout_head : outcome.stderr_head;
    const struct jq_view tail = first ? outcome.stdout_tail : outcome.stderr_tail;
    const struct jq_output_slice slice =
        jq_output_slice(total, head, tail, read->offset, (size_t)read->limit);
    data->total = total;
    data->offset = slice.offset;
    data->bytes = slice.bytes;
    data->end = slice.last;
}

void jq_fetch_answer_read(struct jq_fetch *fetch, const struct jq_log_request *read)
{
    struct jq_run *run = jq_map_find(&fetch->held, read->id);
    if (run != NULL && run->state == JQ_RUN_OUT && run->where == JQ_AT_EXEC &&
        (read->stream == 1 || read->stream == 2)) {
        struct jq_fetch_effect *effect = jq_fetch_effect(fetch, JQ_FETCH_READ);
        if (effect != NULL) {
            effect->run = run;
            effect->read = *read;
        }
        return;
    }
    struct jq_msg msg = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = read->correlation,
        .u.log_data = { .id = read->id, .stream = read->stream, .offset = read->offset },
    };
    if (read->stream != 1 && read->stream != 2)
        msg.u.log_data.error = JQ_EINVAL;
    else if (run == NULL)
        msg.u.log_data.error = JQ_ENOENT;
    else
        answer_from(run, &msg.u.log_data, read);
    jq_fetch_send(fetch, &msg);
}
