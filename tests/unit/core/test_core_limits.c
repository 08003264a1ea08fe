/* SPDX-License-Identifier: MIT
 *
 * test_core_limits.c - limits and mutexes by name: never more than so many, all or nothing, nobody
 * waits for room that nobody uses. */
#include "tests/unit/core/life_claims.h"

enum { HELD_MAX = 64, PAIRS = 1000 };

static uint64_t with_limit(struct driver *d, uint64_t client, const char *queue, const char *name,
                           uint32_t max)
{
    struct claim_lists lists = { 0 };

    claim_limit(&lists, name, max);
    const uint64_t id = claim_submit(d, client, queue, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    return id;
}

static uint64_t with_mutexes(struct driver *d, uint64_t client, const char *a, const char *b)
{
    struct claim_lists lists = { 0 };

    claim_mutex(&lists, a);
    if (b)
        claim_mutex(&lists, b);
    const uint64_t id = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    return id;
}

static void done(struct driver *d, uint64_t worker, struct jq_held held)
{
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
}

static void at_most_so_many_run_and_the_others_take_no_slot(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    uint64_t ids[6];

    for (int i = 0; i < 6; i++)
        ids[i] = with_limit(d, client, NULL, "api", 2);
    const uint64_t other = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, NULL);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 3);
    assert_int_equal(held[0].id, ids[0]);
    assert_int_equal(held[1].id, ids[1]);
    assert_int_equal(held[2].id, other);
    assert_int_equal(claim_now(d, ids[5]), JQ_BLOCKED);
    assert_int_equal(jq_limit_of(claim_job(d, ids[5]))->waiting, 4);
    for (int i = 2; i < 6; i++) { /* in order */
        done(d, worker, held[i % 2]);
        assert_int_equal(claim_grants(d, worker, &held[i % 2], 1), 1);
        assert_int_equal(held[i % 2].id, ids[i]);
    }
}

static void a_mutex_is_one_and_has_a_namespace_of_its_own(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "x", NULL), b = with_mutexes(d, client, "x", NULL);
    const uint64_t c = with_limit(d, client, NULL, "x", 1);

    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 2);
    assert_int_equal(held[0].id, a);
    assert_int_equal(held[1].id, c);
    assert_true(jq_limit_of(claim_job(d, b))->mutex);
    assert_int_equal(jq_limit_holder(jq_limit_of(claim_job(d, b))), a);
}

static void two_mutexes_are_taken_both_or_none(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "a", NULL);
    const uint64_t ab = with_mutexes(d, client, "b", "a");
    const uint64_t b = with_mutexes(d, client, "b", NULL);

    /* The second waits for a and does not keep b from the third. */
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 2);
    assert_int_equal(held[0].id, a);
    assert_int_equal(held[1].id, b);
    done(d, worker, held[0]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 0);
    assert_int_equal(jq_limit_holder(jq_limit_of(claim_job(d, ab))), b);
    done(d, worker, held[1]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, ab);
}

static void a_thousand_interleaved_pairs_all_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 1000000);
    struct jq_held held[HELD_MAX];
    size_t count = 0;
    int ended = 0;

    for (int i = 0; i < PAIRS; i++)
        with_mutexes(d, client, i % 2 ? "a" : "b", i % 2 ? "b" : "a");
    while ((count = claim_grants(d, worker, held, HELD_MAX))) {
        assert_int_equal(count, 1);
        done(d, worker, held[0]);
        ended++;
    }
    assert_int_equal(ended, PAIRS);
}

static void room_is_given_back_however_a_job_stops_running(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_msg bye = { .tag = JQ_MSG_BYE }, ping = { .tag = JQ_MSG_PING };
    uint64_t worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "m", NULL), b = with_mutexes(d, client, "m", NULL);

    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    driver_apply(d, worker, &bye); /* given back: a is at its place again, before b */
    worker = driver_worker(d, 3, 10);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, a);
    driver_apply(d, client, &ping);
    driver_tick(d, d->conf.lease_ms - 1);
    driver_apply(d, client, &ping);
    driver_tick(d, 2); /* its worker is lost */
    worker = driver_worker(d, 4, 10);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    claim_cancel(d, client, held[0].id);
    driver_done(d, worker, held[0], JQ_OUTCOME_CANCELLED, 0);
    driver_commit(d);
    const uint64_t first = held[0].id;
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, first == a ? b : a);
}

