/* SPDX-License-Identifier: MIT
 *
 * bench_queue.c - the scratch queue of jobq bench, from its making to its removal, and the
 * producers' connections. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/cli/bench.h"
#include "client/cli/cmd_queue.h"
#include "proto/base/clock.h"

enum {
    OPEN_MS = 10000,
    ASK_MS = 10000,
    PAUSE_MS = 20,
    STUCK_MS = 30000, /* two leases: what a lost worker held comes back meanwhile */
    TRIES_MAX = 4,    /* of a random name that is taken */
};

/* ---- making it ---- */

static int make_queue(struct jq_bench *b)
{
    struct jq_buf conf = { 0 };
    struct jq_answer answer;

    jq_queue_conf_write(&conf, &(struct jq_queue_conf){ .order = jq_view_str("fifo"),
                                                        .durability = (uint64_t)b->durability });
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = jq_view_str(b->queue_name),
                         .mode = JQ_QUEUE_MAKE,
                         .fields = JQ_QUEUE_DURABILITY,
                         .conf = jq_records_of(1, &conf) },
    };
    int error = JOBQ_ENOMEM;
    if (jq_buf_ok(&conf))
        error = jq_request(b->cli->client, &msg, jq_cli_request_ms(b->cli), &answer);
    if (error == 0)
        jq_answer_fini(&answer);
    jq_buf_fini(&conf);
    return error;
}

static int open_producer(struct jq_bench *b, size_t i)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;

    options.url = b->cli->url;
    options.name = "jobq-bench";
    options.timeout_ms = OPEN_MS;
    int error = jobq_open(&options, &b->clients[i]);
    if (error == 0)
        error = jobq_queue_open(b->clients[i], b->queue_name, NULL, &b->queues[i]);
    return error ? jq_bench_failed(b, error, "a producer's connection") : 0;
}

int jq_bench_open(struct jq_bench *b)
{
    int error = JOBQ_EEXIST;

    for (int i = 0; i < TRIES_MAX && error == JOBQ_EEXIST; i++) {
        snprintf(b->queue_name, sizeof b->queue_name, "bench-%08" PRIx32,
                 (uint32_t)jq_clock_entropy());
        error = make_queue(b);
    }
    if (error == 0)
        error = jobq_queue_open(b->cli->client, b->queue_name, NULL, &b->queue);
    if (error != 0)
        return jq_cli_fail_call(b->cli, error, "the scratch queue");
    jq_cli_notice(b->cli, "measuring on queue %s, for at most %" PRId64 " s", b->queue_name,
                  b->seconds);
    int status = 0;
    for (size_t i = 0; status == 0 && i < (size_t)b->producers; i++)
        status = open_producer(b, i);
    return status;
}

/* ---- emptying it ---- */

static int ask(struct jobq_client *client, const char *name, struct jq_queue_info *ret_info)
{
    const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_ASK,
                                .u.queue_ask = { .name = jq_view_str(name) } };
    struct jq_queue_conf conf;
    struct jq_answer answer;
    int error = jq_request(client, &msg, ASK_MS, &answer);

    if (error != 0)
        return error;
    if (!jq_queue_said(&answer, ret_info, &conf))
        error = JOBQ_EPROTO;
    jq_answer_fini(&answer);
    return error;
}

static void pause_shortly(void)
{
    const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };

    nanosleep(&pause, NULL);
}

int jq_bench_purge(struct jq_bench *b)
{
    struct jq_queue_info info = { .purging = 1 };
    int error = jobq_queue_purge(b->queue, NULL);

    while (error == 0 && info.purging > 0 && !jq_bench_over(b)) {
        error = ask(b->cli->client, b->queue_name, &info);
        if (error == 0 && info.purging > 0)
            pause_shortly();
    }
    return error ? jq_bench_failed(b, error, "purge") : jq_bench_over(b);
}

/* ---- removing it ---- */

/* What is left to do falls while something is done: what was purged is kept, then deleted. */
static bool is_stuck(const struct jq_queue_info *info, uint64_t *left, jq_ms *until)
{
    const uint64_t now_left = 2 * (info->unfinished + info->purging) + info->kept;

    if (now_left < *left) {
        *left = now_left;
        *until = jq_clock_now().mono + STUCK_MS;
    }
    return jq_clock_now().mono > *until;
}

/* Closed first, so that nothing late makes it anew or goes in. What comes back from those who held
 * it is purged, too; but a purge holds the removal up, so only then. */
static int remove_queue(struct jobq_client *client, struct jobq_queue *queue, const char *name)
{
    struct jq_queue_info info;
    uint64_t left = UINT64_MAX;
    jq_ms until = 0;
    int error = jobq_queue_close(queue, JOBQ_CLOSE_NOW);

    while (error == 0) {
        error = ask(client, name, &info);
        if (error != 0)
            break;
        if (is_stuck(&info, &left, &until))
            return JOBQ_ESTATE;
        if (info.ready > 0 && info.purging == 0)
            error = jobq_queue_purge(queue, NULL);
        else if (info.unfinished == 0 && info.purging == 0)
            error = jobq_queue_remove(queue);
        if (error == JOBQ_ESTATE)
            error = 0;
        if (error == 0)
            pause_shortly();
    }
    return error == JOBQ_ENOENT ? 0 : error;
}

static void close_producers(struct jq_bench *b)
{
    for (size_t i = 0; i < JQ_BENCH_PRODUCERS_MAX; i++) {
        jobq_queue_free(&b->queues[i]);
        jobq_close(&b->clients[i]);
    }
}

int jq_bench_close(struct jq_bench *b)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    struct jobq_queue *queue = NULL;

    close_producers(b);
    if (!b->queue)
        return 0;
    jobq_queue_free(&b->queue);
    if (jq_bench_over(b))
        jq_cli_notice(b->cli, "removing queue %s", b->queue_name);
    options.url = b->cli->url;
    options.name = "jobq-bench";
    options.timeout_ms = OPEN_MS;
    int error = jobq_open(&options, &client);
    if (error == 0)
        error = jobq_queue_open(client, b->queue_name, NULL, &queue);
    if (error == 0)
        error = remove_queue(client, queue, b->queue_name);
    jobq_queue_free(&queue);
    jobq_close(&client);
    if (error == 0)
        return 0;
    return jq_cli_fail(b->cli, error,
                       "queue %s is left behind: %s; jobq queue purge %s && jobq queue rm %s",
                       b->queue_name, jobq_strerror(error), b->queue_name, b->queue_name);
}
