/* SPDX-License-Identifier: MIT
 *
 * stream.c - see stream.h. */
#include "client/cli/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/stdio.h"

static const char *name_of(const struct jq_stream *stream)
{
    return stream->stream == JQ_STDOUT ? "stdout" : "stderr";
}

static void tell_dropped(const struct jq_stream *stream, uint64_t bytes)
{
    fprintf(stderr, "jobq: %" PRIu64 " bytes of %s were dropped\n", bytes, name_of(stream));
}

static int read_at(const struct jq_stream *stream, uint64_t offset, bool follow,
                   struct jq_answer *ret_answer)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_READ,
        .u.log_read = { .id = stream->id,
                        .stream = stream->stream,
                        .offset = offset,
                        .limit = JQ_LOG_CHUNK_MAX,
                        .follow = follow },
    };
    const int64_t timeout_ms = follow ? -1 : jq_cli_request_ms(stream->cli);

    const int error = jq_request(stream->cli->client, &msg, timeout_ms, ret_answer);
    if (error != 0)
        return jq_cli_fail_call(stream->cli, error, name_of(stream));
    const struct jq_log_data *data = &ret_answer->msg.u.log_data;
    const enum jq_err err =
        ret_answer->msg.tag == JQ_MSG_LOG_DATA ? (enum jq_err)data->error : JQ_EPROTO;
    if (err == JQ_OK)
        return 0;
    jq_answer_fini(ret_answer);
    if (err == JQ_EGONE)
        return jq_cli_fail(stream->cli, err, "job %" PRIu64 ": its output was not kept",
                           stream->id);
    return jq_cli_fail_job(stream->cli, err, stream->id);
}

/* True: there is more to come. */
static bool take(struct jq_stream *stream, const struct jq_log_data *data)
{
    if (data->offset > stream->offset)
        tell_dropped(stream, data->offset - stream->offset);
    const int error = jq_write_all(stream->fd, data->bytes.data, data->bytes.size);
    if (error) {
        stream->status = JQ_EXIT_FAILED;
        if (error != EPIPE) /* whoever leaves has seen enough */
            jq_cli_fail(stream->cli, JQ_EIO, "standard %s: %s",
                        stream->fd == 1 ? "output" : "error", strerror(error));
        if (stream->failed)
            stream->failed(stream->arg);
        return false;
    }
    if (data->offset >= stream->offset)
        stream->offset = data->offset + data->bytes.size;
    if (data->end && data->total > stream->offset)
        tell_dropped(stream, data->total - stream->offset);
    return !data->end && (stream->follow || data->bytes.size > 0);
}

int jq_stream_copy(struct jq_stream *stream)
{
    struct jq_answer answer;
    bool more = true;

    while (more && stream->status == 0) {
        stream->status = read_at(stream, stream->offset, stream->follow, &answer);
        if (stream->status != 0)
            break;
        more = take(stream, &answer.msg.u.log_data);
        jq_answer_fini(&answer);
    }
    return stream->status;
}

int jq_stream_total(const struct jq_stream *stream, uint64_t *ret_total)
{
    struct jq_answer answer;
    const int status = read_at(stream, INT64_MAX, false, &answer);

    if (status != 0)
        return status;
    *ret_total = answer.msg.u.log_data.total;
    jq_answer_fini(&answer);
    return 0;
}

static void *thread_main(void *arg)
{
    jq_stream_copy(arg);
    return NULL;
}

int jq_stream_start(struct jq_stream *stream)
{
    const int error = pthread_create(&stream->thread, NULL, thread_main, stream);

    return error ? jq_cli_fail(stream->cli, JQ_EBUSY, "a thread: %s", strerror(error)) : 0;
}

int jq_stream_join(struct jq_stream *stream)
{
    pthread_join(stream->thread, NULL);
    return stream->status;
}
