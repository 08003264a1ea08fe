/* SPDX-License-Identifier: MIT
 *
 * test_core_rooms.c - bounded queues: who is let in, who waits for places, and who stands aside
 * when more comes back than there is a place for. */
#include "tests/unit/core/queue_claims.h"

/* ---- who is let in ---- */

static void a_full_queue_refuses_until_there_is_a_place(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    char text[JQ_REASON_MAX + 1];

    claim_declare(d, client, "fifo", 2);
    claim_put(d, client, "noop", 0, 3, NULL);
    assert_int_equal(claim_refused(d, client, text), JQ_EMSGSIZE);
    assert_non_null(strstr(text, "3 jobs"));
    claim_put(d, client, "noop", 0, 1, NULL);
    claim_put(d, client, "item", 0, 1, NULL); /* items and jobs share the places */
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_refused(d, client, text), JQ_EFULL);
    driver_credit(d, worker, 1);
    const struct jq_held held = driver_grant(d, worker); /* what runs takes no place */
    claim_job_in_q(d, client, 0);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
    assert_int_equal(claim_ask_queue(d, client).ready, 2);
    driver_commit(d);
    driver_crash(d);
    claim_put(d, driver_client(d, 9), "noop", 0, 1, NULL);
    assert_int_equal(claim_queue(d, "q")->by_state[JQ_READY], 2);
}

static void delayed_and_blocked_jobs_take_places_too(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options later = { .delay_ms = 1000 };

    claim_declare(d, client, "fifo", 2);
    claim_put(d, client, "noop", 0, 2, &later);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
    driver_tick(d, 2000);
    assert_int_equal(claim_ask_queue(d, client).ready, 2);
}

static void what_is_taken_for_an_older_job_needs_no_place(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options once = { .unique = jq_view_str("once") };
    struct driver_submit keyed = { .number = 1, .queue = "q", .key = "k" };

    claim_declare(d, client, "fifo", 2);
    driver_submit(d, client, keyed);
    driver_commit(d);
    claim_put(d, client, "noop", 0, 1, &once);
    keyed.number = 2;
    driver_submit(d, client, keyed);
    claim_put(d, client, "noop", 0, 1, &once);
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
    assert_int_equal(claim_ask_queue(d, client).ready, 2);
    keyed.number = 3;
    keyed.key = "other"; /* refused after the store was asked */
    driver_submit(d, client, keyed);
    driver_commit(d);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
}

/* ---- ROOM ---- */

static void places_are_kept_in_the_order_of_asking(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8), c = driver_client(d, 9);
    const uint64_t worker = driver_worker(d, 10, 0);

    claim_declare(d, a, "fifo", 2);
    claim_put(d, a, "noop", 0, 2, NULL);
    claim_room(d, a, 11, 2);
    claim_room(d, b, 12, 1);
    driver_credit(d, worker, 1);
    assert_false(claim_kept(d, b, 12)); /* nobody overtakes one that wants more */
    claim_put(d, c, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, c), JQ_EFULL);
    driver_credit(d, worker, 2);
    assert_true(claim_kept(d, a, 11));
    assert_false(claim_kept(d, b, 12));
    assert_int_equal(claim_ask_queue(d, a).putters, 1);
    claim_put(d, c, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, c), JQ_EFULL);
    claim_put(d, a, "noop", 0, 1, NULL); /* less than was kept: the rest is free */
    assert_false(driver_has(d, a, JQ_MSG_ERROR));
    assert_true(claim_kept(d, b, 12));
    claim_put(d, b, "noop", 0, 1, NULL);
    assert_false(driver_has(d, b, JQ_MSG_ERROR));
    assert_int_equal(claim_ask_queue(d, a).ready, 2);
}

static void rooms_end_with_unwait_and_with_their_connection(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8), c = driver_client(d, 9);

    claim_declare(d, a, "fifo", 1);
    claim_room(d, a, 1, 1);
    assert_true(claim_kept(d, a, 1));
    claim_room(d, b, 1, 1);
    claim_room(d, c, 1, 1);
    claim_room(d, c, 2, 1);
    claim_unwait(d, c, 1);
    claim_unwait(d, a, 1);
    assert_true(claim_kept(d, b, 1));
    claim_gone(d, b);
    assert_true(claim_kept(d, c, 2));
    claim_bye(d, c);
    assert_int_equal(claim_queue(d, "q")->reserved, 0);
    claim_room(d, a, 1, 1);
    assert_true(claim_kept(d, a, 1));
    claim_room(d, a, 1, 1); /* again: the newest counts */
    assert_true(claim_kept(d, a, 1));
    assert_int_equal(claim_queue(d, "q")->reserved, 1);
}

