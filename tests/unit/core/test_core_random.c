/* SPDX-License-Identifier: MIT
 *
 * test_core_random.c - random clients, workers, losses and crashes against the core, with a model
 * that knows nothing of it: T1 to T6 and T8 of broker/STATES.md. A failing seed is printed; run it
 * alone by JOBQ_SEED=n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/random_world.h"

enum {
    SEEDS = 60,
    STEPS = 500,
    RESIDENT = 8, /* of those that spill */
};

static uint64_t resident_jobs_max; /* 0: all are in memory */
static uint64_t pages_read;

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
    if (resident_jobs_max && w->d.read_count)
        driver_commit(&w->d); /* what it holds may be in the store alone: that is read first */
    worker_reads(w, worker, false);
    assert_false(worker->needs_hello);
}

static void new_request(struct world *w, struct request *ret)
{
    *ret = (struct request){
        .count = 1 + (uint32_t)jq_rng_below(&w->rng, 4),
        .flags = one_in(w, 3) ? JQ_SUBMIT_CALL : 0,
        .wants_results = one_in(w, 2),
        .job_flags = one_in(w, 4)   ? JQ_JOB_DISCARD
                     : one_in(w, 6) ? JQ_JOB_TIE
                                    : 0,
    };
    if (one_in(w, 5)) { /* a job with a key is kept */
        ret->key = world_keys[jq_rng_below(&w->rng, KEYS)];
        ret->count = 1;
        ret->job_flags = 0;
    }
}

static bool is_answered(const struct request *request)
{
    return request->flags & JQ_SUBMIT_CALL ? request->results >= request->count
                                           : request->first_id != 0;
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
        new_request(w, request);
    }
    while (client->answered + 1 < number && one_in(w, 2) &&
           is_answered(&client->requests[(client->answered + 1) % REQUESTS_MAX]))
        client->answered++;
    driver_submit(&w->d, client->peer,
                  (struct driver_submit){ .number = number,
                                          .answered = client->answered,
                                          .count = request->count,
                                          .flags = request->flags,
                                          .results = request->wants_results,
                                          .job_flags = request->job_flags,
                                          .key = request->key });
}

/* A job that somebody was told of, or 0. Of those that spill, also one of the last. */
static uint64_t known_id(struct world *w)
{
    uint64_t upto = 60;

    while (resident_jobs_max && upto + 8 < JOBS_MAX && w->jobs[upto + 8].acknowledged)
        upto += 8;
    const uint64_t id = 1 + jq_rng_below(&w->rng, upto);
    return job_of(w, id)->acknowledged ? id : 0;
}

static void client_waits(struct world *w, struct client *client)
{
    const uint64_t id = known_id(w);
    if (id) /* some of them again, before the answer */
        driver_wait(&w->d, client->peer, WAITS_FROM + ++w->correlation / 2, id);
}

static void client_cancels(struct world *w, struct client *client)
{
    const uint64_t id = known_id(w);
    struct jq_buf refs = { 0 };

    if (!id || !one_in(w, 4))
        return;
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = id });
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .correlation = CANCELS_FROM + ++w->correlation,
        .u.cancel = { .jobs = jq_records_of(2, &refs) },
    };
    driver_apply(&w->d, client->peer, &msg);
    jq_buf_fini(&refs);
}

static void client_looks_on(struct world *w, struct client *client)
{
    const uint64_t id = known_id(w);

    client_reads(w, client, false); /* it goes on behind what it has read */
    const struct jq_msg watch = {
        .tag = one_in(w, 3) ? JQ_MSG_UNWATCH : JQ_MSG_WATCH,
        .correlation = WATCH,
        .u.watch = { .after = client->sequence },
    };
    const struct jq_msg read = {
        .tag = JQ_MSG_LOG_READ,
        .correlation = LOGS_FROM + jq_rng_below(&w->rng, 4),
        .u.log_read = { .id = id,
                        .stream = 1,
                        .offset = jq_rng_below(&w->rng, 6),
                        .limit = jq_rng_below(&w->rng, 4),
                        .follow = one_in(w, 2) },
    };

    driver_apply(&w->d, client->peer, id && one_in(w, 2) ? &read : &watch);
}

/* Its session ends; what it had submitted goes on, but for tied jobs. */
static void client_leaves(struct world *w, struct client *client)
{
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };

    driver_apply(&w->d, client->peer, &bye);
    w->d.fail_in = -1;
    client_reads(w, client, one_in(w, 2));
    client->session = ++w->next_session;
    client->next = 1;
    client->answered = 0;
    client->peer = driver_client(&w->d, client->session);
}

