/* SPDX-License-Identifier: MIT
 *
 * test_core_dag_random.c - random graphs of a thousand jobs, with nodes that fail, cancels, workers
 * that die, memory that runs out and crashes at any point: T7 of broker/STATES.md. What each node
 * must become follows from how it behaves and from how its parents ended, and from nothing that the
 * core says. A failing seed is printed; run it alone by JOBQ_SEED=n. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/rng.h"
#include "tests/unit/core/life_claims.h"

enum {
    NODES = 1000,
    PARENTS = 4,
    WORKERS = 2,
    SLOTS = 6,
    GROUP = 8,
    QUEUES = 3,
    IDS = 4 * NODES,
    LEASE_MS = 300,
    LIMIT = 3,
    RESIDENT = 8, /* of those that spill */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SEEDS = 3,
#else
    SEEDS = 16,
#endif
};

enum behaviour { SUCCEEDS, FAILS, EITHER };

struct node {
    uint32_t parents[PARENTS];
    enum jq_after kinds[PARENTS];
    uint32_t parent_count;
    enum behaviour behaviour;
    uint32_t attempts;
    uint64_t delay_ms;
    uint32_t queue;
    bool mutex, limit, cancelled;
    uint64_t id; /* 0: not told yet */
    enum jq_job_state state;
};

struct runner {
    uint64_t session, peer, received;
    struct jq_held held[SLOTS];
    uint32_t nodes[SLOTS];
    size_t count;
};

struct graph {
    struct driver d;
    struct jq_rng rng;
    struct node nodes[NODES];
    struct runner runners[WORKERS];
    uint64_t client, next_session;
    uint64_t number;           /* of the last SUBMIT; its nodes are */
    uint32_t told, from, upto; /* nodes that have ids; [from, upto) are being submitted */
    uint64_t rows, total[QUEUES][JQ_JOB_STATES];
};

static uint64_t resident_jobs_max; /* 0: all are in memory */
static uint64_t pages_read;
static const char *const queue_names[QUEUES] = { "a", "b", "c" };

static bool one_in(struct graph *g, uint64_t n)
{
    return jq_rng_below(&g->rng, n) == 0;
}

/* ---- the graph ---- */

static void make_node(struct graph *g, uint32_t index)
{
    struct node *node = &g->nodes[index];

    *node = (struct node){
        .behaviour = one_in(g, 8)   ? FAILS
                     : one_in(g, 6) ? EITHER
                                    : SUCCEEDS,
        .attempts = 1 + (uint32_t)jq_rng_below(&g->rng, 3),
        .delay_ms = one_in(g, 6) ? jq_rng_below(&g->rng, 100) : 0,
        .queue = (uint32_t)jq_rng_below(&g->rng, QUEUES),
        .mutex = one_in(g, 8),
        .limit = one_in(g, 5),
    };
    if (resident_jobs_max && one_in(g, 2)) { /* one that may leave memory */
        node->mutex = node->limit = false;
        node->delay_ms = 0;
        return;
    }
    if (g->told == 0)
        return;
    node->parent_count = (uint32_t)jq_rng_below(&g->rng, PARENTS + 1);
    for (uint32_t i = 0; i < node->parent_count; i++) {
        /* Mostly young ones, which have not ended; the same may come twice. */
        const uint32_t back = one_in(g, 3) ? g->told : g->told < 30 ? g->told : 30;
        node->parents[i] = g->told - 1 - (uint32_t)jq_rng_below(&g->rng, back);
        node->kinds[i] = one_in(g, 6) ? JQ_AFTER_FAIL : one_in(g, 2) ? JQ_AFTER_ANY : JQ_AFTER_OK;
    }
}

static void write_spec(struct graph *g, uint32_t index, struct jq_buf *jobs)
{
    const struct node *node = &g->nodes[index];
    struct jq_job_options options = { .delay_ms = node->delay_ms,
                                      .attempts_max = node->attempts,
                                      .backoff_ms = 20 };
    struct claim_lists lists = { 0 };
    struct jq_buf encoded = { 0 };
    char payload[16];

    for (uint32_t i = 0; i < node->parent_count; i++)
        claim_after(&lists, g->nodes[node->parents[i]].id, node->kinds[i]);
    if (node->mutex)
        claim_mutex(&lists, "m");
    if (node->limit)
        claim_limit(&lists, "l", LIMIT);
    claim_lists_into(&lists, &options);
    jq_job_options_write(&encoded, &options);
    snprintf(payload, sizeof payload, "%u", index);
    const struct jq_job_spec spec = {
        .handler = jq_view_str("noop"),
        .payload = jq_view_str(payload),
        .options = jq_buf_view(&encoded),
    };
    jq_job_spec_write(jobs, &spec);
    jq_buf_fini(&encoded);
    claim_lists_fini(&lists);
}

