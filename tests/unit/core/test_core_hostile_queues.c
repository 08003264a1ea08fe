/* SPDX-License-Identifier: MIT
 *
 * test_core_hostile_queues.c - messages about queues and items from peers that ask too much, ask at
 * the wrong time or say what is not so. After each the driver checks every invariant. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/core/queue_claims.h"

static const uint64_t absurd[] = { 0, 1, 2, UINT32_MAX, INT64_MAX, UINT64_MAX };
enum { ABSURD = sizeof absurd / sizeof absurd[0] };

/* Not checked after each: that would take long. */
static void apply_at_once(struct driver *d, uint64_t peer, const struct jq_msg *msg)
{
    assert_int_equal(jq_core_apply(d->core, d->now, peer, msg), JQ_OK);
}

static size_t drop_all(struct driver *d, uint64_t peer, enum jq_tag tag)
{
    size_t count = 0;

    for (; driver_has(d, peer, tag); count++)
        claim_drop(d, peer, tag);
    return count;
}

static void messages_of_clients_are_for_clients_alone(void **state)
{
    static const enum jq_tag tags[] = { JQ_MSG_GET,  JQ_MSG_PEEK,     JQ_MSG_SETTLE,
                                        JQ_MSG_ROOM, JQ_MSG_QUEUE_DO, JQ_MSG_QUEUE_SET };
    struct driver *d = *state;
    const uint64_t worker = driver_worker(d, 8, 9), beat = driver_beat(d, 8);

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        const struct jq_msg msg = { .tag = tags[i], .correlation = 3 };
        driver_apply(d, worker, &msg);
        assert_int_equal(claim_expect_error(d, worker), JQ_EINVAL);
        driver_apply(d, beat, &msg);
        assert_int_equal(claim_expect_error(d, beat), JQ_EINVAL);
        driver_apply(d, 777, &msg);
        assert_int_equal(claim_expect_error(d, 777), JQ_ENOHELLO);
    }
}

static void answers_are_no_requests(void **state)
{
    static const enum jq_tag tags[] = { JQ_MSG_ITEM,      JQ_MSG_ITEMS,      JQ_MSG_SETTLED,
                                        JQ_MSG_ROOM_KEPT, JQ_MSG_QUEUE_SAID, JQ_MSG_JOINED };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        const struct jq_msg msg = { .tag = tags[i], .correlation = 3 };
        driver_apply(d, client, &msg);
        assert_int_equal(claim_expect_error(d, client), JQ_EINVAL);
    }
}

static void leases_delays_and_fences_may_be_any_number(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (uint64_t i = 0; i < ABSURD; i++) {
        claim_item(d, client);
        claim_get(d, client, UINT64_MAX, true, absurd[i]);
        driver_commit(d);
        const struct jq_held held = claim_taken(d, client).held;
        for (uint64_t k = 0; k < ABSURD; k++) {
            const struct jq_held other = { .id = absurd[k], .fence = absurd[(k + i) % ABSURD] };
            if (other.id != held.id || other.fence != held.fence)
                assert_true(claim_settle(d, client, other, k % 3, absurd[k]) != JQ_OK);
            claim_settle(d, client, held, JQ_SETTLE_EXTEND, absurd[k]);
        }
        driver_tick(d, 1);
        if (claim_now(d, held.id) == JQ_RUNNING)
            claim_settle(d, client, held, JQ_SETTLE_NACK, absurd[i]);
        driver_crash(d);
        driver_close(d);
        driver_open(d);
        assert_int_equal(driver_client(d, 7), client);
    }
}

static void queues_without_a_name_or_with_a_wrong_one_are_refused(void **state)
{
    static const char *const names[] = { "", "no such name!", "q/../q" };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (size_t i = 0; i < 3; i++) {
        const struct jq_view name = jq_view_str(names[i]);
        const struct jq_msg msgs[] = {
            { .tag = JQ_MSG_GET, .correlation = 1, .u.get = { .queue = name, .wait = 1 } },
            { .tag = JQ_MSG_GET, .correlation = 1, .u.get = { .queue = name } },
            { .tag = JQ_MSG_ROOM, .correlation = 1, .u.room = { .queue = name, .count = 1 } },
            { .tag = JQ_MSG_PEEK, .correlation = 1, .u.peek = { .queue = name } },
            { .tag = JQ_MSG_QUEUE_SET, .u.queue_set = { .name = name } },
            { .tag = JQ_MSG_QUEUE_DO, .u.queue_do = { .name = name, .action = 6 } },
        };
        for (size_t m = 0; m < sizeof msgs / sizeof msgs[0]; m++) {
            driver_apply(d, client, &msgs[m]);
            assert_true(claim_expect_error(d, client) != JQ_OK);
        }
    }
    assert_int_equal(d->core->queues.count, 0);
}

