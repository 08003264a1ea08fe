/* SPDX-License-Identifier: MIT
 *
 * test_core_why.c - WHY: every reason why a job has not started or has ended has its word, its
 * subject and its sentence, outermost first. */
#include "tests/unit/core/core_claims.h"

#include "broker/core/parts.h"

enum { ASKING = 61, SECOND = 1000000000 };

static void submit(struct driver *d, uint64_t client, uint64_t number, const char *handler,
                   const struct jq_job_options *options)
{
    struct jq_buf encoded = { 0 }, jobs = { 0 };

    if (options)
        jq_job_options_write(&encoded, options);
    const struct jq_job_spec spec = {
        .handler = jq_view_str(handler),
        .payload = jq_view_str("p"),
        .options = jq_buf_view(&encoded),
    };
    jq_job_spec_write(&jobs, &spec);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = number,
        .u.submit = { .queue = jq_view_str("deploy"), .jobs = jq_records_of(1, &jobs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&encoded);
    jq_buf_fini(&jobs);
}

/* As if whoever decides so had: nothing where the job waits like that already. */
static struct jq_job *make_wait(struct driver *d, uint64_t id, enum jq_job_state state,
                                enum jq_hold hold, jq_ns due_at)
{
    struct jq_job *job = jq_job_find(d->core, id);

    assert_int_equal(jq_job_reserve(d->core, job), JQ_OK);
    if (job->state != state) {
        if (state == JQ_DELAYED) /* no arrow leads there from READY */
            jq_job_move(d->core, job, JQ_BLOCKED);
        if (due_at)
            job->extra->due_at = due_at;
        job->hold = hold;
        jq_job_move(d->core, job, state);
    }
    return job;
}

struct answer {
    struct driver_frame frame;
    struct jq_blocker list[64];
    uint32_t count;
};

static void ask(struct driver *d, uint64_t client, uint64_t id, struct answer *ret)
{
    const struct jq_msg msg = { .tag = JQ_MSG_WHY, .correlation = ASKING, .u.why = { .id = id } };

    driver_apply(d, client, &msg);
    driver_commit(d);
    ret->frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    ret->count = 0;
    for (struct jq_reader r = jq_records_reader(ret->frame.msg.u.because.blockers);
         jq_blocker_next(&r, &ret->list[ret->count]);)
        ret->count++;
}

static void expect(const struct answer *a, uint32_t at, const char *kind, uint64_t subject,
                   const char *text)
{
    assert_true(at < a->count);
    const struct jq_blocker *b = &a->list[at];
    if (!jq_view_equal(b->kind, jq_view_str(kind)) || !jq_view_equal(b->text, jq_view_str(text)) ||
        b->subject != subject)
        fail_msg("%.*s %llu: %.*s", JQ_VIEW_ARG(b->kind), (unsigned long long)b->subject,
                 JQ_VIEW_ARG(b->text));
}

/* All of one answer is this. */
static void expect_only(struct driver *d, uint64_t client, uint64_t id, const char *kind,
                        uint64_t subject, const char *text)
{
    struct answer a;

    ask(d, client, id, &a);
    expect(&a, 0, kind, subject, text);
    assert_int_equal(a.count, 1);
    driver_frame_free(&a.frame);
}

static void a_delayed_job_says_how_long_it_waits(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options options = { .delay_ms = 42000 };

    submit(d, client, 1, "noop", &options);
    struct jq_job *job = make_wait(d, 1, JQ_DELAYED, JQ_HOLD_NONE, d->now.wall + 42LL * SECOND);
    expect_only(d, client, 1, "delay", 42000, "delayed: 00:42 left");
    job->extra->due_at = d->now.wall + (3 * 86400LL + 3600 + 61) * SECOND;
    expect_only(d, client, 1, "delay", 262861000, "delayed: 3 d 1:01:01 left");
    job->failures = 2;
    job->attempt = 2;
    job->extra->due_at = d->now.wall + 3661LL * SECOND;
    expect_only(d, client, 1, "retry", 2, "2 of its attempts failed; the next in 1:01:01");
}

static void a_job_that_waits_for_others_names_them_and_what_they_do(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct jq_buf edges = { 0 };
    struct answer a;

    submit(d, client, 1, "noop", NULL); /* runs */
    driver_grant(d, worker);
    submit(d, client, 2, "noop", NULL); /* is ready */
    jq_dependency_write(&edges, &(struct jq_dependency){ .id = 1 });
    jq_dependency_write(&edges, &(struct jq_dependency){ .id = 2, .kind = JQ_AFTER_ANY });
    const struct jq_job_options options = { .after = jq_records_of(2, &edges) };
    submit(d, client, 3, "noop", &options);
    make_wait(d, 3, JQ_BLOCKED, JQ_HOLD_EDGES, 0);
    d->now.wall += 7LL * SECOND;
    ask(d, client, 3, &a);
    expect(&a, 0, "dependency", 1, "waits for job 1, which has been running for 00:07 on test");
    expect(&a, 1, "dependency", 2, "waits for job 2, which is ready");
    expect(&a, 2, "running", 1, "job 1: attempt 1 runs on worker test for 00:07");
    assert_int_equal(a.count, 3);
    driver_frame_free(&a.frame);
    jq_buf_fini(&edges);
}

static void chains_of_jobs_are_followed_and_bounded(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    for (uint64_t id = 2; id <= 20; id++) {
        struct jq_buf edges = { 0 };
        for (uint64_t parent = 1; parent < id; parent++)
            jq_dependency_write(&edges, &(struct jq_dependency){ .id = id - parent });
        const struct jq_job_options options = { .after = jq_records_of((uint32_t)id - 1, &edges) };
        submit(d, client, id, "noop", &options);
        make_wait(d, id, JQ_BLOCKED, JQ_HOLD_EDGES, 0);
        jq_buf_fini(&edges);
    }
    ask(d, client, 4, &a);
    assert_int_equal(a.count, 3 + 2 + 1 + 1);
    expect(&a, 0, "dependency", 3, "waits for job 3, which is blocked");
    expect(&a, 5, "dependency", 1, "job 2: waits for job 1, which is ready");
    expect(&a, 6, "no_worker", 0, "job 1: no worker is connected");
    driver_frame_free(&a.frame);
    ask(d, client, 20, &a);
    assert_int_equal(a.count, 64);
    expect(&a, 16, "dependency", 0, "and for 3 more jobs");
    driver_frame_free(&a.frame);
}

static void a_paused_queue_comes_before_all_else(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    jq_job_find(d->core, 1)->queue->paused = true;
    jq_queue_turn(d->core, jq_job_find(d->core, 1)->queue);
    ask(d, client, 1, &a);
    expect(&a, 0, "paused", 0, "its queue deploy is paused");
    expect(&a, 1, "no_worker", 0, "no worker is connected");
    assert_int_equal(a.count, 2);
    driver_frame_free(&a.frame);
}

static void a_ready_job_names_the_slots_the_concurrency_and_those_before_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    submit(d, client, 2, "noop", NULL);
    submit(d, client, 3, "noop", NULL);
    driver_grant(d, worker);
    jq_job_find(d->core, 3)->queue->concurrency = 1;
    jq_queue_turn(d->core, jq_job_find(d->core, 3)->queue);
    ask(d, client, 3, &a);
    expect(&a, 0, "no_slot", 4 - 1, "no free slot (1/4 busy)");
    expect(&a, 1, "concurrency", 1, "queue concurrency 1/1");
    expect(&a, 2, "behind", 1, "1 job of queue deploy before it");
    assert_int_equal(a.count, 3);
    driver_frame_free(&a.frame);
}