/* All of one SUBMIT go to the queue of the first. */
static void submit(struct graph *g)
{
    struct jq_buf jobs = { 0 };

    if (g->from == g->upto) {
        const uint32_t count = 1 + (uint32_t)jq_rng_below(&g->rng, GROUP);
        g->upto = g->from + count < NODES ? g->from + count : NODES;
        for (uint32_t i = g->from; i < g->upto; i++) {
            make_node(g, i);
            g->nodes[i].queue = g->nodes[g->from].queue;
        }
        g->number++;
    }
    if (g->from == g->upto)
        return; /* all are there */
    for (uint32_t i = g->from; i < g->upto; i++)
        write_spec(g, i, &jobs);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = g->number,
        .u.submit = { .answered = g->number - 1,
                      .queue = jq_view_str(queue_names[g->nodes[g->from].queue]),
                      .jobs = jq_records_of(g->upto - g->from, &jobs) },
    };
    driver_apply(&g->d, g->client, &msg);
    jq_buf_fini(&jobs);
}

static void cancel(struct graph *g)
{
    struct jq_buf refs = { 0 };
    const uint32_t young = g->told < 40 ? g->told : 40;
    struct node *node = young ? &g->nodes[g->told - 1 - jq_rng_below(&g->rng, young)] : NULL;

    if (!node)
        return;
    node->cancelled = true;
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = node->id });
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .correlation = 1 << 30,
        .u.cancel = { .jobs = jq_records_of(1, &refs) },
    };
    driver_apply(&g->d, g->client, &msg);
    jq_buf_fini(&refs);
}

static void client_reads(struct graph *g)
{
    struct driver_frame frame;

    while (driver_take(&g->d, g->client, &frame)) {
        const struct jq_submitted *submitted = &frame.msg.u.submitted;
        if (frame.msg.tag == JQ_MSG_ERROR)
            assert_true(frame.msg.u.error.error == JQ_EBUSY ||
                        frame.msg.u.error.error == JQ_ENOHELLO);
        if (frame.msg.tag == JQ_MSG_SUBMITTED && frame.msg.correlation == g->number &&
            g->from < g->upto) {
            assert_int_equal(submitted->count, g->upto - g->from);
            for (uint32_t i = g->from; i < g->upto; i++)
                g->nodes[i].id = submitted->first_id + (i - g->from);
            g->told = g->from = g->upto;
        }
        driver_frame_free(&frame);
    }
}

/* ---- workers ---- */

static void drop(struct runner *runner, size_t i)
{
    runner->held[i] = runner->held[--runner->count];
    runner->nodes[i] = runner->nodes[runner->count];
}

static uint32_t index_of(struct jq_view payload)
{
    char text[16];

    snprintf(text, sizeof text, "%.*s", JQ_VIEW_ARG(payload));
    return (uint32_t)strtoul(text, NULL, 10);
}

/* A job starts when all before it have ended, and under its limits. */
static void may_start(struct graph *g, uint32_t index)
{
    const struct node *node = &g->nodes[index];
    uint32_t mutexes = 0, limits = 0;

    for (uint32_t i = 0; i < node->parent_count; i++) {
        const struct jq_job *parent = jq_job_find(g->d.core, g->nodes[node->parents[i]].id);
        assert_true(!parent || jq_state_is_terminal(parent->state));
    }
    for (size_t w = 0; w < WORKERS; w++) {
        for (size_t i = 0; i < g->runners[w].count; i++) {
            mutexes += g->nodes[g->runners[w].nodes[i]].mutex;
            limits += g->nodes[g->runners[w].nodes[i]].limit;
        }
    }
    assert_true(mutexes <= 1);
    assert_true(limits <= LIMIT);
}

static void read_grants(struct graph *g, struct runner *runner, const struct jq_msg *msg)
{
    struct jq_grant grant;

    for (struct jq_reader r = jq_records_reader(msg->u.grants.jobs); jq_grant_next(&r, &grant);) {
        assert_true(runner->count < SLOTS);
        runner->held[runner->count] = (struct jq_held){ .id = grant.id, .fence = grant.fence };
        runner->nodes[runner->count++] = index_of(grant.payload);
        runner->received++;
        may_start(g, index_of(grant.payload));
    }
}

static void read_lost(struct runner *runner, struct jq_records lost)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(lost); jq_held_next(&r, &held);)
        for (size_t i = 0; i < runner->count; i++)
            if (runner->held[i].id == held.id && runner->held[i].fence == held.fence)
                drop(runner, i--);
}