static void getting_makes_no_more_queues_than_may_be(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    char name[32];

    d->core->conf.queues_max = 3;
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "queue-%d", i);
        const struct jq_msg get = { .tag = JQ_MSG_GET,
                                    .correlation = 1 + (uint64_t)i,
                                    .u.get = { .queue = jq_view_str(name), .wait = 1 } };
        driver_apply(d, client, &get);
    }
    assert_int_equal(drop_all(d, client, JQ_MSG_ERROR), 3);
    assert_int_equal(d->core->queues.count, 3);
}

static void thousands_of_gets_of_one_connection_cost_little_and_have_an_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_client(d, 8);
    struct jq_msg get = { .tag = JQ_MSG_GET, .u.get = { .queue = jq_view_str("q"), .wait = 1 } };

    for (get.correlation = 1; get.correlation <= JQ_HELD_MAX + 5; get.correlation++)
        apply_at_once(d, client, &get);
    driver_collect(d);
    assert_int_equal(drop_all(d, client, JQ_MSG_ERROR), 5);
    for (get.correlation = 1; get.correlation <= 500; get.correlation++)
        apply_at_once(d, client, &get); /* again */
    driver_collect(d);
    assert_int_equal(claim_queue(d, "q")->getting, JQ_HELD_MAX);
    claim_get(d, other, 1, true, 0);
    claim_unwait(d, client, 501);
    claim_item(d, other);
    assert_int_equal(claim_taken(d, client).correlation, 502);
    claim_gone(d, client);
    claim_item(d, other);
    claim_taken(d, other);
}

static void thousands_of_rooms_of_one_connection_have_an_end(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_client(d, 8);
    struct jq_msg room = { .tag = JQ_MSG_ROOM,
                           .u.room = { .queue = jq_view_str("q"), .count = 1 } };

    claim_declare(d, client, "fifo", 10);
    for (room.correlation = 1; room.correlation <= d->core->conf.rooms_max + 3; room.correlation++)
        apply_at_once(d, client, &room);
    driver_collect(d);
    assert_int_equal(drop_all(d, client, JQ_MSG_ERROR), 3);
    assert_int_equal(drop_all(d, client, JQ_MSG_ROOM_KEPT), 10);
    claim_room(d, other, 1, 10);
    claim_gone(d, client);
    assert_true(claim_kept(d, other, 1));
}

static void sessions_of_one_connection_that_hold_items_are_bounded(void **state)
{
    struct driver *d = *state;
    struct jq_msg hello = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = 1, .version_max = 1, .role = JQ_ROLE_CLIENT },
    };

    d->core->conf.peers_max = 10;
    for (uint64_t i = 1; i <= 100; i++) {
        hello.u.hello.session = i;
        driver_apply(d, 500, &hello);
        claim_get(d, 500, 1, true, 0);
    }
    assert_int_equal(d->core->holders.count, 20);
    driver_tick(d, 20000); /* their leases end */
    assert_int_equal(d->core->holders.count, 0);
}

static void one_correlation_for_everything_confuses_nobody(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg join = { .tag = JQ_MSG_JOIN,
                                 .correlation = 5,
                                 .u.join.queue = jq_view_str("q") };

    claim_declare(d, client, "fifo", 1);
    claim_put(d, client, "noop", 0, 1, NULL);
    for (int i = 0; i < 3; i++) {
        claim_get(d, client, 5, true, 0);
        claim_room(d, client, 5, 1);
        driver_wait(d, client, 5, 1);
        driver_apply(d, client, &join);
    }
    claim_unwait(d, client, 5);
    assert_int_equal(claim_queue(d, "q")->getting + claim_queue(d, "q")->putting, 0);
    assert_true(jq_dlist_empty(&claim_queue(d, "q")->joiners));
}

static void one_settle_may_name_an_item_many_times(void **state)
{
    static const enum jq_settle_action actions[] = { JQ_SETTLE_EXTEND, JQ_SETTLE_NACK,
                                                     JQ_SETTLE_DONE, JQ_SETTLE_EXTEND };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    static const int64_t errors[] = { 0, 0, JQ_EFENCED, JQ_EFENCED };
    struct jq_buf items = { 0 };
    struct jq_ack ack;

    claim_item(d, client);
    const struct jq_held held = claim_take(d, client);
    for (size_t i = 0; i < 4; i++)
        jq_settling_write(&items, &(struct jq_settling){ .id = held.id,
                                                         .fence = held.fence,
                                                         .action = actions[i],
                                                         .ms = 5 * (i == 0) });
    const struct jq_msg msg = { .tag = JQ_MSG_SETTLE,
                                .correlation = 1,
                                .u.settle.items = jq_records_of(4, &items) };
    driver_apply(d, client, &msg);
    jq_buf_fini(&items);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SETTLED);
    struct jq_reader r = jq_records_reader(frame.msg.u.settled.each);
    for (size_t i = 0; i < 4; i++) {
        assert_true(jq_ack_next(&r, &ack));
        assert_int_equal(ack.error, errors[i]);
    }
    driver_frame_free(&frame);
    assert_int_equal(claim_now(d, held.id), JQ_READY);
}

