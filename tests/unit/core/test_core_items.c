/* SPDX-License-Identifier: MIT
 *
 * test_core_items.c - items: who gets them in which order, how they are held, given back and
 * settled, and what a lost connection, a restart or a late message makes of that. */
#include "proto/base/alloc.h"
#include "tests/unit/core/queue_claims.h"

/* ---- getting ---- */

static void getters_are_served_in_the_order_of_their_arrival(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8), put = driver_client(d, 9);

    claim_get(d, a, 1, true, 0);
    claim_get(d, b, 2, true, 0);
    claim_get(d, a, 3, true, 1000);
    for (int i = 0; i < 3; i++)
        claim_item(d, put);
    assert_int_equal(claim_taken(d, b).held.id, 2);
    const struct claim_taken first = claim_taken(d, a), third = claim_taken(d, a);
    assert_int_equal(first.held.id, 1);
    assert_int_equal(first.correlation, 1);
    assert_int_equal(first.lease_until, 0);
    assert_int_equal(third.held.id, 3);
    assert_int_equal(third.correlation, 3);
    assert_true(third.lease_until > d->now.wall);
    assert_int_equal(claim_ask_queue(d, put).getters, 0);
}

static void one_that_does_not_wait_is_told_that_there_is_nothing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    claim_get(d, client, 1, false, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOENT);
    claim_get(d, client, 0, true, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    claim_item(d, client);
    claim_get(d, client, 1, true, 0);
    claim_get(d, client, 2, false, 0); /* behind the first, which takes all there is */
    claim_taken(d, client);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    assert_true(jq_dlist_empty(&d->core->hasty));
}

static void a_get_asked_again_counts_once_and_stands_last(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    claim_get(d, a, 1, true, 0);
    claim_get(d, b, 1, true, 0);
    claim_get(d, a, 1, true, 0);
    assert_int_equal(claim_ask_queue(d, a).getters, 2);
    claim_item(d, a);
    claim_taken(d, b);
    assert_false(driver_has(d, a, JQ_MSG_ITEM));
}

static void an_item_that_comes_after_the_unwait_goes_to_the_next(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    claim_get(d, a, 1, true, 0);
    claim_get(d, b, 1, true, 0);
    claim_unwait(d, a, 1);
    const uint64_t id = claim_item(d, b);
    assert_int_equal(claim_taken(d, b).held.id, id);
    claim_unwait(d, b, 1); /* too late: it holds the item */
    assert_int_equal(claim_now(d, id), JQ_RUNNING);
    assert_false(driver_has(d, a, JQ_MSG_ITEM));
}

static void a_paused_queue_gives_nothing_and_concurrency_bounds_what_is_held(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf one = { .order = jq_view_str("fifo"), .concurrency = 1 };

    claim_set(d, client, "q", JQ_QUEUE_CONCURRENCY, one);
    claim_do(d, client, JQ_QUEUE_PAUSE);
    claim_item(d, client);
    claim_item(d, client);
    claim_get(d, client, 1, true, 0);
    claim_get(d, client, 2, false, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    claim_do(d, client, JQ_QUEUE_RESUME);
    const struct jq_held held = claim_taken(d, client).held;
    claim_get(d, client, 2, true, 0);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    claim_settle_ask(d, client, held, JQ_SETTLE_DONE, 0);
    assert_int_equal(claim_taken(d, client).held.id, 2);
}

static void a_closed_queue_gives_what_it_has_and_then_says_so(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    claim_item(d, a);
    claim_do(d, a, JQ_QUEUE_CLOSE);
    claim_get(d, a, 1, true, 0);
    claim_taken(d, a);
    claim_get(d, b, 1, true, 0);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
    claim_do(d, a, JQ_QUEUE_REOPEN);
    claim_get(d, b, 1, true, 0);
    claim_do(d, a, JQ_QUEUE_CLOSE);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
}

static void the_getters_of_a_closed_queue_are_told_with_its_last_item(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);
    const struct jq_job_options later = { .delay_ms = 5000 };

    claim_put(d, a, "item", 0, 1, &later);
    claim_get(d, a, 1, true, 0);
    claim_get(d, b, 1, true, 0);
    claim_do(d, a, JQ_QUEUE_CLOSE);
    assert_false(driver_has(d, b, JQ_MSG_ERROR));
    driver_tick(d, 6000);
    claim_taken(d, a);
    assert_int_equal(claim_expect_error(d, b), JQ_ECLOSED);
}

static void workers_get_no_items_and_getters_no_jobs(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);

    claim_get(d, client, 1, true, 0);
    const uint64_t job = claim_job_in_q(d, client, 0), item = claim_item(d, client);
    assert_int_equal(driver_grant(d, worker).id, job);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    assert_int_equal(claim_taken(d, client).held.id, item);
    assert_false(driver_has(d, client, JQ_MSG_ITEM));
    assert_int_equal(claim_ask_queue(d, client).running, 2);
}

