/* SPDX-License-Identifier: MIT
 *
 * test_core_random.c - random clients, workers, losses and crashes against the core, with a model
 * that knows nothing of it: T1 to T6 of broker/STATES.md. A failing seed is printed; run it alone
 * by JOBQ_SEED=n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/rng.h"
#include "tests/support/core_driver.h"

enum {
    SEEDS = 100,
    STEPS = 400,
    CLIENTS = 3,
    WORKERS = 3,
    HELD_MAX = 64,
    JOBS_MAX = 8192,
    REQUESTS_MAX = 512,
};

struct request {
    uint64_t first_id; /* 0: not answered yet */
    uint32_t count;
    uint64_t flags;
};

struct client {
    uint64_t session, peer;
    uint64_t next, answered; /* request numbers */
    struct request requests[REQUESTS_MAX];
};

struct held {
    struct jq_held job;
    bool sent; /* its DONE left at least once */
    int64_t code;
};

struct worker {
    uint64_t session, peer;
    uint64_t received, slots;
    bool needs_hello;
    struct held held[HELD_MAX];
    size_t count;
    struct jq_held past[16]; /* given up or acknowledged: zombies tell of them again */
    size_t past_count;
};

struct job {
    uint64_t granted_fence; /* greatest that a worker has read */
    bool acknowledged;
    bool accepted; /* one of its outcomes was acknowledged */
    uint64_t accepted_fence;
    bool told; /* a result was told */
    uint64_t state;
    int64_t code;
};

struct world {
    struct driver d;
    struct jq_rng rng;
    struct client clients[CLIENTS];
    struct worker workers[WORKERS];
    struct job jobs[JOBS_MAX];
    uint64_t correlation;
    uint64_t next_session;
};

static bool one_in(struct world *w, uint64_t n)
{
    return jq_rng_below(&w->rng, n) == 0;
}

/* ---- what peers read ---- */

static struct job *job_of(struct world *w, uint64_t id)
{
    assert_true(id > 0 && id < JOBS_MAX);
    return &w->jobs[id];
}

static void read_submitted(struct world *w, struct client *client, const struct jq_msg *msg)
{
    struct request *request = &client->requests[msg->correlation % REQUESTS_MAX];

    if (!msg->u.submitted.durable)
        return;
    assert_int_equal(msg->u.submitted.count, request->count);
    if (request->first_id)
        assert_int_equal(request->first_id, msg->u.submitted.first_id); /* T2 */
    request->first_id = msg->u.submitted.first_id;
    for (uint32_t i = 0; i < request->count; i++)
        job_of(w, request->first_id + i)->acknowledged = true;
}

static void read_results(struct world *w, const struct jq_msg *msg)
{
    struct jq_result result;

    for (struct jq_reader r = jq_records_reader(msg->u.results.results);
         jq_result_next(&r, &result);) {
        struct job *job = job_of(w, result.id);
        assert_int_equal(result.error, 0); /* T1 */
        if (job->told) {                   /* T3 */
            assert_int_equal(job->state, result.state);
            assert_int_equal(job->code, result.code);
        }
        job->told = true;
        job->acknowledged = true;
        job->state = result.state;
        job->code = result.code;
    }
}

static void read_grants(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    struct jq_grant grant;

    for (struct jq_reader r = jq_records_reader(msg->u.grants.jobs); jq_grant_next(&r, &grant);) {
        assert_true(worker->count < HELD_MAX);
        struct job *job = job_of(w, grant.id);
        job->granted_fence = grant.fence > job->granted_fence ? grant.fence : job->granted_fence;
        worker->received++;
        worker->held[worker->count++] =
            (struct held){ .job = { .id = grant.id, .fence = grant.fence } };
    }
}

static void drop_held(struct worker *worker, struct jq_held which)
{
    worker->past[worker->past_count++ % 16] = which;
    for (size_t i = 0; i < worker->count; i++)
        if (worker->held[i].job.id == which.id && worker->held[i].job.fence == which.fence)
            worker->held[i--] = worker->held[--worker->count];
}

static void read_acks(struct world *w, struct worker *worker, const struct jq_msg *msg)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(msg->u.done_ack.each); jq_held_next(&r, &held);) {
        struct job *job = job_of(w, held.id);
        if (job->accepted)
            assert_int_equal(job->accepted_fence, held.fence); /* T4 */
        assert_true(held.fence >= job->granted_fence);         /* T5 */
        job->accepted = true;
        job->accepted_fence = held.fence;
        drop_held(worker, held);
    }
    for (struct jq_reader r = jq_records_reader(msg->u.done_ack.fenced); jq_held_next(&r, &held);)
        drop_held(worker, held);
}

static void read_welcome(struct worker *worker, const struct jq_msg *msg)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(msg->u.welcome.lost); jq_held_next(&r, &held);)
        drop_held(worker, held);
    worker->received = 0;
    worker->needs_hello = false;
}