static void a_retried_job_gives_its_room_to_others_meanwhile(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct claim_lists lists = { 0 };
    struct jq_held held[HELD_MAX];

    claim_mutex(&lists, "m");
    const uint64_t a = claim_submit(
        d, client, NULL, (struct jq_job_options){ .attempts_max = 2, .backoff_ms = 60000 }, &lists);
    const uint64_t b = claim_submit(d, client, NULL, (struct jq_job_options){ 0 }, &lists);
    claim_lists_fini(&lists);
    claim_run(d, worker, a, 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, b);
}

static void a_job_that_is_woken_and_cancelled_passes_it_on(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    uint64_t worker = driver_worker(d, 2, 1);
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "m", NULL), b = with_mutexes(d, client, "m", NULL),
                   c = with_mutexes(d, client, "m", NULL);

    driver_credit(d, worker, 3);
    driver_collect(d);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, a);
    assert_int_equal(claim_now(d, c), JQ_BLOCKED);
    const struct jq_msg draining = { .tag = JQ_MSG_CREDIT,
                                     .u.credit = { .total = 3, .draining = 1 } };
    driver_apply(d, worker, &draining);
    done(d, worker, held[0]);
    assert_int_equal(claim_now(d, b), JQ_READY);
    assert_int_equal(claim_now(d, c), JQ_BLOCKED);
    claim_cancel(d, client, b);
    assert_int_equal(claim_now(d, c), JQ_READY);
    worker = driver_worker(d, 3, 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, c);
}

static void a_waiting_job_that_is_cancelled_or_expires_is_forgotten_there(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct claim_lists lists = { 0 };
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "m", NULL), b = with_mutexes(d, client, "m", NULL);

    claim_mutex(&lists, "m");
    const uint64_t c =
        claim_submit(d, client, NULL, (struct jq_job_options){ .expires_ms = 100 }, &lists);
    claim_lists_fini(&lists);
    assert_int_equal(claim_now(d, b), JQ_BLOCKED);
    assert_int_equal(claim_now(d, c), JQ_BLOCKED);
    claim_cancel(d, client, b);
    driver_tick(d, 100);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, c), JQ_EXPIRED);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, a);
    done(d, worker, held[0]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 0);
    assert_true(jq_dlist_empty(&d->core->limits_in_order)); /* nobody names it any more */
}

/* ---- who says how many ---- */

static void limit_set(struct driver *d, uint64_t client, const char *name, uint32_t max)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_LIMIT_SET,
        .correlation = 70,
        .u.limit_set = { .name = jq_view_str(name), .max = max },
    };

    driver_apply(d, client, &msg);
}

static struct jq_limit_info said(struct driver *d, uint64_t client, struct driver_frame *frame,
                                 uint32_t count)
{
    struct jq_limit_info info = { 0 };

    *frame = driver_expect(d, client, JQ_MSG_LIMIT_SAID);
    assert_int_equal(frame->msg.u.limit_said.limits.count, count);
    struct jq_reader r = jq_records_reader(frame->msg.u.limit_said.limits);
    if (count)
        assert_true(jq_limit_info_next(&r, &info));
    return info;
}

static struct jq_limit_info asked(struct driver *d, uint64_t client, struct driver_frame *frame,
                                  uint32_t count)
{
    const struct jq_msg msg = { .tag = JQ_MSG_LIMIT_ASK, .correlation = 71 };

    driver_apply(d, client, &msg);
    return said(d, client, frame, count);
}

