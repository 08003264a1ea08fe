/* SPDX-License-Identifier: MIT
 *
 * cmd_wait.c - jobq wait: until jobs have ended, then their exit code. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/ending.h"
#include "client/cli/format_json.h"
#include "client/cli/keeper.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/map.h"

struct values {
    bool any;
};

static const struct jq_flag flags[] = {
    { "any", 0, JQ_FLAG_BOOL, offsetof(struct values, any), 0, 0, NULL,
      "until the first of them has ended; prints its id" },
};

static const struct values defaults;

enum { TIMEOUT_MIN_MS = 100 }; /* --timeout 0: what has ended already, an answer's way included */

struct waiting {
    struct jq_cli *cli;
    const struct jq_ids *ids;
    bool any;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    struct jq_map seen;   /* answers may come twice */
    struct jq_json_list json;
    size_t ended;
    bool some_failed;
    int code; /* of the job that ended last */
    int status;
};

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

static void tell_ending(const struct waiting *w, const struct jq_result *result)
{
    const struct jq_ending ending = { (enum jq_job_state)result->state, result->code,
                                      result->signal, result->reason };
    const bool plain =
        w->ids->count == 1 ? jq_ending_is_plain(&ending) : ending.state == JQ_SUCCEEDED;
    struct jq_buf text = { 0 };

    if (plain || wants_json(w->cli))
        return;
    jq_ending_text(&text, &ending);
    jq_cli_notice(w->cli, "job %" PRIu64 ": %.*s", result->id, JQ_VIEW_ARG(jq_buf_view(&text)));
    jq_buf_fini(&text);
}

static int tell_error(const struct waiting *w, const struct jq_result *result)
{
    if (result->error == JQ_EGONE)
        return jq_cli_fail(w->cli, JQ_EGONE, "job %" PRIu64 ": its result was not kept",
                           result->id);
    return jq_cli_fail_job(w->cli, (int)result->error, result->id);
}

static void take(struct waiting *w, const struct jq_result *result)
{
    const struct jq_ending ending = { (enum jq_job_state)result->state, result->code,
                                      result->signal, result->reason };

    if (result->id != 0 && jq_map_find(&w->seen, result->id))
        return;
    if (result->id != 0 && jq_map_put(&w->seen, result->id, w) != JQ_OK) {
        w->status = jq_cli_fail(w->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
        return;
    }
    if (wants_json(w->cli))
        jq_json_result(&w->json, result);
    if (result->error != 0) {
        w->status = tell_error(w, result);
        return;
    }
    w->ended++;
    w->code = jq_exit_code(&ending);
    w->some_failed |= w->code != 0;
    tell_ending(w, result);
    if (w->cli->format == JQ_FORMAT_ID || (w->any && !wants_json(w->cli))) {
        printf("%" PRIu64 "\n", result->id);
        fflush(stdout);
    }
}

static int64_t left_ms(const struct waiting *w)
{
    if (w->deadline_ns == UINT64_MAX)
        return -1;
    const uint64_t now = jq_clock_mono_ns();
    return now < w->deadline_ns ? (int64_t)((w->deadline_ns - now + 999999) / 1000000) : 0;
}

static bool is_over(const struct waiting *w, size_t until)
{
    return w->status != 0 || w->ended >= until || (w->any && w->ended);
}

/* Until `until` of all jobs have ended. */
static void drain(struct waiting *w, struct jq_subscription *subscription, size_t until)
{
    struct jq_answer answer;
    struct jq_result result;

    while (!is_over(w, until)) {
        const int error = jq_subscription_next(subscription, left_ms(w), &answer);
        if (error == JOBQ_ETIMEDOUT) {
            w->status = JQ_EXIT_TIMEDOUT;
            jq_cli_notice(w->cli, "timed out: %zu of %zu jobs have not ended; they go on",
                          w->ids->count - w->ended, w->ids->count);
            return;
        }
        if (error != 0) {
            w->status = jq_cli_fail_call(w->cli, error, "wait");
            return;
        }
        if (answer.msg.tag == JQ_MSG_RESULTS)
            for (struct jq_reader r = jq_records_reader(answer.msg.u.results.results);
                 !is_over(w, SIZE_MAX) && jq_result_next(&r, &result);)
                take(w, &result);
        jq_answer_fini(&answer);
    }
}

/* WAIT for as many as fit one frame, from `from` on. */
static int subscribe(struct waiting *w, size_t from, size_t count, struct jq_subscription **ret)
{
    struct jq_buf refs = { 0 };
    int error = JOBQ_ENOMEM;

    for (size_t i = 0; i < count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = w->ids->list[from + i] });
    const struct jq_msg msg = {
        .tag = JQ_MSG_WAIT,
        .u.wait = { .jobs = jq_records_of((uint32_t)count, &refs) },
    };
    if (jq_buf_ok(&refs))
        error = jq_subscribe(w->cli->client, &msg, ret);
    jq_buf_fini(&refs);
    return error ? jq_cli_fail_call(w->cli, error, "wait") : 0;
}