static void items_have_their_own_order_beside_the_jobs_of_their_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    static const int32_t priorities[] = { 3, 1, 2 };

    claim_declare(d, client, "priority", 0);
    for (size_t i = 0; i < 3; i++) {
        claim_put(d, client, "item", priorities[i], 1, NULL);
        claim_job_in_q(d, client, -1);
    }
    claim_peek(d, client, 5);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ITEM);
    assert_int_equal(frame.msg.u.item.id, 3);
    assert_int_equal(frame.msg.u.item.fence, 0);
    assert_int_equal(frame.msg.u.item.attempt, 0);
    driver_frame_free(&frame);
    assert_int_equal(claim_take(d, client).id, 3);
    assert_int_equal(claim_take(d, client).id, 5);
    assert_int_equal(claim_take(d, client).id, 1);
    claim_peek(d, client, 5);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
}

static void a_delayed_item_waits_and_one_that_was_given_does_not_expire(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_job_options delay = { .delay_ms = 1000 }, expires = { .expires_ms = 2000 };

    claim_put(d, client, "item", 0, 1, &delay);
    claim_put(d, client, "item", 0, 2, &expires);
    claim_get(d, client, 1, true, 0);
    const struct jq_held held = claim_taken(d, client).held;
    assert_int_equal(held.id, 2);
    assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_NACK, 0), 0);
    driver_tick(d, 1000);
    assert_int_equal(claim_take(d, client).id, 1);
    driver_tick(d, 1500);
    driver_commit(d);
    assert_int_equal(claim_state_of(d, client, 3), JQ_EXPIRED);
    assert_int_equal(claim_take(d, client).id, 2);
}

/* ---- holding ---- */

static void a_lost_connection_keeps_its_items_for_a_lease(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    const uint64_t other = driver_client(d, 8);
    uint32_t lost;

    claim_item(d, client);
    claim_item(d, client);
    const struct jq_held one = claim_take(d, client), two = claim_take(d, client);
    claim_get(d, client, 9, true, 0);
    claim_gone(d, client);
    assert_int_equal(claim_ask_queue(d, other).getters, 0);
    driver_tick(d, 5000);
    const struct jq_held held[] = { two, { .id = one.id, .fence = one.fence + 1 }, { .id = 99 } };
    client = claim_client_back(d, 7, held, 3, &lost);
    assert_int_equal(lost, 2);
    assert_int_equal(claim_now(d, one.id), JQ_READY); /* it does not know of it */
    assert_int_equal(claim_job(d, one.id)->crashes, 0);
    assert_int_equal(claim_now(d, two.id), JQ_RUNNING);
    assert_int_equal(claim_settle(d, client, one, JQ_SETTLE_DONE, 0), JQ_EFENCED);
    claim_gone(d, client);
    driver_tick(d, 16000);
    assert_int_equal(claim_now(d, two.id), JQ_READY);
    assert_int_equal(claim_job(d, two.id)->crashes, 0);
    assert_int_equal(d->core->holders.count, 0);
}

static void a_session_that_only_says_hello_lives_too(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_buf records = { 0 };

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    jq_held_write(&records, &held);
    const struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1,
                     .version_max = 1,
                     .role = JQ_ROLE_CLIENT,
                     .session = 7,
                     .held = jq_records_of(1, &records) },
    };
    for (int i = 0; i < 5; i++) {
        driver_tick(d, 10000);
        driver_apply(d, client, &hello);
        claim_drop(d, client, JQ_MSG_WELCOME);
        assert_int_equal(claim_now(d, held.id), JQ_RUNNING);
    }
    jq_buf_fini(&records);
}

static void one_that_says_bye_gives_back_what_its_session_holds(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_client(d, 8);

    claim_item(d, other);
    claim_item(d, other);
    const struct jq_held held = claim_take(d, client);
    claim_get(d, client, 1, false, 60000);
    driver_commit(d);
    claim_taken(d, client);
    claim_get(d, client, 2, true, 0);
    claim_bye(d, client);
    assert_int_equal(claim_now(d, held.id), JQ_READY);
    assert_int_equal(claim_now(d, 2), JQ_RUNNING); /* a receipt is not the session's */
    assert_int_equal(claim_take(d, other).id, held.id);
    assert_int_equal(d->core->holders.count, 1);
    driver_commit(d);
    driver_crash(d);
    assert_int_equal(d->core->holders.count, 1);
}

/* BYE is given again when memory runs out: nothing may be half done between. */
static void a_bye_is_done_once_however_often_memory_runs_out(void **state)
{
    struct driver *d = *state;
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    const uint64_t other = driver_client(d, 8);
    enum jq_err err = JQ_ENOMEM;

    const uint64_t client = driver_client(d, 7);
    for (int i = 0; i < 3; i++)
        claim_item(d, client);
    claim_take(d, client);
    claim_take(d, client);
    claim_do(d, client, JQ_QUEUE_PAUSE);
    claim_get(d, client, 1, true, 0);
    for (int64_t n = 0; err != JQ_OK; n++) {
        assert_true(n < 100);
        jq_alloc_fail_after(n, 1);
        err = jq_core_apply(d->core, d->now, client, &bye);
        jq_alloc_fail_after(-1, 0);
        jq_core_check(d->core);
        driver_collect(d);
    }
    assert_int_equal(d->core->holders.count, 0);
    assert_int_equal(claim_ask_queue(d, other).ready, 3);
}

