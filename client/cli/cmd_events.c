/* SPDX-License-Identifier: MIT
 *
 * cmd_events.c - jobq events: what happens to jobs, as it happens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/format_json.h"
#include "client/cli/job_list.h"
#include "client/cli/keeper.h"
#include "client/cli/text.h"
#include "proto/base/clock.h"

struct values {
    bool follow;
    int64_t since; /* -1: from now on */
    const char *queue;
    int64_t limit; /* 0: none */
};

static const struct jq_flag flags[] = {
    { "follow", 'f', JQ_FLAG_BOOL, offsetof(struct values, follow), 0, 0, NULL,
      "go on for ever; so it is without --since" },
    { "since", 0, JQ_FLAG_INT, offsetof(struct values, since), 0, INT64_MAX, "SEQUENCE",
      "those after this one; 0: all that the broker still has" },
    { "queue", 'Q', JQ_FLAG_STRING, offsetof(struct values, queue), 0, 0, "NAME",
      "only jobs of this queue" },
    { "limit", 'n', JQ_FLAG_INT, offsetof(struct values, limit), 1, INT64_MAX, "N",
      "leave after so many" },
};

static const struct values defaults = { .since = -1 };

enum { QUIET_PINGS = 2 }; /* in a row, without an event on their way: there are no more */