static void the_oldest_room_that_is_large_enough_is_used(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7);

    claim_declare(d, a, "fifo", 5);
    claim_room(d, a, 1, 1);
    claim_room(d, a, 2, 3);
    claim_room(d, a, 3, 1);
    claim_put(d, a, "noop", 0, 2, NULL);
    assert_int_equal(claim_queue(d, "q")->reserved, 2);
    claim_put(d, a, "noop", 0, 1, NULL);
    claim_put(d, a, "noop", 0, 1, NULL);
    assert_int_equal(claim_queue(d, "q")->reserved, 0);
    claim_put(d, a, "noop", 0, 1, NULL);
    claim_put(d, a, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, a), JQ_EFULL);
    assert_int_equal(claim_ask_queue(d, a).ready, 5);
}

static void a_resize_serves_those_who_wait_or_tells_them_that_it_never_will(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);
    char text[JQ_REASON_MAX + 1];

    claim_declare(d, a, "fifo", 3);
    claim_put(d, a, "noop", 0, 3, NULL);
    claim_room(d, a, 1, 1);
    claim_room(d, b, 2, 3);
    claim_declare(d, a, "fifo", 4);
    assert_true(claim_kept(d, a, 1));
    claim_declare(d, a, "fifo", 2); /* more than fit: they stay */
    assert_int_equal(claim_refused(d, b, text), JQ_EMSGSIZE);
    assert_int_equal(claim_ask_queue(d, a).ready, 3);
    claim_room(d, b, 3, 2);
    assert_false(claim_kept(d, b, 3));
    claim_declare(d, a, "fifo", 0);
    assert_true(claim_kept(d, b, 3));
    claim_put(d, a, "noop", 0, 50, NULL);
    assert_int_equal(claim_ask_queue(d, a).ready, 53);
    claim_room(d, b, 4, 3);
    assert_true(claim_kept(d, b, 4));
}

static void a_closed_queue_keeps_no_places(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    claim_declare(d, a, "fifo", 1);
    claim_room(d, a, 1, 1);
    assert_true(claim_kept(d, a, 1));
    claim_room(d, b, 1, 1);
    claim_do(d, a, JQ_QUEUE_CLOSE);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
    claim_room(d, b, 1, 1);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
    claim_put(d, a, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, a), JQ_ECLOSED);
    claim_do(d, a, JQ_QUEUE_REOPEN);
    claim_put(d, a, "noop", 0, 1, NULL);
    assert_int_equal(claim_ask_queue(d, a).ready, 1);
}

static void rooms_that_cannot_be_are_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7);

    claim_room(d, a, 1, 1);
    assert_int_equal(claim_expect_error(d, a), JQ_ENOENT);
    claim_declare(d, a, "fifo", 1);
    claim_room(d, a, 0, 1);
    assert_int_equal(claim_expect_error(d, a), JQ_EINVAL);
    claim_room(d, a, 1, 0);
    assert_int_equal(claim_expect_error(d, a), JQ_EINVAL);
    claim_room(d, a, 1, JQ_JOBS_PER_FRAME);
    assert_int_equal(claim_expect_error(d, a), JQ_EMSGSIZE);
    claim_declare(d, a, "fifo", UINT64_MAX);
    claim_room(d, a, 1, JQ_JOBS_PER_FRAME);
    assert_true(claim_kept(d, a, 1));
}

/* ---- who stands aside ---- */

/* Two jobs run, the queue is full behind them. */
static void fill(struct driver *d, uint64_t client, uint64_t worker, const char *order,
                 struct jq_held held[2])
{
    claim_declare(d, client, order, 2);
    claim_job_in_q(d, client, 1);
    claim_job_in_q(d, client, 2);
    driver_credit(d, worker, 2);
    assert_int_equal(claim_grants(d, worker, held, 2), 2);
    claim_job_in_q(d, client, 3);
    claim_job_in_q(d, client, 4);
}