static void an_item_waits_for_a_get(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    submit(d, client, 1, JQ_HANDLER_ITEM, NULL);
    expect_only(d, client, 1, "no_getter", 0, "an item: it waits for a get");
}

static void a_running_job_says_where_since_when_and_whether_it_is_ending(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    driver_grant(d, worker);
    d->now.wall += 82LL * SECOND; /* and 8 more below */
    assert_int_equal(claim_cancel(d, client, 1), 0);
    driver_tick(d, 8000);
    ask(d, client, 1, &a);
    expect(&a, 0, "cancelling", 1, "cancelled; its worker has been told to end it");
    expect(&a, 1, "running", 1, "attempt 1 runs on worker test for 01:30");
    assert_true(jq_view_equal(a.list[2].kind, jq_view_str("silent")));
    assert_int_equal(a.count, 3);
    driver_frame_free(&a.frame);
}

/* ---- ended ---- */

static void a_job_that_has_ended_says_how(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);

    submit(d, client, 1, "noop", NULL);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 3);
    submit(d, client, 2, "noop", NULL);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    expect_only(d, client, 1, "ended", JQ_FAILED, "it has ended: failed, code 3");
    expect_only(d, client, 2, "ended", JQ_SUCCEEDED, "it has ended: succeeded");
}

static void a_quarantined_job_says_so(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    for (uint64_t session = 8; session < 10; session++) {
        driver_grant(d, driver_worker(d, session, 1));
        driver_tick(d, 16000);
    }
    jq_job_find(d->core, 1)->quarantined = true; /* in the row with its end */
    jq_job_store(d->core, jq_job_find(d->core, 1));
    client = driver_client(d, 7);
    ask(d, client, 1, &a);
    expect(&a, 0, "quarantined", 2, "quarantined: 2 workers were lost while they ran it");
    expect(&a, 1, "ended", JQ_FAILED,
           "it has ended: failed, after 2 attempts: poison: 2 workers were lost while they ran it");
    assert_int_equal(a.count, 2);
    driver_frame_free(&a.frame);
}