static void runner_reads(struct graph *g, struct runner *runner)
{
    struct driver_frame frame;

    while (driver_take(&g->d, runner->peer, &frame)) {
        if (frame.msg.tag == JQ_MSG_GRANTS) {
            read_grants(g, runner, &frame.msg);
        } else if (frame.msg.tag == JQ_MSG_WELCOME) {
            read_lost(runner, frame.msg.u.welcome.lost);
            runner->received = 0;
        } else if (frame.msg.tag == JQ_MSG_KILLS) {
            /* It ends by itself, as if it had not minded. */
        }
        driver_frame_free(&frame);
    }
}

static void credit(struct graph *g, struct runner *runner)
{
    runner_reads(g, runner);
    driver_credit(&g->d, runner->peer, runner->received + SLOTS - runner->count);
    runner_reads(g, runner);
}

/* It forgets the job at once. So one whose end is lost in a crash was never received, as far as the
 * broker can see, and runs again. */
static void finish(struct graph *g, struct runner *runner)
{
    runner_reads(g, runner);
    if (runner->count == 0)
        return;
    const size_t i = jq_rng_below(&g->rng, runner->count);
    const struct node *node = &g->nodes[runner->nodes[i]];
    const bool bad = node->behaviour == FAILS || (node->behaviour == EITHER && one_in(g, 2));
    const struct jq_held held = runner->held[i];
    drop(runner, i);
    driver_done(&g->d, runner->peer, held, JQ_OUTCOME_EXITED, bad);
}

static void runner_hello(struct graph *g, struct runner *runner)
{
    g->d.fail_in = -1;
    runner->peer =
        driver_worker_back(&g->d, runner->session, runner->held, (uint32_t)runner->count);
    if (resident_jobs_max && g->d.read_count)
        driver_commit(&g->d); /* what it holds may be in the store alone: that is read first */
    runner_reads(g, runner);
}

/* With all it runs; it comes back as another. */
static void runner_dies(struct graph *g, struct runner *runner)
{
    runner_reads(g, runner);
    runner->count = 0;
    runner->session = ++g->next_session;
    runner_hello(g, runner);
}

/* ---- the broker ---- */

static void client_hello(struct graph *g)
{
    g->d.fail_in = -1;
    client_reads(g);
    g->client = driver_client(&g->d, 1);
}

static void all_here(struct graph *g)
{
    for (size_t w = 0; w < WORKERS; w++)
        if (!jq_peer_find(g->d.core, g->runners[w].peer))
            runner_hello(g, &g->runners[w]);
    if (!jq_peer_find(g->d.core, g->client))
        client_hello(g);
}

static void crash(struct graph *g)
{
    for (size_t w = 0; w < WORKERS; w++)
        runner_reads(g, &g->runners[w]);
    if (one_in(g, 2))
        driver_hand_over(&g->d); /* taken, and not committed */
    g->d.fail_in = -1;
    driver_crash(&g->d);
    all_here(g);
}

/* Memory runs out between an end and what follows from it, then the broker is killed. */
static void torn(struct graph *g, struct runner *runner)
{
    g->d.fail_in = (int64_t)jq_rng_below(&g->rng, 12);
    finish(g, runner);
    driver_commit(&g->d);
    crash(g);
}

static void pass(struct graph *g, jq_ms ms)
{
    const struct jq_msg ping = { .tag = JQ_MSG_PING };

    g->d.fail_in = -1;
    all_here(g);
    driver_apply(&g->d, g->client, &ping);
    for (size_t w = 0; w < WORKERS; w++)
        driver_apply(&g->d, g->runners[w].peer, &ping);
    driver_tick(&g->d, ms);
}

static void step(struct graph *g)
{
    struct runner *runner = &g->runners[jq_rng_below(&g->rng, WORKERS)];

    all_here(g);
    g->d.fail_in = one_in(g, 6) ? (int64_t)jq_rng_below(&g->rng, 40) : -1;
    switch (jq_rng_below(&g->rng, 16)) {
    case 0:
    case 1:
    case 2:
        client_reads(g);
        submit(g);
        break;
    case 3:
    case 4:
        driver_commit(&g->d);
        break;
    case 5:
        driver_hand_over(&g->d);
        break;
    case 6:
        pass(g, (jq_ms)jq_rng_below(&g->rng, 60));
        break;
    case 7:
        if (one_in(g, 4))
            cancel(g);
        else if (one_in(g, 10))
            crash(g);
        else if (one_in(g, 10))
            torn(g, runner);
        else if (one_in(g, 20))
            runner_dies(g, runner);
        break;
    case 8:
    case 9:
    case 10:
        credit(g, runner);
        break;
    default:
        finish(g, runner);
        break;
    }
    if (g->d.batch_count == DRIVER_BATCHES_MAX)
        driver_commit(&g->d);
}