static void release(struct driver *d, uint64_t worker, struct jq_held held)
{
    struct jq_buf jobs = { 0 };

    jq_held_write(&jobs, &held);
    const struct jq_msg msg = { .tag = JQ_MSG_RELEASE, .u.release.jobs = jq_records_of(1, &jobs) };
    driver_apply(d, worker, &msg);
    jq_buf_fini(&jobs);
}

static void what_comes_back_to_a_full_queue_sets_the_last_aside(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    uint64_t worker = driver_worker(d, 8, 0);
    struct jq_held held[2];

    fill(d, client, worker, "fifo", held);
    release(d, worker, held[1]);
    release(d, worker, held[0]);
    assert_int_equal(claim_now(d, 1), JQ_READY);
    assert_int_equal(claim_now(d, 2), JQ_READY);
    for (uint64_t id = 3; id <= 4; id++) {
        assert_int_equal(claim_now(d, id), JQ_BLOCKED);
        assert_int_equal(claim_job(d, id)->hold, JQ_HOLD_FULL);
    }
    claim_room(d, client, 1, 1);
    driver_commit(d);
    driver_crash(d);
    assert_int_equal(claim_now(d, 1), JQ_READY);
    worker = driver_worker(d, 9, 0);
    driver_tick(d, 600); /* the other is not back yet */
    assert_int_equal(claim_queue(d, "q")->aside.count, 2);
    for (uint64_t id = 1; id <= 4; id++) {
        driver_credit(d, worker, id);
        assert_int_equal(driver_grant(d, worker).id, id);
    }
    assert_int_equal(claim_queue(d, "q")->aside.count, 0);
}

static void those_aside_come_back_before_anybody_new(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct jq_held held[2];

    fill(d, client, worker, "fifo", held);
    claim_room(d, client, 1, 1);
    release(d, worker, held[0]);
    release(d, worker, held[1]);
    driver_credit(d, worker, 3);
    driver_credit(d, worker, 4);
    assert_false(claim_kept(d, client, 1));
    assert_int_equal(claim_queue(d, "q")->aside.count, 0);
    driver_credit(d, worker, 5);
    assert_true(claim_kept(d, client, 1));
}

static void in_other_orders_others_are_the_last(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct jq_held held[2];

    fill(d, client, worker, "lifo", held); /* 2 and 1 ran, 3 and 4 wait */
    release(d, worker, held[0]);
    assert_int_equal(claim_now(d, held[0].id), JQ_BLOCKED);
    release(d, worker, held[1]);
    assert_int_equal(claim_now(d, held[1].id), JQ_BLOCKED);
    driver_credit(d, worker, 6);
    struct jq_held order[4];
    assert_int_equal(claim_grants(d, worker, order, 4), 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(order[i].id, 4 - i);
}

static void by_priority_the_least_urgent_stands_aside(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    struct jq_held held[2];

    fill(d, client, worker, "priority", held);
    claim_cancel(d, client, 3);
    claim_job_in_q(d, client, -9); /* 5 */
    release(d, worker, held[1]);
    assert_int_equal(claim_now(d, 4), JQ_BLOCKED);
    release(d, worker, held[0]);
    assert_int_equal(claim_now(d, held[1].id), JQ_BLOCKED);
    assert_int_equal(claim_cancel(d, client, 4), 0); /* also aside */
    claim_declare(d, client, "priority", 3);
    assert_int_equal(claim_now(d, held[1].id), JQ_READY);
    assert_int_equal(claim_queue(d, "q")->aside.count, 0);
}

static void a_retried_job_comes_back_to_a_full_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 1);
    char text[JQ_REASON_MAX + 1];

    claim_declare(d, client, "fifo", 1);
    const uint64_t failed = claim_job_in_q(d, client, 0);
    claim_run(d, worker, failed, 1);
    const uint64_t waits = claim_job_in_q(d, client, 0);
    assert_int_equal(claim_retry(d, client, failed), 0);
    assert_int_equal(claim_now(d, failed), JQ_READY);
    assert_int_equal(claim_now(d, waits), JQ_BLOCKED);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .correlation = 5, .u.why.id = waits };
    driver_apply(d, client, &why);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    struct jq_reader r = jq_records_reader(frame.msg.u.because.blockers);
    struct jq_blocker blocker;
    assert_true(jq_blocker_next(&r, &blocker));
    assert_true(jq_view_equal(blocker.kind, jq_view_str("full")));
    driver_frame_free(&frame);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_refused(d, client, text), JQ_EFULL);
}

