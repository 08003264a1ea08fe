/* SPDX-License-Identifier: MIT
 *
 * cmd_logs.c - jobq logs: what a job has written; jobq result: what it has returned. Both write
 * bytes as they are. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/cli/ending.h"
#include "client/cli/format_json.h"
#include "client/cli/job_list.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"
#include "client/cli/stream.h"
#include "client/cli/text.h"

/* ---- logs ---- */

struct logs_values {
    bool only_stdout;
    bool only_stderr;
    bool follow;
    int64_t offset;
    int64_t tail; /* -1: all */
};

static const struct jq_flag logs_flags[] = {
    { "follow", 'f', JQ_FLAG_BOOL, offsetof(struct logs_values, follow), 0, 0, NULL,
      "as it comes, until the job has ended" },
    { "stdout", 0, JQ_FLAG_BOOL, offsetof(struct logs_values, only_stdout), 0, 0, NULL,
      "only its standard output" },
    { "stderr", 0, JQ_FLAG_BOOL, offsetof(struct logs_values, only_stderr), 0, 0, NULL,
      "only its standard error, on our standard output" },
    { "offset", 0, JQ_FLAG_SIZE, offsetof(struct logs_values, offset), 0, INT64_MAX, "SIZE",
      "leave out the first bytes of each" },
    { "tail", 0, JQ_FLAG_SIZE, offsetof(struct logs_values, tail), 0, INT64_MAX, "SIZE",
      "only the last bytes of each" },
};

static const struct logs_values logs_defaults = { .tail = -1 };

static int set_start(struct jq_stream *stream, const struct logs_values *v)
{
    uint64_t total = 0;

    stream->offset = (uint64_t)v->offset;
    if (v->tail < 0)
        return 0;
    const int status = jq_stream_total(stream, &total);
    if (status == 0 && total > (uint64_t)v->tail)
        stream->offset = total - (uint64_t)v->tail;
    return status;
}

static int follow(struct jq_stream *streams, size_t count)
{
    size_t started = 0;
    int status = 0;

    for (; status == 0 && started < count; started += status == 0)
        status = jq_stream_start(&streams[started]);
    for (size_t i = 0; i < started; i++) {
        const int one = jq_stream_join(&streams[i]);
        status = status ? status : one;
    }
    return status;
}

static int copy(struct jq_stream *streams, size_t count)
{
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++)
        status = jq_stream_copy(&streams[i]);
    return status;
}

static int run_logs(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct logs_values *v = values;
    struct jq_stream streams[] = {
        { .cli = cli, .stream = JQ_STDOUT, .fd = STDOUT_FILENO, .follow = v->follow },
        { .cli = cli, .stream = JQ_STDERR, .fd = STDERR_FILENO, .follow = v->follow },
    };
    struct jq_stream *first = streams;
    size_t count = 2;
    uint64_t id;

    if (v->only_stdout && v->only_stderr)
        return jq_cli_usage(cli, &jq_cmd_logs, "--stdout and --stderr exclude each other");
    if (v->tail >= 0 && v->offset > 0)
        return jq_cli_usage(cli, &jq_cmd_logs, "--offset and --tail exclude each other");
    if (v->only_stdout || v->only_stderr)
        count = 1;
    if (v->only_stderr) {
        first = &streams[1];
        first->fd = STDOUT_FILENO;
    }
    int status = jq_cli_id(cli, words, &id);
    if (status == 0 && v->follow)
        jq_keeper_start(cli);
    for (size_t i = 0; i < count && status == 0; i++) {
        first[i].id = id;
        status = set_start(&first[i], v);
    }
    if (status != 0)
        return status;
    return v->follow ? follow(first, count) : copy(first, count);
}

const struct jq_command jq_cmd_logs = {
    .name = "logs",
    .synopsis = "[flags] ID",
    .summary = "what a job has written, byte for byte",
    .notes = "Its standard output goes to ours, its standard error to ours. Of a long output the\n"
             "head and the tail are kept; how much was dropped between is said on standard "
             "error.\n"
             "\n"
             "  jobq logs -f last\n",
    .flags = logs_flags,
    .flag_count = JQ_FLAG_COUNT(logs_flags),
    .defaults = &logs_defaults,
    .values_size = sizeof logs_defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "ID",
    .no_format = true,
    .run = run_logs,
};

/* ---- result ---- */

