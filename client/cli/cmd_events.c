/* SPDX-License-Identifier: MIT
 *
 * cmd_events.c - jobq events: what happens to jobs, as it happens. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/format_json.h"
#include "client/cli/job_list.h"
#include "client/cli/keeper.h"
#include "client/cli/text.h"
#include "proto/base/clock.h"

struct values {
    int64_t limit; /* 0: none */
};

static const struct jq_flag flags[] = {
    { "limit", 'n', JQ_FLAG_INT, offsetof(struct values, limit), 1, INT64_MAX, "N",
      "leave after so many" },
};

static const struct values defaults;

struct watch {
    struct jq_cli *cli;
    uint64_t id; /* 0: all */
    uint64_t left;
    struct jq_json_list json;
    bool over;
};

static void print_event(struct watch *w, const struct jq_event *event)
{
    struct jq_buf text = { 0 };

    if (w->cli->format == JQ_FORMAT_JSON || w->cli->format == JQ_FORMAT_JSONL) {
        jq_json_event(&w->json, event);
        return;
    }
    if (w->cli->format == JQ_FORMAT_ID) {
        printf("%" PRIu64 "\n", event->id);
    } else {
        jq_text_time(&text, event->at);
        jq_text_add(&text, " %" PRIu64 " %s ", event->id,
                    jq_state_name((enum jq_job_state)event->state));
        jq_text_clean(&text, event->queue);
        if (event->worker.size)
            jq_text_add(&text, " on ");
        jq_text_clean(&text, event->worker);
        if (event->reason.size)
            jq_text_add(&text, ": ");
        jq_text_clean(&text, event->reason);
        printf("%.*s\n", JQ_VIEW_ARG(jq_buf_view(&text)));
    }
    jq_buf_fini(&text);
}

static void take(struct watch *w, const struct jq_events *events)
{
    struct jq_event event;

    if (events->dropped)
        jq_cli_notice(w->cli, "%" PRIu64 " events were dropped: they are read too slowly",
                      events->dropped);
    for (struct jq_reader r = jq_records_reader(events->events);
         !w->over && jq_event_next(&r, &event);) {
        print_event(w, &event);
        w->over = --w->left == 0 || (w->id && jq_state_is_terminal((enum jq_job_state)event.state));
    }
    if (fflush(stdout) != 0)
        w->over = true; /* said at the end */
}

static int follow(struct watch *w, struct jq_subscription *subscription)
{
    const int64_t timeout_ms = w->cli->globals.timeout_ms;
    const uint64_t start = jq_clock_mono_ns();
    struct jq_answer answer;

    while (!w->over) {
        const int64_t gone = (int64_t)((jq_clock_mono_ns() - start) / 1000000);
        const int64_t left = timeout_ms < 0 ? -1 : gone < timeout_ms ? timeout_ms - gone : 0;
        const int error = jq_subscription_next(subscription, left, &answer);
        if (error == JOBQ_ETIMEDOUT)
            return JQ_EXIT_TIMEDOUT;
        if (error != 0)
            return jq_cli_fail_call(w->cli, error, "events");
        if (answer.msg.tag == JQ_MSG_EVENTS)
            take(w, &answer.msg.u.events);
        jq_answer_fini(&answer);
    }
    return 0;
}

/* An unknown job has no events, an ended one no more of them. */
static int check_job(void *arg, const struct jq_job_info *info)
{
    struct watch *w = arg;

    if (info->error != 0)
        return jq_cli_fail_job(w->cli, (int)info->error, info->id);
    w->over = jq_state_is_terminal((enum jq_job_state)info->state);
    if (w->over)
        jq_cli_notice(w->cli, "job %" PRIu64 " has ended already: %s", info->id,
                      jq_state_name((enum jq_job_state)info->state));
    return 0;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    struct watch w = { .cli = cli, .left = v->limit ? (uint64_t)v->limit : UINT64_MAX };
    struct jq_subscription *subscription = NULL;
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;

    int status = words->count ? jq_cli_id(cli, words, &w.id) : jq_cli_connect(cli);
    if (status != 0)
        return status;
    jq_keeper_start(cli);
    const struct jq_msg msg = { .tag = JQ_MSG_WATCH, .u.watch = { .id = w.id } };
    const int error = jq_subscribe(cli->client, &msg, &subscription);
    if (error != 0)
        return jq_cli_fail_call(cli, error, "events");
    jq_json_start(&w.json, stdout, cli->format == JQ_FORMAT_JSONL);
    if (words->count) { /* after WATCH: nothing falls between the two */
        struct jq_ids ids = { .list = &w.id, .count = 1 };
        status = jq_job_infos(cli, &ids, check_job, &w);
    }
    if (status == 0)
        status = follow(&w, subscription);
    if (json && !jq_json_end(&w.json) && status == 0)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_subscription_end(&subscription);
    return status;
}

const struct jq_command jq_cmd_events = {
    .name = "events",
    .synopsis = "[flags] [ID]",
    .summary = "follow the changes of all jobs, or of one until it ends",
    .notes = "Events are told from now on, and only while the broker is connected. --timeout ends\n"
             "it with exit code 124.\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_max = 1,
    .words_name = "ID",
    .run = run,
};