static void an_item_nacked_with_a_delay_comes_back_to_its_place(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_declare(d, client, "fifo", 1);
    const uint64_t first = claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    const uint64_t second = claim_item(d, client);
    claim_settle(d, client, held, JQ_SETTLE_NACK, 100);
    assert_int_equal(claim_now(d, second), JQ_READY);
    claim_put(d, client, "item", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
    driver_tick(d, 200);
    assert_int_equal(claim_now(d, first), JQ_READY);
    assert_int_equal(claim_now(d, second), JQ_BLOCKED);
    assert_int_equal(claim_take(d, client).id, first);
    assert_int_equal(claim_take(d, client).id, second);
}

static void limits_and_places_do_not_keep_one_another_waiting(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct claim_lists lists = { 0 };
    struct jq_job_options options = { 0 };
    struct jq_held held[8];

    claim_declare(d, client, "fifo", 2);
    claim_limit(&lists, "l", 1);
    claim_lists_into(&lists, &options);
    for (int i = 0; i < 3; i++)
        claim_put(d, client, "noop", 0, 1, &options);
    assert_int_equal(claim_ask_queue(d, client).blocked, 2);
    claim_put(d, client, "noop", 0, 1, NULL);
    assert_int_equal(claim_expect_error(d, client), JQ_EFULL);
    assert_int_equal(claim_grants(d, worker, held, 8), 1);
    release(d, worker, held[0]); /* at once again */
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(claim_grants(d, worker, held, 8), 1);
        assert_int_equal(held[0].id, id);
        driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
    }
    claim_lists_fini(&lists);
}

/* ---- memory ---- */

static void places_survive_memory_that_runs_out_anywhere(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    claim_declare(d, client, "priority", 2);
    for (int64_t fail_in = 0; fail_in < 80; fail_in++) {
        struct jq_held held[64];
        if (!jq_peer_find(d->core, client))
            client = driver_client(d, 7);
        claim_room(d, client, 1, 2);
        d->fail_in = fail_in;
        claim_put(d, client, "noop", (int32_t)(fail_in % 5), 2, NULL);
        claim_room(d, client, 2, 1);
        d->fail_in = fail_in;
        worker = driver_worker_back(d, 8, NULL, 0);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, worker))
            worker = driver_worker_back(d, 8, NULL, 0);
        driver_credit(d, worker, 2);
        for (size_t n = claim_grants(d, worker, held, 64); n && fail_in % 4 == 0; n--)
            driver_done(d, worker, held[n - 1], JQ_OUTCOME_EXITED, 0);
        while (jq_peer_find(d->core, client) && driver_has(d, client, JQ_MSG_ERROR))
            claim_drop(d, client, JQ_MSG_ERROR);
        driver_commit(d);
    }
    driver_crash(d);
    driver_commit(d);
    assert_true(claim_queue(d, "q")->by_state[JQ_READY] <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_full_queue_refuses_until_there_is_a_place),
        CLAIM(delayed_and_blocked_jobs_take_places_too),
        CLAIM(what_is_taken_for_an_older_job_needs_no_place),
        CLAIM(places_are_kept_in_the_order_of_asking),
        CLAIM(rooms_end_with_unwait_and_with_their_connection),
        CLAIM(the_oldest_room_that_is_large_enough_is_used),
        CLAIM(a_resize_serves_those_who_wait_or_tells_them_that_it_never_will),
        CLAIM(a_closed_queue_keeps_no_places),
        CLAIM(rooms_that_cannot_be_are_refused),
        CLAIM(what_comes_back_to_a_full_queue_sets_the_last_aside),
        CLAIM(those_aside_come_back_before_anybody_new),
        CLAIM(in_other_orders_others_are_the_last),
        CLAIM(by_priority_the_least_urgent_stands_aside),
        CLAIM(a_retried_job_comes_back_to_a_full_queue),
        CLAIM(an_item_nacked_with_a_delay_comes_back_to_its_place),
        CLAIM(limits_and_places_do_not_keep_one_another_waiting),
        CLAIM(places_survive_memory_that_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
