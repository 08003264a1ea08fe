/* SPDX-License-Identifier: MIT
 *
 * test_core_queue_found.c - what test_core_queue_random.c has found, each in as few steps as it
 * takes: purges and what they spare, items that stand aside, leases of who holds them. */
#include "tests/unit/core/core_claims.h"

enum { CORRELATION = 71, FIRST_GET = 100 };

/* ---- steps ---- */

static void submit(struct driver *d, uint64_t client, uint64_t number, uint32_t count)
{
    driver_submit(d, client,
                  (struct driver_submit){ .number = number,
                                          .queue = "q",
                                          .handler = JQ_HANDLER_ITEM,
                                          .job_flags = JQ_JOB_DISCARD,
                                          .count = count });
}

static void set_maxsize(struct driver *d, uint64_t client, uint64_t maxsize)
{
    const struct jq_queue_conf conf = { .maxsize = maxsize };
    struct jq_buf confs = { 0 };

    jq_queue_conf_write(&confs, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = CORRELATION,
        .u.queue_set = { .name = jq_view_str("q"),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = JQ_QUEUE_MAXSIZE,
                         .conf = jq_records_of(1, &confs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&confs);
}

static void act(struct driver *d, uint64_t client, enum jq_queue_action action)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_DO,
        .correlation = CORRELATION,
        .u.queue_do = { .name = jq_view_str("q"), .action = action },
    };
    driver_apply(d, client, &msg);
}

static struct jq_queue_info counts(struct driver *d)
{
    const uint64_t client = driver_client(d, 99);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_ASK,
        .correlation = CORRELATION,
        .u.queue_ask = { .name = jq_view_str("q") },
    };
    struct jq_queue_info info = { 0 };

    driver_apply(d, client, &msg);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_QUEUE_SAID);
    struct jq_reader r = jq_records_reader(frame.msg.u.queue_said.info);
    assert_true(jq_queue_info_next(&r, &info));
    driver_frame_free(&frame);
    return info;
}

static struct jq_msg get_of(uint64_t correlation, uint64_t wait)
{
    return (struct jq_msg){
        .tag = JQ_MSG_GET,
        .correlation = correlation,
        .u.get = { .queue = jq_view_str("q"), .wait = wait },
    };
}

static struct jq_held item(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ITEM);
    const struct jq_held held = { .id = frame.msg.u.item.id, .fence = frame.msg.u.item.fence };

    driver_frame_free(&frame);
    return held;
}

static struct jq_held take(struct driver *d, uint64_t client)
{
    const struct jq_msg get = get_of(CORRELATION, 0);

    driver_apply(d, client, &get);
    return item(d, client);
}

static void nack(struct driver *d, uint64_t client, struct jq_held held)
{
    const struct jq_settling settling = { .id = held.id,
                                          .fence = held.fence,
                                          .action = JQ_SETTLE_NACK };
    struct jq_buf records = { 0 };

    jq_settling_write(&records, &settling);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SETTLE,
        .correlation = CORRELATION,
        .u.settle = { .items = jq_records_of(1, &records) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&records);
}

/* Two items; the first is held while the queue is purged, and comes back: it is spared. */
static uint64_t spare_one(struct driver *d)
{
    const uint64_t client = driver_client(d, 7);

    submit(d, client, 1, 2);
    const struct jq_held held = take(d, client);
    act(d, client, JQ_QUEUE_PURGE);
    nack(d, client, held);
    return client;
}

/* Ready: 1, 2, 4, by a ROOM that was kept before. Aside: 3. Two places. */
static uint64_t overfill(struct driver *d)
{
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg room = { .tag = JQ_MSG_ROOM,
                                 .correlation = CORRELATION,
                                 .u.room = { .queue = jq_view_str("q"), .count = 1 } };
    struct jq_held held[3];

    submit(d, client, 1, 3);
    for (int i = 0; i < 3; i++)
        held[i] = take(d, client);
    set_maxsize(d, client, 2);
    driver_apply(d, client, &room);
    for (int i = 0; i < 3; i++)
        nack(d, client, held[i]);
    submit(d, client, 2, 1);
    assert_int_equal(counts(d).ready, 3);
    assert_int_equal(counts(d).blocked, 1);
    driver_commit(d);
    return client;
}

/* ---- purges ---- */

static void a_purge_goes_on_after_a_restart_behind_what_was_spared(void **state)
{
    struct driver *d = *state;

    spare_one(d);
    driver_commit(d);
    driver_crash(d);
    const uint64_t client = driver_client(d, 7);
    driver_tick(d, 10);
    assert_int_equal(counts(d).purging, 0);
    assert_int_equal(take(d, client).id, 1);
}

