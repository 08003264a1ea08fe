/* SPDX-License-Identifier: MIT
 *
 * test_core_queue_admin.c - what a queue is told at run time, what it says of itself, and JOIN. */
#include "tests/unit/core/core_claims.h"

enum { SETTING = 71, DOING, ASKING, JOINING };

static void set(struct driver *d, uint64_t client, uint64_t mode, uint64_t fields,
                const struct jq_queue_conf *conf)
{
    struct jq_buf confs = { 0 };

    jq_queue_conf_write(&confs, conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = SETTING,
        .u.queue_set = { .name = jq_view_str("q"),
                         .mode = mode,
                         .fields = fields,
                         .conf = jq_records_of(1, &confs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&confs);
}

static void declare(struct driver *d, uint64_t client, const char *order)
{
    const struct jq_queue_conf conf = { .order = jq_view_str(order) };

    set(d, client, JQ_QUEUE_DECLARE, JQ_QUEUE_ORDER, &conf);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
}

static void act(struct driver *d, uint64_t client, enum jq_queue_action action)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_DO,
        .correlation = DOING,
        .u.queue_do = { .name = jq_view_str("q"), .action = action },
    };
    driver_apply(d, client, &msg);
    driver_commit(d);
}

static void join(struct driver *d, uint64_t client)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_JOIN,
        .correlation = JOINING,
        .u.join = { .queue = jq_view_str("q") },
    };
    driver_apply(d, client, &msg);
}

static struct jq_queue_info ask(struct driver *d, uint64_t client, struct driver_frame *frame)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_ASK,
        .correlation = ASKING,
        .u.queue_ask = { .name = jq_view_str("q") },
    };
    struct jq_queue_info info = { 0 };

    driver_apply(d, client, &msg);
    *frame = driver_expect(d, client, JQ_MSG_QUEUE_SAID);
    struct jq_reader r = jq_records_reader(frame->msg.u.queue_said.info);
    assert_true(jq_queue_info_next(&r, &info));
    return info;
}

static void submit_three(struct driver *d, uint64_t client)
{
    static const int32_t priorities[] = { 2, -1, 2 };

    for (uint64_t i = 0; i < 3; i++)
        driver_submit(
            d, client,
            (struct driver_submit){ .number = i + 1, .queue = "q", .priority = priorities[i] });
    driver_commit(d);
}

/* ---- order ---- */

static void expect_order(void **state, const char *order, const uint64_t ids[3])
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    declare(d, client, order);
    submit_three(d, client);
    driver_crash(d);
    const uint64_t worker = driver_worker(d, 8, 0);
    for (uint64_t i = 0; i < 3; i++) {
        driver_credit(d, worker, i + 1);
        assert_int_equal(driver_grant(d, worker).id, ids[i]);
    }
}

static void a_lifo_queue_runs_the_newest_first_also_after_a_restart(void **state)
{
    expect_order(state, "lifo", (const uint64_t[]){ 3, 2, 1 });
}

static void a_priority_queue_runs_the_lowest_first_and_ties_in_turn(void **state)
{
    expect_order(state, "priority", (const uint64_t[]){ 2, 1, 3 });
}

static void an_order_changes_only_while_nothing_is_unfinished(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_queue_conf lifo = { .order = jq_view_str("lifo") };
    const struct jq_queue_conf none = { .order = jq_view_str("sideways") };

    declare(d, client, "fifo");
    submit_three(d, client);
    set(d, client, JQ_QUEUE_CHANGE, JQ_QUEUE_ORDER, &lifo);
    assert_int_equal(claim_expect_error(d, client), JQ_ESTATE);
    set(d, client, JQ_QUEUE_DECLARE, JQ_QUEUE_ORDER, &lifo);
    assert_int_equal(claim_expect_error(d, client), JQ_EEXIST);
    set(d, client, JQ_QUEUE_MAKE, JQ_QUEUE_ORDER, &lifo);
    assert_int_equal(claim_expect_error(d, client), JQ_EEXIST);
    set(d, client, JQ_QUEUE_CHANGE, JQ_QUEUE_ORDER, &none);
    assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
}