static uint64_t unfinished(const struct graph *g)
{
    uint64_t count = 0;

    for (int q = 0; q < QUEUES; q++) {
        const struct jq_queue *queue = claim_queue(&g->d, queue_names[q]);
        count += queue ? jq_queue_unfinished(queue) : 0;
    }
    return count;
}

/* ---- the model ---- */

static enum jq_err read_row(void *arg, const struct jq_loaded_job *row)
{
    struct graph *g = arg;

    for (uint32_t i = 0; i < NODES; i++) {
        if (g->nodes[i].id != row->job.id)
            continue;
        g->nodes[i].state = row->job.state;
        g->total[g->nodes[i].queue][row->job.state]++;
        g->rows++;
        return JQ_OK;
    }
    fail_msg("job %llu is nobody's", (unsigned long long)row->job.id);
    return JQ_OK;
}

static bool satisfied(const struct graph *g, const struct node *node)
{
    for (uint32_t i = 0; i < node->parent_count; i++) {
        const enum jq_job_state ended = g->nodes[node->parents[i]].state;
        if (node->kinds[i] == JQ_AFTER_OK && ended != JQ_SUCCEEDED)
            return false;
        if (node->kinds[i] == JQ_AFTER_FAIL && ended == JQ_SUCCEEDED)
            return false;
    }
    return true;
}

static void as_it_must(const struct graph *g, uint32_t index)
{
    const struct node *node = &g->nodes[index];
    bool right = false;

    if (node->state == JQ_CANCELLED)
        right = node->cancelled;
    else if (!satisfied(g, node))
        right = node->state == JQ_SKIPPED;
    else if (node->state == JQ_SUCCEEDED)
        right = node->behaviour != FAILS;
    else if (node->state == JQ_FAILED)
        right = node->behaviour != SUCCEEDS;
    if (!right)
        fail_msg("node %u, job %llu, ended as %s", index, (unsigned long long)node->id,
                 jq_state_name(node->state));
}

static void check(struct graph *g)
{
    const struct jq_read all = { .kind = JQ_READ_OLDEST, .limit = UINT32_MAX };
    bool more;

    assert_int_equal(g->d.backend->ops->read(g->d.backend, &all, read_row, g, &more), JQ_OK);
    assert_int_equal(g->rows, NODES); /* each once, and each has ended */
    for (uint32_t i = 0; i < NODES; i++)
        as_it_must(g, i);
    for (int q = 0; q < QUEUES; q++) {
        const struct jq_queue *queue = claim_queue(&g->d, queue_names[q]);
        uint64_t kept = 0;
        for (int state = 0; state < JQ_JOB_STATES; state++) {
            assert_int_equal(queue->by_state[state], g->total[q][state]);
            kept += g->total[q][state];
        }
        assert_int_equal(queue->kept, kept);
    }
    assert_true(jq_dlist_empty(&g->d.core->limits_in_order));
    assert_int_equal(g->d.core->uniques.count, 0);
}

static uint64_t run(uint64_t seed)
{
    static struct graph graph; /* large */
    struct graph *g = &graph;

    *g = (struct graph){ .next_session = 100 };
    jq_rng_init(&g->rng, seed);
    driver_open(&g->d);
    g->d.conf.lease_ms = LEASE_MS;
    g->d.conf.settle_ms = 50;
    g->d.conf.crashes_max = 1000000;
    if (resident_jobs_max)
        g->d.conf.resident_jobs_max = resident_jobs_max;
    driver_crash(&g->d);
    for (size_t w = 0; w < WORKERS; w++)
        g->runners[w].session = ++g->next_session;
    for (int steps = 0; g->told < NODES || unfinished(g); steps++) {
        assert_true(steps < 200 * NODES);
        step(g);
        if (steps % 50 == 49)
            pass(g, 20);
    }
    driver_commit(&g->d);
    check(g);
    driver_crash(&g->d);
    assert_int_equal(unfinished(g), 0);
    const uint64_t hash = g->d.ops_committed;
    pages_read += g->d.pages_read;
    driver_close(&g->d);
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
        const uint64_t ops = run(seed);
        if (seed == first)
            assert_int_equal(run(seed), ops); /* T6 */
    }
    running_seed = 0;
    assert_true((pages_read > 0) == (jobs_max > 0));
}

static void every_node_ends_as_its_parents_and_its_edges_say_whatever_breaks(void **state)
{
    (void)state;
    run_all(0);
}

static void so_do_those_that_are_in_the_store_alone(void **state)
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
        cmocka_unit_test_teardown(every_node_ends_as_its_parents_and_its_edges_say_whatever_breaks,
                                  tell_seed),
        cmocka_unit_test_teardown(so_do_those_that_are_in_the_store_alone, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