static void the_job_that_was_submitted_last_says_how_many(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];

    for (int i = 0; i < 5; i++)
        with_limit(d, client, NULL, "l", 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    with_limit(d, client, NULL, "l", 4);
    assert_int_equal(claim_grants(d, worker, held + 1, HELD_MAX - 1), 3);
    with_limit(d, client, NULL, "l", 2); /* those that run go on */
    done(d, worker, held[0]);
    done(d, worker, held[1]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 0);
    done(d, worker, held[2]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    with_limit(d, client, NULL, "l", 0); /* says nothing */
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 0);
}

static void a_limit_that_is_set_overrides_jobs_and_survives(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    struct driver_frame frame;

    limit_set(d, client, "l", 3);
    assert_false(driver_has(d, client, JQ_MSG_LIMIT_SAID)); /* not before it is durable */
    driver_commit(d);
    assert_int_equal(said(d, client, &frame, 1).max, 3);
    driver_frame_free(&frame);
    for (int i = 0; i < 5; i++)
        with_limit(d, client, NULL, "l", 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 3);
    struct jq_limit_info info = asked(d, client, &frame, 1);
    assert_int_equal(info.used, 3);
    assert_int_equal(info.waiting, 2);
    assert_int_equal(info.holder, held[0].id);
    driver_frame_free(&frame);

    driver_crash(d);
    client = driver_client(d, 1);
    info = asked(d, client, &frame, 1);
    assert_int_equal(info.max, 3);
    assert_int_equal(info.used, 3); /* of workers that may be back */
    driver_frame_free(&frame);
    worker = driver_worker_back(d, 2, held, 3);
    claim_drop(d, worker, JQ_MSG_WELCOME);
    driver_credit(d, worker, 10);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 0);

    limit_set(d, client, "l", 0); /* jobs count again */
    driver_commit(d);
    assert_int_equal(said(d, client, &frame, 1).max, 1);
    driver_frame_free(&frame);
    driver_crash(d);
    client = driver_client(d, 1);
    assert_int_equal(asked(d, client, &frame, 1).max, 1);
    driver_frame_free(&frame);
}

static void setting_a_limit_that_jobs_wait_for_wakes_them(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];

    for (int i = 0; i < 5; i++)
        with_limit(d, client, NULL, "l", 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    limit_set(d, client, "l", 4);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 3);
    limit_set(d, client, "l", 100);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    limit_set(d, client, "no name", 1);
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
}

static void only_so_many_limits_may_be_set_by_name(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);

    limit_set(d, client, "l0", 1);
    d->core->limits_kept = JQ_JOBS_PER_FRAME; /* as if */
    limit_set(d, client, "other", 1);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOSPC);
    limit_set(d, client, "l0", 2);
    driver_commit(d);
    while (driver_has(d, client, JQ_MSG_LIMIT_SAID))
        claim_drop(d, client, JQ_MSG_LIMIT_SAID);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
}

/* ---- room is for those who can use it ---- */

static void jobs_of_several_queues_wait_in_turn_each_in_its_order(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 100);
    struct jq_held held[HELD_MAX];
    uint64_t ids[7];

    ids[0] = with_limit(d, client, "a", "l", 1);
    for (int i = 1; i < 7; i++)
        ids[i] = with_limit(d, client, i % 3 ? "a" : "b", "l", 1);
    uint64_t last_a = ids[0], last_b = 0;
    int from_b = 0;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
        const bool is_b = held[0].id == ids[3] || held[0].id == ids[6];
        from_b += is_b && i < 5;
        if (is_b) {
            assert_true(held[0].id > last_b);
            last_b = held[0].id;
        } else {
            assert_true(held[0].id >= last_a);
            last_a = held[0].id;
        }
        done(d, worker, held[0]);
    }
    assert_int_equal(from_b, 2);
}

/* A queue that is taken out of the ring of queues by hand stands for any reason why a ready job
 * cannot be granted. */