/* ---- running ---- */

static void a_paused_queue_hands_nothing_out_until_it_is_resumed(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);

    declare(d, client, "fifo");
    act(d, client, JQ_QUEUE_PAUSE);
    submit_three(d, client);
    driver_crash(d);
    const uint64_t worker = driver_worker(d, 8, 9);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    client = driver_client(d, 9);
    act(d, client, JQ_QUEUE_RESUME);
    claim_drop(d, worker, JQ_MSG_GRANTS);
}

static void no_more_jobs_run_than_the_concurrency_of_their_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_queue_conf conf = { .order = jq_view_str("fifo"), .concurrency = 1 };
    struct driver_frame frame;

    set(d, client, JQ_QUEUE_DECLARE, JQ_QUEUE_CONCURRENCY, &conf);
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
    submit_three(d, client);
    for (int i = 0; i < 3; i++) {
        const struct jq_held held = driver_grant(d, worker);
        assert_int_equal(ask(d, client, &frame).running, 1);
        driver_frame_free(&frame);
        assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
        driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
    }
}

static void a_closed_queue_takes_nothing_and_runs_what_it_has(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    submit_three(d, client);
    act(d, client, JQ_QUEUE_CLOSE);
    act(d, client, JQ_QUEUE_CLOSE);
    driver_submit(d, client, (struct driver_submit){ .number = 4, .queue = "q" });
    assert_int_equal(claim_expect_error(d, client), JQ_ECLOSED);
    claim_drop(d, driver_worker(d, 8, 9), JQ_MSG_GRANTS);
    act(d, client, JQ_QUEUE_REOPEN);
    driver_submit(d, client, (struct driver_submit){ .number = 5, .queue = "q" });
    driver_commit(d);
}

/* ---- JOIN ---- */

static void a_join_is_released_when_the_last_end_is_durable(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 0);

    submit_three(d, client);
    join(d, client);
    for (uint64_t i = 0; i < 3; i++) {
        driver_commit(d);
        assert_false(driver_has(d, client, JQ_MSG_JOINED));
        driver_credit(d, worker, i + 1);
        driver_done(d, worker, driver_grant(d, worker), JQ_OUTCOME_EXITED, 1);
    }
    assert_false(driver_has(d, client, JQ_MSG_JOINED)); /* not durable yet */
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_JOINED);
    join(d, client); /* nothing is unfinished: at once */
    driver_commit(d);
    claim_drop(d, client, JQ_MSG_JOINED);
}

static void a_join_that_is_withdrawn_or_of_no_queue_waits_for_nothing(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg unwait = { .tag = JQ_MSG_UNWAIT, .correlation = JOINING };

    join(d, client);
    assert_int_equal(claim_expect_error(d, client), JQ_ENOENT);
    submit_three(d, client);
    join(d, client);
    driver_apply(d, client, &unwait);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(claim_cancel(d, client, id), 0);
    driver_commit(d);
    assert_false(driver_has(d, client, JQ_MSG_JOINED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_lifo_queue_runs_the_newest_first_also_after_a_restart),
        CLAIM(a_priority_queue_runs_the_lowest_first_and_ties_in_turn),
        CLAIM(an_order_changes_only_while_nothing_is_unfinished),
        CLAIM(a_paused_queue_hands_nothing_out_until_it_is_resumed),
        CLAIM(no_more_jobs_run_than_the_concurrency_of_their_queue),
        CLAIM(a_closed_queue_takes_nothing_and_runs_what_it_has),
        CLAIM(a_join_is_released_when_the_last_end_is_durable),
        CLAIM(a_join_that_is_withdrawn_or_of_no_queue_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
