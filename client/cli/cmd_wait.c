/* SPDX-License-Identifier: MIT
 *
 * cmd_wait.c - jobq wait: until jobs have ended or reached a state, then their exit code. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/ending.h"
#include "client/cli/format_json.h"
#include "client/cli/job_query.h"
#include "client/cli/keeper.h"
#include "client/cli/wait_set.h"
#include "proto/base/clock.h"

struct values {
    bool any, all, first_fail;
    int64_t count; /* 0: not said */
    struct jq_words states;
};

static const struct jq_flag flags[] = {
    { "all", 0, JQ_FLAG_BOOL, offsetof(struct values, all), 0, 0, NULL,
      "until all of them have ended; so it is where nothing is said" },
    { "any", 0, JQ_FLAG_BOOL, offsetof(struct values, any), 0, 0, NULL,
      "until the first of them has ended; prints its id" },
    { "count", 0, JQ_FLAG_INT, offsetof(struct values, count), 1, INT64_MAX, "N",
      "until so many of them have ended; prints their ids" },
    { "first-fail", 0, JQ_FLAG_BOOL, offsetof(struct values, first_fail), 0, 0, NULL,
      "until one ends without success, or all have ended; prints its id" },
    { "state", 0, JQ_FLAG_LIST, offsetof(struct values, states), 0, 0, "STATE[,..]",
      "or have reached one of these states" },
};

static const struct values defaults;

enum { TIMEOUT_MIN_MS = 100 }; /* --timeout 0: what has ended already, an answer's way included */

struct waiting {
    struct jq_cli *cli;
    const struct values *values;
    struct jq_wait_set set;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    struct jq_json_list json;
    size_t ended;
    size_t failed;
    int code; /* of the job that ended last, or failed */
    int status;
};

static bool wants_json(const struct jq_cli *cli)
{
    return cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;
}

/* ---- one job ---- */

/* 0: it is where --state wants it, or has been there. */
static int code_of_result(const struct waiting *w, const struct jq_ending *ending,
                          const struct jq_result *result)
{
    const uint64_t states = w->set.states;

    if (states >> result->state & 1)
        return JQ_EXIT_OK;
    if (states && (states >> JQ_RUNNING & 1) && result->started_at > 0)
        return JQ_EXIT_OK;
    const int code = jq_exit_code(ending);
    const bool wants_end = states >> JQ_SUCCEEDED;
    return states && wants_end && code == 0 ? JQ_EXIT_REFUSED : code;
}

