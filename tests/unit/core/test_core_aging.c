/* SPDX-License-Identifier: MIT
 *
 * test_core_aging.c - waiting is worth priority: who overtakes whom, by how much at most, and that
 * neither a restart nor a change at run time leaves jobs in an order that is not theirs. */
#include "tests/unit/core/queue_claims.h"

static void age(struct driver *d, uint64_t client, uint64_t aging_ms)
{
    const struct jq_queue_conf conf = { .order = jq_view_str("priority"), .aging_ms = aging_ms };

    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_ORDER | JQ_QUEUE_AGING, conf), 0);
}

static void expect(struct driver *d, const uint64_t *ids, size_t count)
{
    static uint64_t session = 100;
    const uint64_t worker = driver_worker(d, ++session, 0);

    for (size_t i = 0; i < count; i++) {
        driver_credit(d, worker, i + 1);
        assert_int_equal(driver_grant(d, worker).id, ids[i]);
    }
}

static void a_job_is_overtaken_only_by_those_that_came_soon_enough_after_it(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    age(d, client, 1000);
    claim_job_in_q(d, client, 5); /* 1: until 2000 ms later by one of priority 3 */
    driver_tick(d, 1999);
    claim_job_in_q(d, client, 3); /* 2: overtakes it */
    driver_tick(d, 1);
    claim_job_in_q(d, client, 3); /* 3: as urgent, and younger */
    driver_tick(d, 1);
    claim_job_in_q(d, client, 3);  /* 4 */
    claim_job_in_q(d, client, -9); /* 5 */
    expect(d, (const uint64_t[]){ 5, 2, 1, 3, 4 }, 5);
}

static void without_aging_a_job_may_be_overtaken_for_ever(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    age(d, client, 0);
    claim_job_in_q(d, client, 5);
    driver_tick(d, 10000);
    claim_job_in_q(d, client, 4);
    expect(d, (const uint64_t[]){ 2, 1 }, 2);
}

/* Ten of falling urgency, in lanes, as items, and some that wait for a limit. */
static void change_at_run_time(struct driver *d, uint64_t client, bool crash)
{
    struct claim_lists tagged = { 0 }, limited = { 0 };
    struct jq_job_options with_tag = { 0 }, with_limit = { 0 };

    claim_need(&tagged, "a");
    claim_lists_into(&tagged, &with_tag);
    claim_limit(&limited, "l", 1);
    claim_lists_into(&limited, &with_limit);
    claim_put(d, client, "noop", -100, 1, &with_limit); /* 1: runs, and holds the limit */
    driver_worker(d, 8, 1);
    for (int32_t i = 0; i < 3; i++) {
        claim_put(d, client, "noop", 9 - i, 1, &with_limit); /* 2, 6, 10 */
        claim_put(d, client, "noop", 9 - i, 1, &with_tag);   /* 3, 7, 11 */
        claim_put(d, client, "item", 9 - i, 1, NULL);        /* 4, 8, 12 */
        claim_put(d, client, "noop", 9 - i, 1, NULL);        /* 5, 9, 13 */
        driver_tick(d, 10);
    }
    driver_commit(d);
    claim_lists_fini(&tagged);
    claim_lists_fini(&limited);
    if (crash)
        driver_crash(d);
}

static void aging_that_changes_reorders_all_that_waits(void **state)
{
    struct driver *d = *state;

    for (int crash = 0; crash < 2; crash++) {
        uint64_t client = driver_client(d, 7);
        age(d, client, 0);
        change_at_run_time(d, client, crash);
        client = driver_client(d, 7);
        claim_peek(d, client, 1);
        assert_int_equal(claim_taken(d, client).held.id, 12);
        age(d, client, 1); /* 10 ms of waiting are worth more than any difference here */
        const uint64_t worker = claim_tagged(d, 30, "a", 0);
        if (crash)
            driver_tick(d, 600);
        const uint64_t plain[] = { 3, 5, 7, 9, 11, 13 };
        uint64_t credit = 0;
        for (size_t i = 0; i < 6; i++) {
            driver_credit(d, worker, ++credit);
            assert_int_equal(driver_grant(d, worker).id, plain[i]);
        }
        assert_int_equal(claim_take(d, client).id, 4);
        assert_int_equal(claim_take(d, client).id, 8);
        driver_close(d);
        driver_open(d);
    }
}

