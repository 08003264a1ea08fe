/* SPDX-License-Identifier: MIT
 *
 * jobq.c - the client of jobq, as tight as those of the peers. Mode "jobs": jobs of the noop
 * handler, run by a jobq-worker that is there from the start; the queue is paused while it is
 * filled. Mode "items": put, get and done. The consumer takes what is there, up to a batch, and
 * does not wait for the answer to each done; puts share groups, as `jobq put --lines` does it. */
#include <jobq/jobq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum { GROUP = 4096, BATCH = 1024, PATIENCE_MS = 10000 };

struct conn {
    struct jobq_client *client;
    struct jobq_queue *jobs, *results;
    bool is_items, is_paused;
    size_t sequence;
};

static void check(struct conn *c, int error, const char *what)
{
    if (error < 0)
        peer_fail("%s: %s (%s)", what, jobq_strerror(error), jobq_errdetail(c->client));
}

static bool has_workers(const struct peer_conf *conf)
{
    return strcmp(conf->mode, "items") != 0;
}

static struct jobq_job job_of(const struct conn *c)
{
    struct jobq_job job = JOBQ_JOB_INIT;

    job.queue = "jobs";
    job.handler = c->is_items ? "item" : "noop";
    job.payload_size = PEER_PAYLOAD;
    job.flags = JOBQ_JOB_DISCARD;
    return job;
}

/* Its worker answers: it is there. */
static void call_job(struct conn *c)
{
    char payload[PEER_PAYLOAD];
    struct jobq_job job = job_of(c);
    const struct jobq_result *result;
    struct jobq_future *future;

    peer_payload(payload, c->sequence++);
    job.payload = payload;
    check(c, jobq_call(c->client, &job, &future), "call");
    check(c, jobq_future_result(future, -1, &result), "result");
    jobq_future_free(&future);
}

static void *open_conn(const struct peer_conf *conf)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct conn *c = peer_alloc(sizeof *c);

    options.url = conf->address;
    options.timeout_ms = PATIENCE_MS;
    c->is_items = !has_workers(conf);
    int error = jobq_open(&options, &c->client);
    if (error)
        peer_fail("%s: %s", conf->address, jobq_strerror(error));
    check(c, jobq_queue_open(c->client, "jobs", NULL, &c->jobs), "queue");
    check(c, jobq_queue_open(c->client, "results", NULL, &c->results), "queue");
    if (c->is_items || conf->is_consumer)
        return c;
    call_job(c);
    c->is_paused = strcmp(conf->workload, "fill") == 0;
    if (c->is_paused)
        check(c, jobq_queue_pause(c->jobs), "pause");
    return c;
}

static void close_conn(void *conn)
{
    struct conn *c = conn;

    jobq_queue_free(&c->jobs);
    jobq_queue_free(&c->results);
    jobq_close(&c->client);
    free(c);
}

static void fill(void *conn, size_t jobs)
{
    static char payloads[GROUP][PEER_PAYLOAD];
    static struct jobq_job group[GROUP];
    struct conn *c = conn;

    for (size_t i = 0; i < GROUP; i++) {
        group[i] = job_of(c);
        group[i].payload = payloads[i];
    }
    for (size_t sent = 0; sent < jobs;) {
        const size_t count = jobs - sent < GROUP ? jobs - sent : GROUP;
        for (size_t i = 0; i < count; i++)
            peer_payload(payloads[i], c->sequence++);
        check(c, jobq_submit_many(c->client, group, count, NULL), "submit");
        sent += count;
    }
    check(c, jobq_flush(c->client, -1), "flush");
}

static void take_items(struct conn *c, size_t jobs)
{
    static struct jobq_item *items[BATCH];
    size_t count;

    for (size_t taken = 0; taken < jobs; taken += count) {
        const size_t left = jobs - taken;
        check(c, jobq_get_many(c->jobs, left < BATCH ? left : BATCH, -1, items, &count), "get");
        check(c, jobq_task_done_start(items, count), "done");
    }
    check(c, jobq_flush(c->client, -1), "flush");
}

static void drain(void *conn, size_t jobs)
{
    struct conn *c = conn;

    if (!c->is_items) {
        check(c, jobq_queue_resume(c->jobs), "resume");
        check(c, jobq_join(c->jobs, -1), "join");
        return;
    }
    take_items(c, jobs);
}

static void put(struct conn *c, struct jobq_queue *queue)
{
    char payload[PEER_PAYLOAD];

    peer_payload(payload, c->sequence++);
    check(c, jobq_put(queue, payload, sizeof payload, 0, -1), "put");
}

static void call(void *conn)
{
    struct conn *c = conn;
    struct jobq_item *result;

    if (!c->is_items) {
        call_job(c);
        return;
    }
    put(c, c->jobs);
    check(c, jobq_get(c->results, -1, &result), "get");
    check(c, jobq_task_done_start(&result, 1), "done"); /* leaves with the next call */
}

static void serve(void *conn, size_t jobs)
{
    struct conn *c = conn;
    struct jobq_item *item;

    for (size_t i = 0; i < jobs; i++) {
        check(c, jobq_get(c->jobs, -1, &item), "get");
        put(c, c->results);
        check(c, jobq_task_done_start(&item, 1), "done");
    }
    check(c, jobq_flush(c->client, -1), "flush");
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .name = "jobq",
        .open = open_conn,
        .close = close_conn,
        .fill = fill,
        .drain = drain,
        .call = call,
        .serve = serve,
        .has_workers = has_workers,
    };

    return peer_main(argc, argv, &peer);
}