static void worker_finishes(struct world *w, struct worker *worker)
{
    if (worker->count == 0)
        return;
    struct held *held = &worker->held[jq_rng_below(&w->rng, worker->count)];
    if (!held->sent)
        held->code = (int64_t)jq_rng_below(&w->rng, 2);
    held->sent = true;
    driver_done(&w->d, worker->peer, held->job,
                held->killed ? JQ_OUTCOME_CANCELLED : JQ_OUTCOME_EXITED, held->code);
}

/* Gives back what it has not told the end of. */
static void worker_releases(struct world *w, struct worker *worker)
{
    struct jq_buf list = { 0 };

    if (worker->count == 0)
        return;
    const struct held *held = &worker->held[jq_rng_below(&w->rng, worker->count)];
    if (held->sent)
        return;
    const struct jq_held job = held->job;
    jq_held_write(&list, &job);
    jq_held_write(&list, &job);
    const struct jq_msg msg = {
        .tag = JQ_MSG_RELEASE,
        .u.release = { .jobs = jq_records_of(2, &list) },
    };
    drop_held(worker, job);
    driver_apply(&w->d, worker->peer, &msg);
    jq_buf_fini(&list);
}

static void worker_answers(struct world *w, struct worker *worker)
{
    static const char output[] = "hello";
    const struct jq_log_read *asked = &worker->asked;

    if (!worker->question)
        return;
    const struct jq_msg msg = {
        .tag = JQ_MSG_LOG_DATA,
        .correlation = worker->question,
        .u.log_data = { .id = asked->id,
                        .stream = asked->stream,
                        .offset = asked->offset,
                        .bytes = jq_view(output + asked->offset, 5 - (size_t)asked->offset),
                        .total = 5 },
    };
    if (!one_in(w, 4)) /* or twice */
        worker->question = 0;
    driver_apply(&w->d, worker->peer, &msg);
}

static void zombie_tells(struct world *w, struct worker *worker)
{
    const size_t count = worker->past_count < PAST_MAX ? worker->past_count : PAST_MAX;
    if (count)
        driver_done(&w->d, worker->peer, worker->past[jq_rng_below(&w->rng, count)],
                    JQ_OUTCOME_EXITED, 1);
}

static void worker_credits(struct world *w, struct worker *worker)
{
    (void)w;
    driver_credit(&w->d, worker->peer, worker->received + worker->slots - worker->count);
}

static void worker_ends(struct world *w, struct worker *worker)
{
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };

    if (one_in(w, 2)) /* or dies */
        driver_apply(&w->d, worker->peer, &bye);
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
    if (resident_jobs_max)
        w->d.conf.resident_jobs_max = resident_jobs_max;
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
    switch (jq_rng_below(&w->rng, 16)) {
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
        client_cancels(w, client);
        break;
    case 11:
        client_looks_on(w, client);
        break;
    case 12:
        worker_answers(w, worker);
        break;
    case 13:
        if (one_in(w, 4))
            worker_releases(w, worker);
        break;
    case 14:
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
            worker_ends(w, worker);
        else if (one_in(w, 6))
            client_leaves(w, client);
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
        driver_wait(&w->d, client->peer, WAITS_FROM + ++w->correlation, id);
        driver_commit(&w->d);
        client_reads(w, client, false);
        if (!w->jobs[id].told && !w->jobs[id].gone)
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
    pages_read += w.d.pages_read;
    driver_close(&w.d);
    return hash;
}

static uint64_t running_seed; /* 0: none has failed */

static void run_all(uint64_t jobs_max)
{
    const char *only = getenv("JOBQ_SEED");
    const uint64_t first = only ? strtoull(only, NULL, 10) : 1;

    resident_jobs_max = jobs_max;
    pages_read = 0;
    for (uint64_t seed = first; seed < first + (only ? 1 : SEEDS); seed++) {
        running_seed = seed;
        const uint64_t hash = run(seed);
        if (seed % 10 == 0)
            assert_int_equal(run(seed), hash); /* T6 */
    }
    running_seed = 0;
    assert_true((pages_read > 0) == (jobs_max > 0));
}

static void nothing_acknowledged_is_lost_or_doubled_whatever_breaks(void **state)
{
    (void)state;
    run_all(0);
}

static void nor_is_what_is_in_the_store_alone(void **state)
{
    (void)state;
    run_all(RESIDENT);
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
        cmocka_unit_test_teardown(nor_is_what_is_in_the_store_alone, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