static void client_reads(struct world *w, struct client *client, bool lose)
{
    struct driver_frame frame;

    while (driver_take(&w->d, client->peer, &frame)) {
        if (!lose && frame.msg.tag == JQ_MSG_SUBMITTED)
            read_submitted(w, client, &frame.msg);
        else if (!lose && frame.msg.tag == JQ_MSG_RESULTS)
            read_results(w, &frame.msg);
        driver_frame_free(&frame);
    }
}

static void worker_reads(struct world *w, struct worker *worker, bool lose)
{
    struct driver_frame frame;

    while (driver_take(&w->d, worker->peer, &frame)) {
        if (frame.msg.tag == JQ_MSG_ERROR && frame.msg.u.error.error == JQ_ENOHELLO)
            worker->needs_hello = true;
        else if (lose)
            worker->needs_hello = true; /* frames are lost only with their connection */
        else if (frame.msg.tag == JQ_MSG_GRANTS)
            read_grants(w, worker, &frame.msg);
        else if (frame.msg.tag == JQ_MSG_DONE_ACK)
            read_acks(w, worker, &frame.msg);
        else if (frame.msg.tag == JQ_MSG_WELCOME)
            read_welcome(worker, &frame.msg);
        driver_frame_free(&frame);
    }
}

/* ---- what peers do ---- */

static void client_hello(struct world *w, struct client *client)
{
    w->d.fail_in = -1;
    client_reads(w, client, true);
    client->peer = driver_client(&w->d, client->session);
}

static void worker_hello(struct world *w, struct worker *worker)
{
    struct jq_held held[HELD_MAX];

    w->d.fail_in = -1;
    worker_reads(w, worker, true);
    for (size_t i = 0; i < worker->count; i++)
        held[i] = worker->held[i].job;
    worker->peer = driver_worker_back(&w->d, worker->session, held, (uint32_t)worker->count);
    worker_reads(w, worker, false);
    assert_false(worker->needs_hello);
}

static void client_submits(struct world *w, struct client *client)
{
    const bool again = client->next > client->answered + 1 && one_in(w, 3);
    const uint64_t number =
        again ? client->answered + 1 + jq_rng_below(&w->rng, client->next - client->answered - 1)
              : client->next;
    struct request *request = &client->requests[number % REQUESTS_MAX];

    if (!again) {
        if (client->next >= client->answered + REQUESTS_MAX / 2)
            return;
        client->next++;
        *request = (struct request){
            .count = 1 + (uint32_t)jq_rng_below(&w->rng, 4),
            .flags = one_in(w, 3) ? JQ_SUBMIT_CALL : 0,
        };
    }
    while (client->answered + 1 < client->next &&
           client->requests[(client->answered + 1) % REQUESTS_MAX].first_id && one_in(w, 2) &&
           client->answered + 1 < number)
        client->answered++;
    driver_submit(&w->d, client->peer,
                  (struct driver_submit){ .number = number,
                                          .answered = client->answered,
                                          .count = request->count,
                                          .flags = request->flags });
}

static void client_waits(struct world *w, struct client *client)
{
    const uint64_t id = 1 + jq_rng_below(&w->rng, 50);
    if (job_of(w, id)->acknowledged)
        driver_wait(&w->d, client->peer, 100000 + ++w->correlation, id);
}

static void worker_finishes(struct world *w, struct worker *worker)
{
    if (worker->count == 0)
        return;
    struct held *held = &worker->held[jq_rng_below(&w->rng, worker->count)];
    if (!held->sent)
        held->code = (int64_t)jq_rng_below(&w->rng, 2);
    held->sent = true;
    driver_done(&w->d, worker->peer, held->job, JQ_OUTCOME_EXITED, held->code);
}

static void zombie_tells(struct world *w, struct worker *worker)
{
    const size_t count = worker->past_count < 16 ? worker->past_count : 16;
    if (count)
        driver_done(&w->d, worker->peer, worker->past[jq_rng_below(&w->rng, count)],
                    JQ_OUTCOME_EXITED, 1);
}

static void worker_credits(struct world *w, struct worker *worker)
{
    (void)w;
    driver_credit(&w->d, worker->peer, worker->received + worker->slots - worker->count);
}

static void worker_dies(struct world *w, struct worker *worker)
{
    worker_reads(w, worker, true);
    worker->count = 0;
    worker->session = ++w->next_session;
    worker_hello(w, worker);
}

static void crash(struct world *w)
{
    /* What was sent before the crash may have arrived. */
    for (size_t i = 0; i < CLIENTS; i++)
        client_reads(w, &w->clients[i], one_in(w, 2));
    for (size_t i = 0; i < WORKERS; i++)
        worker_reads(w, &w->workers[i], one_in(w, 2));
    w->d.fail_in = -1;
    driver_crash(&w->d);
    for (size_t i = 0; i < CLIENTS; i++)
        w->clients[i].peer = driver_client(&w->d, w->clients[i].session);
    for (size_t i = 0; i < WORKERS; i++)
        if (one_in(w, 2))
            worker_hello(w, &w->workers[i]);
        else
            w->workers[i].needs_hello = true;
}