/* One WAIT for each frame of ids. An unknown id is told when its frame is read: at once for the
 * first JQ_JOBS_PER_FRAME. */
static void wait_for_all(struct waiting *w)
{
    const size_t total = w->ids->count;
    const size_t frames = (total + JQ_JOBS_PER_FRAME - 1) / JQ_JOBS_PER_FRAME;
    struct jq_subscription **list = jq_alloc_zero(frames + 1, sizeof *list);

    if (!list)
        w->status = jq_cli_fail(w->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    for (size_t i = 0; i < frames && w->status == 0; i++) {
        const size_t from = i * JQ_JOBS_PER_FRAME, left = total - from;
        w->status =
            subscribe(w, from, left < JQ_JOBS_PER_FRAME ? left : JQ_JOBS_PER_FRAME, &list[i]);
    }
    for (size_t i = 0; i < frames && w->status == 0 && !(w->any && w->ended); i++) {
        const size_t until = (i + 1) * JQ_JOBS_PER_FRAME;
        drain(w, list[i], until < total ? until : total);
    }
    for (size_t i = 0; list && i < frames; i++)
        jq_subscription_end(&list[i]);
    jq_free(list);
}

static int code_of(const struct waiting *w)
{
    if (w->status != 0)
        return w->status;
    if (w->ids->count == 1 || w->any)
        return w->code;
    return w->some_failed ? JQ_EXIT_SOME : JQ_EXIT_OK;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    const int64_t timeout_ms = cli->globals.timeout_ms;
    struct waiting w = { .cli = cli, .any = v->any, .deadline_ns = UINT64_MAX };
    struct jq_ids ids;

    w.status = jq_cli_ids(cli, words, &ids);
    if (w.status != 0)
        return w.status;
    jq_keeper_start(cli);
    if (timeout_ms >= 0)
        w.deadline_ns =
            jq_clock_mono_ns() +
            (uint64_t)(timeout_ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS : timeout_ms) * 1000000;
    w.ids = &ids;
    jq_json_start(&w.json, stdout, cli->format == JQ_FORMAT_JSONL);
    if (v->any && ids.count > JQ_JOBS_PER_FRAME)
        w.status = jq_cli_fail(cli, JQ_EINVAL, "--any takes at most %d jobs", JQ_JOBS_PER_FRAME);
    else
        wait_for_all(&w);
    if (wants_json(cli) && !jq_json_end(&w.json) && w.status == 0)
        w.status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_map_fini(&w.seen);
    const int code = code_of(&w);
    jq_ids_fini(&ids);
    return code;
}

const struct jq_command jq_cmd_wait = {
    .name = "wait",
    .synopsis = "[flags] ID...",
    .summary = "wait until jobs have ended; exits with the job's code",
    .notes =
        "One job: its own exit code, 128+n when signal n killed it, 121 when it was cancelled,\n"
        "122 when its workers died, 124 when its own time limit ended it. Many: 0 when all\n"
        "succeeded, else 123. 124 when --timeout is over: the jobs go on. 125 for an unknown\n"
        "id, at once.\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .run = run,
};