static void a_woken_job_that_cannot_be_granted_keeps_nothing_from_others(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 10);
    struct jq_msg credit = { .tag = JQ_MSG_CREDIT, .u.credit = { .total = 10, .draining = 1 } };
    struct jq_held held[HELD_MAX];
    uint64_t stuck[5];

    with_limit(d, client, "stuck", "l", 1);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    for (int i = 0; i < 5; i++)
        stuck[i] = with_limit(d, client, "stuck", "l", 1);
    const uint64_t able = with_limit(d, client, "a", "l", 1);
    driver_apply(d, worker, &credit);
    done(d, worker, held[0]);
    assert_int_equal(claim_now(d, stuck[0]), JQ_READY);
    assert_int_equal(claim_now(d, able), JQ_BLOCKED);
    jq_dlist_remove(&jq_queue_find(d->core, jq_view_str("stuck"))->plain.in_turn);
    credit.u.credit.draining = 0;
    driver_apply(d, worker, &credit);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, able);
    assert_int_equal(claim_now(d, stuck[4]), JQ_BLOCKED);
}

/* ---- restarts, memory ---- */

static void a_job_that_waits_for_a_limit_waits_again_after_a_restart(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    uint64_t worker = driver_worker(d, 2, 10);
    struct jq_held held[HELD_MAX];
    const uint64_t a = with_mutexes(d, client, "m", NULL), b = with_mutexes(d, client, "m", NULL);

    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, a);
    driver_crash(d);
    assert_int_equal(claim_now(d, a), JQ_RUNNING);
    worker = driver_worker_back(d, 2, held, 1);
    claim_drop(d, worker, JQ_MSG_WELCOME);
    driver_credit(d, worker, 10);
    assert_int_equal(claim_grants(d, worker, held + 1, HELD_MAX - 1), 0);
    assert_int_equal(claim_now(d, b), JQ_BLOCKED);
    done(d, worker, held[0]);
    assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
    assert_int_equal(held[0].id, b);
}

static void memory_that_runs_out_wakes_later(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    struct jq_held held[HELD_MAX];

    for (int64_t fail_in = 0; fail_in < 14; fail_in++) {
        const uint64_t worker = driver_worker(d, 100 + (uint64_t)fail_in, 10);
        const struct jq_msg bye = { .tag = JQ_MSG_BYE };
        const uint64_t a = with_mutexes(d, client, "m", NULL),
                       b = with_mutexes(d, client, "m", NULL);
        assert_int_equal(claim_grants(d, worker, held, HELD_MAX), 1);
        assert_int_equal(held[0].id, a);
        d->fail_in = fail_in;
        driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
        d->fail_in = -1;
        driver_commit(d);
        assert_int_equal(claim_state_of(d, client, a), JQ_SUCCEEDED);
        driver_apply(d, worker, &bye); /* or its connection was lost */
        driver_tick(d, d->conf.lease_ms);
        client = driver_client(d, 1);
        assert_int_equal(claim_now(d, b), JQ_READY);
        claim_cancel(d, client, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(at_most_so_many_run_and_the_others_take_no_slot),
        CLAIM(a_mutex_is_one_and_has_a_namespace_of_its_own),
        CLAIM(two_mutexes_are_taken_both_or_none),
        CLAIM(a_thousand_interleaved_pairs_all_end),
        CLAIM(room_is_given_back_however_a_job_stops_running),
        CLAIM(a_retried_job_gives_its_room_to_others_meanwhile),
        CLAIM(a_job_that_is_woken_and_cancelled_passes_it_on),
        CLAIM(a_waiting_job_that_is_cancelled_or_expires_is_forgotten_there),
        CLAIM(the_job_that_was_submitted_last_says_how_many),
        CLAIM(a_limit_that_is_set_overrides_jobs_and_survives),
        CLAIM(setting_a_limit_that_jobs_wait_for_wakes_them),
        CLAIM(only_so_many_limits_may_be_set_by_name),
        CLAIM(jobs_of_several_queues_wait_in_turn_each_in_its_order),
        CLAIM(a_woken_job_that_cannot_be_granted_keeps_nothing_from_others),
        CLAIM(a_job_that_waits_for_a_limit_waits_again_after_a_restart),
        CLAIM(memory_that_runs_out_wakes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