struct watch {
    struct jq_cli *cli;
    uint64_t id; /* 0: all */
    uint64_t left;
    uint64_t sequence; /* of the last; 0: none yet */
    bool has_past;     /* what has happened is told, too */
    bool to_now;       /* leave when all that has happened was told */
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
        jq_text_add(&text, " %" PRIu64 " %" PRIu64 " %s ", event->sequence, event->id,
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

/* A gap is a member of the stream, too. */
static void print_dropped(struct watch *w, uint64_t dropped)
{
    if (w->cli->format != JQ_FORMAT_JSON && w->cli->format != JQ_FORMAT_JSONL) {
        jq_cli_notice(w->cli, "%" PRIu64 " events are missing here: they were read too slowly",
                      dropped);
        return;
    }
    struct jq_json_object *object = jq_json_open();
    jq_json_number(object, "dropped", (int64_t)dropped);
    jq_json_put(&w->json, object);
}

static void take(struct watch *w, const struct jq_events *events)
{
    struct jq_event event;

    if (events->dropped)
        print_dropped(w, events->dropped);
    for (struct jq_reader r = jq_records_reader(events->events);
         !w->over && jq_event_next(&r, &event);) {
        if (event.sequence && event.sequence <= w->sequence)
            continue; /* told before the connection broke */
        w->sequence = event.sequence;
        print_event(w, &event);
        w->over = --w->left == 0 || (w->id && jq_state_is_terminal((enum jq_job_state)event.state));
    }
    if (fflush(stdout) != 0)
        w->over = true; /* said at the end */
}

/* 0 and *ret_moved, or an exit code. */
static int next(struct watch *w, struct jq_subscription *subscription, int64_t timeout_ms,
                bool *ret_moved)
{
    struct jq_answer answer;
    const int error = jq_subscription_next(subscription, timeout_ms, &answer);

    *ret_moved = error == 0;
    if (error == JOBQ_ETIMEDOUT || (error == JOBQ_EUNREACH && timeout_ms == 0))
        return 0;
    if (error != 0)
        return jq_cli_fail_call(w->cli, error, "events");
    if (answer.msg.tag == JQ_MSG_EVENTS)
        take(w, &answer.msg.u.events);
    jq_answer_fini(&answer);
    return 0;
}

/* The broker sends what a watcher has not been told with every turn that it makes. */
static int catch_up(struct watch *w, struct jq_subscription *subscription)
{
    int quiet = 0, status = 0;

    while (!w->over && status == 0 && quiet < QUIET_PINGS) {
        bool moved;
        const int error = jobq_ping(w->cli->client, jq_cli_request_ms(w->cli), NULL);
        if (error != 0)
            return jq_cli_fail_call(w->cli, error, "events");
        quiet++;
        do {
            status = next(w, subscription, 0, &moved);
            quiet = moved ? 0 : quiet;
        } while (!w->over && status == 0 && moved);
    }
    return status;
}

static int follow(struct watch *w, struct jq_subscription *subscription)
{
    const int64_t timeout_ms = w->cli->globals.timeout_ms;
    const uint64_t start = jq_clock_mono_ns();
    int status = 0;

    while (!w->over && status == 0) {
        const int64_t gone = (int64_t)((jq_clock_mono_ns() - start) / 1000000);
        const int64_t left = timeout_ms < 0 ? -1 : gone < timeout_ms ? timeout_ms - gone : 0;
        bool moved;
        status = next(w, subscription, left, &moved);
        if (status == 0 && !moved && left == 0)
            return JQ_EXIT_TIMEDOUT;
    }
    return status;
}

/* An unknown job has no events, an ended one no more of them. */
static int check_job(void *arg, const struct jq_job_info *info)
{
    struct watch *w = arg;

    if (info->error != 0)
        return jq_cli_fail_job(w->cli, (int)info->error, info->id);
    w->over = !w->has_past && jq_state_is_terminal((enum jq_job_state)info->state);
    if (w->over)
        jq_cli_notice(w->cli, "job %" PRIu64 " has ended already: %s", info->id,
                      jq_state_name((enum jq_job_state)info->state));
    return 0;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    struct watch w = { .cli = cli,
                       .left = v->limit ? (uint64_t)v->limit : UINT64_MAX,
                       .has_past = v->since >= 0,
                       .to_now = v->since >= 0 && !v->follow };
    struct jq_subscription *subscription = NULL;
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;

    if (v->queue && strlen(v->queue) > JQ_NAME_MAX)
        return jq_cli_usage(cli, &jq_cmd_events, "--queue: more than %d bytes", JQ_NAME_MAX);
    int status = words->count ? jq_cli_id(cli, words, &w.id) : jq_cli_connect(cli);
    if (status != 0)
        return status;
    jq_keeper_start(cli);
    const struct jq_msg msg = {
        .tag = JQ_MSG_WATCH,
        .u.watch = { .id = w.id,
                     /* 0 would be from now on */
                     .after = v->since > 0 ? (uint64_t)v->since : w.has_past,
                     .queue = v->queue ? jq_view_str(v->queue) : jq_view(NULL, 0) },
    };
    const int error = jq_subscribe(cli->client, &msg, &subscription);
    if (error != 0)
        return jq_cli_fail_call(cli, error, "events");
    jq_json_start(&w.json, stdout, cli->format == JQ_FORMAT_JSONL);
    if (words->count) { /* after WATCH: nothing falls between the two */
        struct jq_ids ids = { .list = &w.id, .count = 1 };
        status = jq_job_infos(cli, &ids, check_job, &w);
    }
    if (status == 0)
        status = w.to_now ? catch_up(&w, subscription) : follow(&w, subscription);
    if (json && !jq_json_end(&w.json) && status == 0)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_subscription_end(&subscription);
    return status;
}

const struct jq_command jq_cmd_events = {
    .name = "events",
    .synopsis = "[flags] [ID]",
    .summary = "follow the changes of all jobs, or of one until it ends",
    .notes =
        "From now on, or with --since those after an event that was told before: each change is\n"
        "told once, in order, over restarts of the broker, and has a number that rises, its\n"
        "sequence. The broker keeps the last 65,536; what is missing is said. Without -f --since\n"
        "ends when all that has happened was told. --timeout ends it with exit code 124.\n"
        "\n"
        "  jobq -o jsonl events --since 1099511627776 -f | ./follower\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_max = 1,
    .words_name = "ID",
    .run = run,
};