static void a_restart_finds_items_with_those_who_hold_them(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    uint32_t lost;

    for (int i = 0; i < 3; i++)
        claim_item(d, client);
    const struct jq_held stored = claim_take(d, client);
    driver_commit(d);
    const struct jq_held early = claim_take(d, client); /* its mark is lost with the broker */
    driver_crash(d);
    assert_int_equal(claim_now(d, stored.id), JQ_RUNNING);
    assert_int_equal(claim_now(d, early.id), JQ_READY);
    const uint64_t other = driver_client(d, 8);
    claim_get(d, other, 1, true, 0);
    assert_false(driver_has(d, other, JQ_MSG_ITEM)); /* not before the first is back */
    const struct jq_held held[] = { early, stored };
    client = claim_client_back(d, 7, held, 2, &lost);
    assert_int_equal(lost, 0);
    assert_int_equal(claim_taken(d, other).held.id, 3);
    assert_int_equal(claim_settle(d, client, early, JQ_SETTLE_DONE, 0), 0);
    assert_int_equal(claim_settle(d, client, stored, JQ_SETTLE_DONE, 0), 0);
}

static void nobody_adopts_an_item_as_a_worker_or_a_job_as_a_client(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);
    uint32_t lost;

    const uint64_t item = claim_item(d, client), job = claim_job_in_q(d, client, 0);
    driver_commit(d);
    driver_credit(d, worker, 1);
    const struct jq_held of_worker = driver_grant(d, worker), of_client = claim_take(d, client);
    driver_crash(d);
    driver_worker_back(d, 8, &of_client, 1);
    assert_int_equal(claim_now(d, item), JQ_READY);
    claim_client_back(d, 7, &of_worker, 1, &lost);
    assert_int_equal(lost, 1);
    assert_int_equal(claim_now(d, job), JQ_READY);
}

static void a_client_and_a_worker_may_have_one_session(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7), worker = driver_worker(d, 7, 1);
    uint32_t lost;

    const uint64_t item = claim_item(d, client), job = claim_job_in_q(d, client, 0);
    const struct jq_held of_worker = driver_grant(d, worker), of_client = claim_take(d, client);
    assert_int_equal(of_worker.id, job);
    driver_commit(d);
    driver_crash(d);
    client = claim_client_back(d, 7, &of_client, 1, &lost);
    assert_int_equal(lost, 0);
    worker = driver_worker_back(d, 7, &of_worker, 1);
    assert_int_equal(claim_now(d, item), JQ_RUNNING);
    assert_int_equal(claim_now(d, job), JQ_RUNNING);
    claim_bye(d, client);
    assert_int_equal(claim_now(d, item), JQ_READY);
    driver_done(d, worker, of_worker, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_null(claim_job(d, job));
}

static void one_session_holds_and_waits_for_so_many_and_no_more(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint32_t asks = JQ_HELD_MAX / JQ_JOBS_PER_FRAME;

    claim_item(d, client);
    claim_take(d, client);
    for (uint32_t i = 1; i < asks; i++)
        claim_get_many(d, client, 1 + i, JQ_JOBS_PER_FRAME);
    claim_get_many(d, client, 1, JQ_JOBS_PER_FRAME - 2);
    claim_get(d, client, 98, true, 0);
    claim_get(d, client, 98, true, 0); /* again: not once more */
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
    claim_get(d, client, 99, true, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EBUSY);
    claim_unwait(d, client, 98);
    claim_get_many(d, client, 99, JQ_JOBS_PER_FRAME); /* counts as what is left: one */
    claim_get(d, client, 98, true, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EBUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(getters_are_served_in_the_order_of_their_arrival),
        CLAIM(one_that_does_not_wait_is_told_that_there_is_nothing),
        CLAIM(a_get_asked_again_counts_once_and_stands_last),
        CLAIM(an_item_that_comes_after_the_unwait_goes_to_the_next),
        CLAIM(a_paused_queue_gives_nothing_and_concurrency_bounds_what_is_held),
        CLAIM(a_closed_queue_gives_what_it_has_and_then_says_so),
        CLAIM(the_getters_of_a_closed_queue_are_told_with_its_last_item),
        CLAIM(workers_get_no_items_and_getters_no_jobs),
        CLAIM(items_have_their_own_order_beside_the_jobs_of_their_queue),
        CLAIM(a_delayed_item_waits_and_one_that_was_given_does_not_expire),
        CLAIM(a_lost_connection_keeps_its_items_for_a_lease),
        CLAIM(a_session_that_only_says_hello_lives_too),
        CLAIM(one_that_says_bye_gives_back_what_its_session_holds),
        CLAIM(a_bye_is_done_once_however_often_memory_runs_out),
        CLAIM(a_restart_finds_items_with_those_who_hold_them),
        CLAIM(nobody_adopts_an_item_as_a_worker_or_a_job_as_a_client),
        CLAIM(a_client_and_a_worker_may_have_one_session),
        CLAIM(one_session_holds_and_waits_for_so_many_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