static void tell_ending(const struct waiting *w, const struct jq_result *result,
                        const struct jq_ending *ending)
{
    const bool alone = w->set.total == 1 && !w->set.is_reading;
    const bool plain = alone ? jq_ending_is_plain(ending) : ending->state == JQ_SUCCEEDED;
    struct jq_buf text = { 0 };

    if (plain || wants_json(w->cli) || !jq_state_is_terminal(ending->state))
        return;
    jq_ending_text(&text, ending);
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

/* Enough jobs have ended, whatever becomes of the others. */
static bool is_enough(const struct waiting *w)
{
    const struct values *v = w->values;

    return w->status != 0 || (v->any && w->ended) || (v->first_fail && w->failed) ||
           (v->count && w->ended >= (size_t)v->count);
}

static void print_id(const struct waiting *w, uint64_t id, bool failed)
{
    const struct values *v = w->values;
    const bool wanted = v->any || v->count || (v->first_fail && failed);

    if (w->cli->format != JQ_FORMAT_ID && (!wanted || wants_json(w->cli)))
        return;
    printf("%" PRIu64 "\n", id);
    fflush(stdout);
}

static bool take(void *arg, const struct jq_result *result)
{
    struct waiting *w = arg;
    const struct jq_ending ending = { (enum jq_job_state)result->state, result->code,
                                      result->signal, result->reason };

    if (wants_json(w->cli))
        jq_json_result(&w->json, result);
    if (result->error != 0) {
        w->status = tell_error(w, result);
        return false;
    }
    const int code = code_of_result(w, &ending, result);
    w->ended++;
    w->failed += code != 0;
    w->code = code;
    tell_ending(w, result, &ending);
    print_id(w, result->id, code != 0);
    return !is_enough(w);
}

/* ---- all of them ---- */

static int64_t left_ms(const struct waiting *w)
{
    if (w->deadline_ns == UINT64_MAX)
        return -1;
    const uint64_t now = jq_clock_mono_ns();
    return now < w->deadline_ns ? (int64_t)((w->deadline_ns - now + 999999) / 1000000) : 0;
}

static void time_out(struct waiting *w)
{
    w->status = JQ_EXIT_TIMEDOUT;
    jq_cli_notice(w->cli, "timed out: %zu of %zu jobs have not ended; they go on",
                  w->set.total - w->ended, w->set.total);
}

static void wait_for_all(struct waiting *w)
{
    while (!is_enough(w) && (w->set.is_reading || w->ended < w->set.total)) {
        const int64_t left = left_ms(w);
        bool moved;
        const int status = jq_wait_set_turn(&w->set, left, take, w, &moved);
        if (status != 0)
            w->status = status;
        else if (!moved && left == 0)
            time_out(w);
    }
    if (w->status == 0 && w->values->count && w->ended < (size_t)w->values->count)
        w->status =
            jq_cli_fail(w->cli, JQ_EINVAL, "--count: only %zu jobs are named", w->set.total);
}

/* ids of standard input are read as they come: "-" is no word for jq_cli_ids. */
static int start(struct waiting *w, const struct jq_words *words)
{
    struct jq_words others = { 0 };
    struct jq_ids ids = { 0 };
    int status = 0;

    for (size_t i = 0; i < words->count && status == 0; i++) {
        if (strcmp(words->list[i], "-") == 0)
            w->set.is_reading = true;
        else if (jq_words_add(&others, words->list[i]) != JQ_OK)
            status = jq_cli_fail(w->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    }
    if (status == 0)
        status = jq_cli_ids(w->cli, &others, &ids);
    if (status == 0) {
        jq_keeper_start(w->cli);
        status = jq_wait_set_add(&w->set, &ids);
        jq_ids_fini(&ids);
    }
    jq_words_fini(&others);
    return status;
}

static int code_of(const struct waiting *w)
{
    const struct values *v = w->values;

    if (w->status != 0)
        return w->status;
    if (w->set.total == 1 || v->any || (v->first_fail && w->failed))
        return w->code;
    return w->failed ? JQ_EXIT_SOME : JQ_EXIT_OK;
}

static int check(const struct jq_cli *cli, const struct values *v, uint64_t *ret_states)
{
    struct jq_view bad;

    if (v->any + v->all + v->first_fail + (v->count > 0) > 1)
        return jq_cli_usage(cli, &jq_cmd_wait,
                            "--any, --all, --first-fail and --count exclude each other");
    for (size_t i = 0; i < v->states.count; i++)
        if (!jq_states_read(v->states.list[i], ret_states, &bad))
            return jq_cli_usage(cli, &jq_cmd_wait, "--state: '%.*s' is none of " JQ_STATE_WORDS,
                                JQ_VIEW_ARG(bad));
    return 0;
}

static void set_deadline(struct waiting *w)
{
    const int64_t timeout_ms = w->cli->globals.timeout_ms;

    w->deadline_ns = UINT64_MAX;
    if (timeout_ms >= 0)
        w->deadline_ns =
            jq_clock_mono_ns() +
            (uint64_t)(timeout_ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS : timeout_ms) * 1000000;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct waiting w = { .cli = cli, .values = values, .set = { .cli = cli } };

    w.status = check(cli, values, &w.set.states);
    if (w.status == 0)
        w.status = start(&w, words);
    if (w.status != 0 && !w.set.total) { /* nothing was asked: no list of it */
        jq_wait_set_fini(&w.set);
        return w.status;
    }
    set_deadline(&w);
    jq_json_start(&w.json, stdout, cli->format == JQ_FORMAT_JSONL);
    wait_for_all(&w);
    if (wants_json(cli) && !jq_json_end(&w.json) && w.status == 0)
        w.status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    const int code = code_of(&w);
    jq_wait_set_fini(&w.set);
    return code;
}

const struct jq_command jq_cmd_wait = {
    .name = "wait",
    .synopsis = "[flags] ID...",
    .summary = "wait until jobs have ended; exits with the job's code",
    .notes =
        "One job: its own exit code, 128+n when signal n killed it, 121 when it was cancelled,\n"
        "122 when its workers died, 124 when its own time limit ended it. Many: 0 when all\n"
        "succeeded, else 123; with --any and --first-fail the code of that one. With --state 0\n"
        "for a job that has been in one of the states. 124 when --timeout is over: the jobs go\n"
        "on. 125 for an unknown id, at once. Ids on standard input (-) are waited for as they\n"
        "come.\n"
        "\n"
        "  jobq wait --first-fail 17-19 || jobq cancel 17-19\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = SIZE_MAX,
    .words_name = "ID",
    .run = run,
};