static void print_summary(const struct jq_result *result)
{
    const struct jq_ending ending = { (enum jq_job_state)result->state, result->code,
                                      result->signal, result->reason };
    struct jq_buf text = { 0 };

    jq_ending_text(&text, &ending);
    if (result->started_at > 0) {
        jq_text_add(&text, ", ");
        jq_text_duration(&text, (int64_t)(result->wall_us / 1000));
        jq_text_add(&text, ", stdout ");
        jq_text_size(&text, result->stdout_bytes);
        jq_text_add(&text, ", stderr ");
        jq_text_size(&text, result->stderr_bytes);
    }
    printf("%.*s\n", JQ_VIEW_ARG(jq_buf_view(&text)));
    jq_buf_fini(&text);
}

struct result_values {
    bool decode;
};

static const struct jq_flag result_flags[] = {
    { "decode", 'd', JQ_FLAG_BOOL, offsetof(struct result_values, decode), 0, 0, NULL,
      "print the msgpack value that a handler returned as a line of JSON" },
};

static const struct result_values result_defaults;

static int print_decoded(const struct jq_cli *cli, const struct jq_result *result)
{
    if (result->value.size == 0)
        return jq_cli_fail(cli, JQ_ENOENT, "job %" PRIu64 " has returned nothing", result->id);
    const enum jq_err err = jq_json_print_msgpack(result->value, stdout);
    if (err == JQ_EINVAL)
        return jq_cli_fail(cli, err, "job %" PRIu64 ": what it returned is not a msgpack value",
                           result->id);
    return err == JQ_OK ? 0 : jq_cli_fail(cli, err, "%s", jq_err_text(err));
}

static int print_result(const struct jq_cli *cli, const struct result_values *v,
                        const struct jq_result *result)
{
    struct jq_json_list json;

    if (result->error == JQ_EGONE)
        return jq_cli_fail(cli, JQ_EGONE, "job %" PRIu64 ": its result was not kept", result->id);
    if (result->error != 0)
        return jq_cli_fail_job(cli, (int)result->error, result->id);
    if (v->decode)
        return print_decoded(cli, result);
    switch (cli->format) {
    case JQ_FORMAT_TABLE:
        if (result->value.size)
            fwrite(result->value.data, 1, result->value.size, stdout);
        else
            print_summary(result);
        return 0;
    case JQ_FORMAT_ID:
        printf("%" PRIu64 "\n", result->id);
        return 0;
    case JQ_FORMAT_JSON:
    case JQ_FORMAT_JSONL:
        break;
    }
    jq_json_start(&json, stdout, true); /* one object in both */
    jq_json_result(&json, result);
    return jq_json_end(&json) ? 0 : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

/* Asking for a result waits for it. */
static int check_ended(void *arg, const struct jq_job_info *info)
{
    if (info->error != 0 || jq_state_is_terminal((enum jq_job_state)info->state))
        return 0; /* errors are told with the result */
    return jq_cli_fail(arg, JQ_ESTATE,
                       "job %" PRIu64 " has not ended: it is %s (jobq wait waits for it)", info->id,
                       jq_state_name((enum jq_job_state)info->state));
}

static int run_result(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct jq_buf refs = { 0 };
    struct jq_answer answer;
    struct jq_result result;
    uint64_t id = 0;

    int status = jq_cli_id(cli, words, &id);
    if (status != 0)
        return status;
    struct jq_ids ids = { .list = &id, .count = 1 };
    status = jq_job_infos(cli, &ids, check_ended, cli);
    if (status != 0)
        return status;
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    const struct jq_msg msg = { .tag = JQ_MSG_WAIT, .u.wait = { .jobs = jq_records_of(1, &refs) } };
    if (jq_buf_ok(&refs))
        status = jq_cli_request(cli, &msg, JQ_MSG_RESULTS, &answer);
    else
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_buf_fini(&refs);
    if (status != 0)
        return status;
    struct jq_reader r = jq_records_reader(answer.msg.u.results.results);
    if (jq_result_next(&r, &result))
        status = print_result(cli, values, &result);
    jq_answer_fini(&answer);
    return status;
}

const struct jq_command jq_cmd_result = {
    .name = "result",
    .synopsis = "[--decode] ID",
    .summary = "what a job has returned, or how it ended",
    .notes = "The bytes that a handler returned, as they are; a command returns none: then a line\n"
             "says how it ended.\n"
             "\n"
             "  jobq result 17\n",
    .flags = result_flags,
    .flag_count = JQ_FLAG_COUNT(result_flags),
    .defaults = &result_defaults,
    .values_size = sizeof result_defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "ID",
    .run = run_result,
};