static void what_was_spared_once_is_purged_for_good_by_the_next(void **state)
{
    struct driver *d = *state;
    uint64_t client = spare_one(d);

    driver_commit(d);
    driver_tick(d, 10);
    assert_int_equal(counts(d).ready, 1);
    submit(d, client, 2, 1);
    act(d, client, JQ_QUEUE_PURGE);
    assert_int_equal(counts(d).cancelled, 3);
    driver_commit(d);
    driver_crash(d);
    assert_int_equal(counts(d).cancelled, 3);
    assert_int_equal(counts(d).ready, 0);
}

static void what_is_being_purged_takes_no_place(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    submit(d, client, 1, 2);
    const struct jq_held first = take(d, client), second = take(d, client);
    set_maxsize(d, client, 1);
    nack(d, client, first);
    act(d, client, JQ_QUEUE_PURGE);
    nack(d, client, second);
    assert_int_equal(counts(d).ready, 1);
    assert_int_equal(counts(d).blocked, 0);
}

static void what_is_being_purged_is_not_shown(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg peek = { .tag = JQ_MSG_PEEK,
                                 .correlation = CORRELATION,
                                 .u.peek = { .queue = jq_view_str("q") } };

    submit(d, client, 1, 1);
    act(d, client, JQ_QUEUE_PURGE);
    driver_apply(d, client, &peek);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
}

static void a_second_purge_ends_what_the_first_spared(void **state)
{
    struct driver *d = *state;
    const uint64_t client = spare_one(d);

    driver_tick(d, 10);
    act(d, client, JQ_QUEUE_PURGE);
    driver_tick(d, 10);
    assert_int_equal(counts(d).cancelled, 2);
    assert_int_equal(counts(d).purging, 0);
}

/* ---- who stands aside ---- */

static void a_new_maxsize_moves_nothing_that_was_aside_before(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct jq_held held[2];

    submit(d, client, 1, 2);
    for (int i = 0; i < 2; i++)
        held[i] = take(d, client);
    set_maxsize(d, client, 1);
    for (int i = 0; i < 2; i++)
        nack(d, client, held[i]);
    assert_int_equal(counts(d).blocked, 1);
    set_maxsize(d, client, 2);
    assert_int_equal(counts(d).blocked, 0);
    set_maxsize(d, client, 1);
    assert_int_equal(counts(d).blocked, 0);
}

static void a_get_is_not_empty_while_one_stands_aside(void **state)
{
    struct driver *d = *state;
    const uint64_t client = overfill(d);

    for (uint64_t i = 0; i < 4; i++) { /* of one turn */
        const struct jq_msg get = get_of(FIRST_GET + i, 0);
        assert_int_equal(jq_core_apply(d->core, d->now, client, &get), JQ_OK);
    }
    driver_collect(d);
    assert_false(driver_has(d, client, JQ_MSG_ERROR));
}

static void what_stands_aside_is_overtaken_by_nobody_in_one_turn(void **state)
{
    struct driver *d = *state;
    const uint64_t client = overfill(d);

    act(d, client, JQ_QUEUE_PAUSE);
    for (uint64_t i = 0; i < 4; i++) {
        const struct jq_msg get = get_of(FIRST_GET + i, 1);
        driver_apply(d, client, &get);
    }
    act(d, client, JQ_QUEUE_RESUME);
    for (uint64_t id = 1; id <= 4; id++)
        assert_int_equal(item(d, client).id, id);
}

static void restarts_set_no_more_aside_than_were(void **state)
{
    struct driver *d = *state;

    overfill(d);
    for (int i = 0; i < 3; i++) {
        driver_crash(d);
        assert_int_equal(counts(d).blocked, 1);
    }
}

/* ---- who holds ---- */

static void a_session_has_a_lease_to_come_back_however_long_it_was_silent(void **state)
{
    struct driver *d = *state;
    const uint64_t other = driver_client(d, 6), client = driver_client(d, 7);

    submit(d, client, 1, 2);
    take(d, other); /* whose lease comes up first */
    take(d, client);
    driver_commit(d);
    driver_tick(d, 2 * d->conf.lease_ms - 1000);
    assert_int_equal(jq_core_gone(d->core, d->now, client), JQ_OK);
    driver_tick(d, d->conf.lease_ms - 1000);
    assert_int_equal(counts(d).running, 2);
    driver_tick(d, 2000);
    assert_int_equal(counts(d).running, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_purge_goes_on_after_a_restart_behind_what_was_spared),
        CLAIM(what_was_spared_once_is_purged_for_good_by_the_next),
        CLAIM(what_is_being_purged_takes_no_place),
        CLAIM(what_is_being_purged_is_not_shown),
        CLAIM(a_new_maxsize_moves_nothing_that_was_aside_before),
        CLAIM(a_get_is_not_empty_while_one_stands_aside),
        CLAIM(what_stands_aside_is_overtaken_by_nobody_in_one_turn),
        CLAIM(restarts_set_no_more_aside_than_were),
        CLAIM(a_session_has_a_lease_to_come_back_however_long_it_was_silent),
        CLAIM(a_second_purge_ends_what_the_first_spared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