/* ---- the run ---- */

static void begin(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    jq_rng_init(&w->rng, seed);
    driver_open(&w->d);
    w->d.conf.crashes_max = UINT32_MAX; /* T1 wants every job to end by an outcome */
    driver_crash(&w->d);
    w->next_session = 1000;
    for (size_t i = 0; i < CLIENTS; i++) {
        w->clients[i].session = i + 1;
        w->clients[i].next = 1;
        w->clients[i].peer = driver_client(&w->d, i + 1);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        w->workers[i].session = ++w->next_session;
        w->workers[i].slots = 1 + jq_rng_below(&w->rng, 6);
        worker_hello(w, &w->workers[i]);
    }
}

static void step(struct world *w)
{
    struct client *client = &w->clients[jq_rng_below(&w->rng, CLIENTS)];
    struct worker *worker = &w->workers[jq_rng_below(&w->rng, WORKERS)];

    if (worker->needs_hello)
        worker_hello(w, worker);
    if (one_in(w, 8))
        w->d.fail_in = (int64_t)jq_rng_below(&w->rng, 30);
    switch (jq_rng_below(&w->rng, 12)) {
    case 0:
    case 1:
        client_submits(w, client);
        break;
    case 2:
        client_waits(w, client);
        break;
    case 3:
    case 4:
        worker_finishes(w, worker);
        break;
    case 5:
        worker_credits(w, worker);
        break;
    case 6:
        driver_hand_over(&w->d);
        break;
    case 7:
        driver_commit(&w->d);
        break;
    case 8:
        client_reads(w, client, false);
        break;
    case 9:
        worker_reads(w, worker, false);
        break;
    case 10:
        driver_tick(&w->d, (jq_ms)jq_rng_below(&w->rng, one_in(w, 20) ? 20000 : 100));
        break;
    default:
        if (one_in(w, 6))
            crash(w);
        else if (one_in(w, 4))
            client_hello(w, client);
        else if (one_in(w, 4))
            worker_hello(w, worker);
        else if (one_in(w, 4))
            worker_dies(w, worker);
        else
            zombie_tells(w, worker);
        break;
    }
    if (w->d.batch_count == DRIVER_BATCHES_MAX)
        driver_commit(&w->d);
}

/* T1: workers go on working, and every acknowledged job has ended. */
static void run_dry(struct world *w)
{
    struct client *client = &w->clients[0];

    w->d.fail_in = -1;
    for (int round = 0; round < 3000; round++) {
        uint64_t held = 0;
        for (size_t i = 0; i < WORKERS; i++) {
            struct worker *worker = &w->workers[i];
            worker_reads(w, worker, false);
            if (worker->needs_hello)
                worker_hello(w, worker);
            worker_credits(w, worker);
            worker_reads(w, worker, false);
            for (size_t n = worker->count; n > 0; n--)
                worker_finishes(w, worker);
            held += worker->count;
        }
        driver_commit(&w->d);
        for (size_t i = 0; i < CLIENTS; i++)
            client_reads(w, &w->clients[i], false);
        driver_tick(&w->d, 1000);
        if (round > 40 && held == 0)
            break;
    }
    client_hello(w, client);
    for (uint64_t id = 1; id < JOBS_MAX; id++) {
        if (!w->jobs[id].acknowledged || w->jobs[id].told)
            continue;
        driver_wait(&w->d, client->peer, 100000 + ++w->correlation, id);
        driver_commit(&w->d);
        client_reads(w, client, false);
        if (!w->jobs[id].told)
            fail_msg("job %llu was acknowledged and has no result", (unsigned long long)id);
    }
}

static uint64_t run(uint64_t seed)
{
    static struct world w;

    begin(&w, seed);
    for (int i = 0; i < STEPS; i++)
        step(&w);
    run_dry(&w);
    const uint64_t hash = jq_core_hash(w.d.core);
    driver_close(&w.d);
    return hash;
}

static uint64_t running_seed; /* 0: none has failed */

static void nothing_acknowledged_is_lost_or_doubled_whatever_breaks(void **state)
{
    const char *only = getenv("JOBQ_SEED");
    const uint64_t first = only ? strtoull(only, NULL, 10) : 1;

    (void)state;
    for (uint64_t seed = first; seed < first + (only ? 1 : SEEDS); seed++) {
        running_seed = seed;
        const uint64_t hash = run(seed);
        if (seed % 10 == 0)
            assert_int_equal(run(seed), hash); /* T6 */
    }
    running_seed = 0;
}

static int tell_seed(void **state)
{
    (void)state;
    if (running_seed)
        print_error("the seed was %llu\n", (unsigned long long)running_seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_acknowledged_is_lost_or_doubled_whatever_breaks,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