static void a_hello_that_lists_what_nobody_gave_holds_nothing(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct jq_held held[ABSURD];
    uint32_t lost;

    claim_item(d, client);
    for (uint64_t i = 0; i < ABSURD; i++)
        held[i] = (struct jq_held){ .id = absurd[i], .fence = absurd[ABSURD - 1 - i] };
    client = claim_client_back(d, 9, held, ABSURD, &lost);
    assert_int_equal(lost, ABSURD);
    driver_crash(d);
    client = claim_client_back(d, 9, held, ABSURD, &lost);
    assert_int_equal(lost, ABSURD);
    assert_int_equal(claim_now(d, 1), JQ_READY);
}

static void one_who_reads_nothing_is_given_little(void **state)
{
    enum { ITEMS = 12, PAYLOAD = 1 << 20 };
    struct driver *d = *state;
    const uint64_t slow = driver_client(d, 7), other = driver_client(d, 8);
    char *payload = calloc(1, PAYLOAD);
    struct jq_buf jobs = { 0 };
    struct jq_effect effect;

    assert_non_null(payload);
    for (uint64_t i = 1; i <= ITEMS; i++)
        claim_get(d, slow, i, true, 0);
    for (int i = 0; i < ITEMS; i++)
        jq_job_spec_write(&jobs, &(struct jq_job_spec){ .handler = jq_view_str("item"),
                                                        .payload = jq_view(payload, PAYLOAD) });
    const struct jq_msg submit = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = 1,
        .u.submit = { .queue = jq_view_str("q"), .jobs = jq_records_of(ITEMS, &jobs) },
    };
    apply_at_once(d, other, &submit);
    jq_buf_fini(&jobs);
    free(payload);
    assert_true(jq_core_take_effect(d->core, d->now, &effect));
    jq_effect_fini(&effect);
    assert_in_range(claim_queue(d, "q")->by_state[JQ_RUNNING], 1, 5);
    driver_collect(d); /* now it reads */
    assert_int_equal(claim_queue(d, "q")->by_state[JQ_RUNNING], ITEMS);
}

static void sizes_and_settings_may_be_any_number(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    for (uint64_t i = 0; i < ABSURD; i++) {
        const struct jq_queue_conf conf = {
            .order = jq_view_str("priority"),
            .maxsize = absurd[i],
            .concurrency = absurd[i] & UINT32_MAX,
            .backoff_ms = absurd[i],
            .keep_ms = absurd[i],
            .aging_ms = absurd[i] & INT32_MAX,
        };
        assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_FIELDS & ~JQ_QUEUE_ORDER, conf), 0);
        claim_room(d, client, 1 + i, 1);
        claim_put(d, client, "noop", INT32_MIN, 1, NULL);
        claim_do(d, client, JQ_QUEUE_PURGE);
        driver_tick(d, 1);
        driver_commit(d);
        claim_unwait(d, client, 1 + i);
    }
    assert_int_equal(claim_set(d, client, "q", UINT64_MAX, (struct jq_queue_conf){ 0 }), JQ_EINVAL);
    for (uint64_t action = JQ_QUEUE_ACTIONS; action < 16; action++) {
        const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_DO,
                                    .u.queue_do = { .name = jq_view_str("q"), .action = action } };
        driver_apply(d, client, &msg);
        drop_all(d, client, JQ_MSG_ERROR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(messages_of_clients_are_for_clients_alone),
        CLAIM(answers_are_no_requests),
        CLAIM(leases_delays_and_fences_may_be_any_number),
        CLAIM(queues_without_a_name_or_with_a_wrong_one_are_refused),
        CLAIM(getting_makes_no_more_queues_than_may_be),
        CLAIM(thousands_of_gets_of_one_connection_cost_little_and_have_an_end),
        CLAIM(thousands_of_rooms_of_one_connection_have_an_end),
        CLAIM(sessions_of_one_connection_that_hold_items_are_bounded),
        CLAIM(one_correlation_for_everything_confuses_nobody),
        CLAIM(one_settle_may_name_an_item_many_times),
        CLAIM(a_hello_that_lists_what_nobody_gave_holds_nothing),
        CLAIM(one_who_reads_nothing_is_given_little),
        CLAIM(sizes_and_settings_may_be_any_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