static void a_skipped_job_names_the_job_for_which_it_was(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 2);
    struct jq_buf edges = { 0 };
    struct answer a;

    submit(d, client, 1, "noop", NULL);
    const struct jq_held first = driver_grant(d, worker);
    submit(d, client, 2, "noop", NULL);
    const struct jq_held second = driver_grant(d, worker);
    jq_dependency_write(&edges, &(struct jq_dependency){ .id = 1 });
    jq_dependency_write(&edges, &(struct jq_dependency){ .id = 2 });
    const struct jq_job_options options = { .after = jq_records_of(2, &edges) };
    submit(d, client, 3, "noop", &options);
    driver_done(d, worker, first, JQ_OUTCOME_EXITED, 0);
    driver_done(d, worker, second, JQ_OUTCOME_EXITED, 1);
    struct jq_job *job = jq_job_find(d->core, 3);
    if (job && !jq_state_is_terminal(job->state)) {
        make_wait(d, 3, JQ_BLOCKED, JQ_HOLD_EDGES, 0);
        assert_int_equal(jq_job_end(d->core, job, JQ_SKIPPED, "job 2 failed"), JQ_OK);
    }
    ask(d, client, 3, &a);
    expect(&a, 0, "skipped", 2, "skipped, as job 2, which it waited for, has ended: failed");
    assert_true(jq_view_equal(a.list[1].kind, jq_view_str("ended")));
    assert_int_equal(a.count, 2);
    driver_frame_free(&a.frame);
    jq_buf_fini(&edges);
}

static void a_question_survives_memory_that_runs_out(void **state)
{
    struct driver *d = *state;
    const uint64_t other = driver_client(d, 9), worker = driver_worker(d, 8, 1);
    const struct jq_msg msg = { .tag = JQ_MSG_WHY, .correlation = ASKING, .u.why = { .id = 1 } };

    submit(d, other, 1, "noop", NULL);
    driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 3);
    driver_commit(d);
    for (int64_t n = 0; n < 12; n++) {
        const uint64_t client = driver_client(d, 7);
        d->fail_in = n;
        driver_apply(d, client, &msg);
        d->fail_in = -1;
        driver_commit(d);
        if (jq_peer_find(d->core, client))
            claim_drop(d, client, JQ_MSG_BECAUSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_delayed_job_says_how_long_it_waits),
        CLAIM(a_job_that_waits_for_others_names_them_and_what_they_do),
        CLAIM(chains_of_jobs_are_followed_and_bounded),
        CLAIM(a_paused_queue_comes_before_all_else),
        CLAIM(a_ready_job_names_the_slots_the_concurrency_and_those_before_it),
        CLAIM(an_item_waits_for_a_get),
        CLAIM(a_running_job_says_where_since_when_and_whether_it_is_ending),
        CLAIM(a_job_that_has_ended_says_how),
        CLAIM(a_quarantined_job_says_so),
        CLAIM(a_skipped_job_names_the_job_for_which_it_was),
        CLAIM(a_question_survives_memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