static void jobs_that_wait_for_a_limit_are_reordered_too(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct claim_lists limited = { 0 };
    struct jq_job_options with_limit = { 0 };
    static const uint64_t ids[] = { 2, 4, 3 };

    claim_limit(&limited, "l", 1);
    claim_lists_into(&limited, &with_limit);
    age(d, client, 0);
    claim_put(d, client, "noop", 0, 1, &with_limit);
    for (int32_t i = 0; i < 3; i++) {
        claim_put(d, client, "noop", i == 1 ? 9 : 5 - i, 1, &with_limit);
        driver_tick(d, 100);
    }
    assert_int_equal(claim_ask_queue(d, client).blocked, 3);
    age(d, client, 100); /* 5 * 100 + 0, 9 * 100 + 100, 3 * 100 + 200: two and four are equal */
    for (size_t i = 0; i < 3; i++) {
        driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
        assert_int_equal(claim_now(d, ids[i]), JQ_RUNNING);
        if (i == 0)
            age(d, client, 0);
    }
    claim_lists_fini(&limited);
}

static void those_who_stand_aside_are_reordered_too(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    uint64_t worker = driver_worker(d, 8, 0);

    claim_declare(d, client, "priority", 4);
    for (int32_t i = 0; i < 4; i++) {
        claim_job_in_q(d, client, 4 - i);
        driver_tick(d, 1000);
    }
    driver_credit(d, worker, 4);
    claim_drop(d, worker, JQ_MSG_GRANTS);
    claim_declare(d, client, "priority", 1);
    claim_job_in_q(d, client, -50);
    claim_bye(d, worker);
    assert_int_equal(claim_queue(d, "q")->aside.count, 4);
    age(d, client, 10);
    worker = driver_worker(d, 9, 0);
    for (uint64_t i = 0; i < 5; i++) { /* 4000 ms are worth 400: the last came too late */
        static const uint64_t ids[] = { 5, 1, 2, 3, 4 };
        driver_credit(d, worker, i + 1);
        assert_int_equal(driver_grant(d, worker).id, ids[i]);
    }
}

static void the_order_is_the_same_after_a_restart(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    age(d, client, 50);
    claim_job_in_q(d, client, 2);
    driver_tick(d, 60);
    claim_job_in_q(d, client, 1);
    driver_tick(d, 30);
    claim_job_in_q(d, client, 0); /* 100, 60 + 50, 90 + 0 */
    driver_commit(d);
    driver_crash(d);
    expect(d, (const uint64_t[]){ 3, 1, 2 }, 3);
}

static void extremes_stay_in_order(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf too_much = { .order = jq_view_str("priority"),
                                            .aging_ms = UINT64_C(1) << 31 };

    age(d, client, INT32_MAX);
    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_AGING, too_much), JQ_EINVAL);
    d->now.wall = INT64_C(9000000000) * 1000000000;
    claim_job_in_q(d, client, INT32_MAX);
    claim_job_in_q(d, client, 0);
    claim_job_in_q(d, client, INT32_MIN);
    expect(d, (const uint64_t[]){ 3, 2, 1 }, 3);
}

static void other_orders_know_no_age(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf conf = { .order = jq_view_str("lifo"), .aging_ms = 1 };

    claim_set(d, client, "q", JQ_QUEUE_ORDER | JQ_QUEUE_AGING, conf);
    claim_job_in_q(d, client, 0);
    driver_tick(d, 1000);
    claim_job_in_q(d, client, 9);
    expect(d, (const uint64_t[]){ 2, 1 }, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_is_overtaken_only_by_those_that_came_soon_enough_after_it),
        CLAIM(without_aging_a_job_may_be_overtaken_for_ever),
        CLAIM(aging_that_changes_reorders_all_that_waits),
        CLAIM(jobs_that_wait_for_a_limit_are_reordered_too),
        CLAIM(those_who_stand_aside_are_reordered_too),
        CLAIM(the_order_is_the_same_after_a_restart),
        CLAIM(extremes_stay_in_order),
        CLAIM(other_orders_know_no_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
