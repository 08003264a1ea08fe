/* SPDX-License-Identifier: MIT
 *
 * test_pending_item.c - items that are held, come too late, are settled, lost, and found again. */
#include "tests/unit/client/pending_peer.h"

#include "proto/base/alloc.h"

enum { FENCE = 77 };

static struct jq_ask *get(struct peer *peer, uint64_t lease_ms)
{
    const struct jq_get msg = { .queue = jq_view_str("q"), .wait = 1, .lease_ms = lease_ms };
    struct jq_ask *ask = NULL;

    assert_int_equal(jq_pending_get(&peer->p, &msg, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_GET, NULL);
    return ask;
}

static void give(struct peer *peer, uint64_t correlation, uint64_t id)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEM,
        .correlation = correlation,
        .u.item = { .id = id, .fence = FENCE, .attempt = 1, .payload = jq_view_str("bytes") },
    };

    peer_answer(peer, &msg);
}

static struct jobq_item *take(struct peer *peer, uint64_t lease_ms, uint64_t id)
{
    struct jq_ask *ask = get(peer, lease_ms);

    give(peer, ask->correlation, id);
    assert_true(ask->u.one.done);
    struct jobq_item *item = jq_pending_take_item(ask);
    assert_non_null(item);
    jq_pending_end(&peer->p, ask);
    peer_take_nothing(peer);
    return item;
}

static struct jq_settling take_settle(struct peer *peer, uint64_t *ret_correlation)
{
    struct jq_settling first;
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SETTLE, &msg);
    struct jq_reader r = jq_records_reader(msg.u.settle.items);
    assert_true(jq_settling_next(&r, &first));
    *ret_correlation = msg.correlation;
    return first;
}

static void settled(struct peer *peer, uint64_t correlation, const struct jq_ack *acks,
                    uint32_t count)
{
    struct jq_buf list = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_ack_write(&list, &acks[i]);
    const struct jq_msg msg = { .tag = JQ_MSG_SETTLED,
                                .correlation = correlation,
                                .u.settled.each = jq_records_of(count, &list) };
    peer_answer(peer, &msg);
    jq_buf_fini(&list);
}

static void welcome(struct peer *peer, uint64_t lost)
{
    struct jq_buf list = { 0 };

    jq_held_write(&list, &(struct jq_held){ .id = lost, .fence = FENCE });
    const struct jq_welcome msg = { .lost = jq_records_of(1, &list) };
    jq_pending_welcomed(&peer->p, &msg);
    jq_buf_fini(&list);
}

static uint32_t held(struct peer *peer)
{
    struct jq_records list;
    struct jq_buf buf = { 0 };

    assert_int_equal(jq_pending_held(&peer->p, &buf, &list), JQ_OK);
    jq_buf_fini(&buf);
    return list.count;
}

static void an_item_counts_as_held_when_it_arrives(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = get(peer, 0);

    give(peer, ask->correlation, 5);
    assert_int_equal(held(peer), 1);
    jq_pending_reconnected(&peer->p); /* it was answered: not asked again */
    peer_take_nothing(peer);
    struct jobq_item *item = jq_pending_take_item(ask);
    assert_true(jq_view_equal(item->payload, jq_view_str("bytes")));
    jq_pending_end(&peer->p, ask);
    jq_pending_drop_item(&peer->p, item);
    assert_int_equal(held(peer), 0);
}

static void a_timed_lease_is_not_the_sessions(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *timed = take(peer, 60000, 5), *ours = take(peer, 0, 6);
    uint64_t correlation;

    assert_int_equal(held(peer), 1);
    jq_pending_settle(&peer->p, &ours->settle, JQ_SETTLE_EXTEND, 1000);
    assert_int_equal(take_settle(peer, &correlation).ms, 1000);
    assert_int_equal(held(peer), 1);
    settled(peer, correlation, &(struct jq_ack){ .id = 6 }, 1);
    assert_true(ours->settle.is_done);
    assert_int_equal(held(peer), 0);
    jq_pending_drop_item(&peer->p, timed);
    jq_pending_drop_item(&peer->p, ours);
}

static void a_get_is_asked_again_and_withdrawn(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = get(peer, 0);
    const uint64_t correlation = ask->correlation;
    struct jq_msg msg;

    assert_int_equal(jq_pending_next_at(&peer->p), JQ_NEVER); /* it waits */
    jq_pending_reconnected(&peer->p);
    peer_take(peer, JQ_MSG_GET, &msg);
    assert_int_equal(msg.correlation, correlation);
    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWAIT, &msg);
    assert_int_equal(msg.correlation, correlation);
}

static void an_item_that_comes_too_late_is_given_back(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = get(peer, 0);
    const uint64_t correlation = ask->correlation;
    uint64_t settle;

    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
    const struct jq_msg late = { .tag = JQ_MSG_ITEM,
                                 .correlation = correlation,
                                 .u.item = { .id = 5, .fence = FENCE } };
    jq_alloc_fail_after(0, 1); /* there is a place for it */
    jq_pending_receive(&peer->p, peer->now, &late, NULL);
    jq_alloc_fail_after(-1, 0);
    assert_int_equal(held(peer), 0);
    give(peer, correlation, 5); /* twice */
    const struct jq_settling s = take_settle(peer, &settle);
    assert_int_equal(s.id, 5);
    assert_int_equal(s.fence, FENCE);
    assert_int_equal(s.action, JQ_SETTLE_NACK);
    jq_pending_reconnected(&peer->p);
    take_settle(peer, &settle); /* until it is answered */
    settled(peer, settle, &(struct jq_ack){ .id = 5, .error = JQ_EFENCED }, 1);
    assert_int_equal(peer->p.items_count, 0);
    peer_take_nothing(peer);
}

/* ---- many ---- */

static struct jq_ask *get_many(struct peer *peer, uint64_t count)
{
    const struct jq_get msg = { .queue = jq_view_str("q"), .wait = 1, .count = count };
    struct jq_ask *ask = NULL;

    assert_int_equal(jq_pending_get(&peer->p, &msg, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_GET, NULL);
    return ask;
}

static void give_many(struct peer *peer, uint64_t correlation, uint64_t first, uint32_t count)
{
    struct jq_buf list = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_given_write(&list, &(struct jq_given){ .id = first + i,
                                                  .fence = FENCE,
                                                  .attempt = 1,
                                                  .payload = jq_view_str("bytes") });
    const struct jq_msg msg = { .tag = JQ_MSG_ITEMS,
                                .correlation = correlation,
                                .u.items.items = jq_records_of(count, &list) };
    peer_answer(peer, &msg);
    jq_buf_fini(&list);
}

static void many_come_in_one_answer_and_those_not_taken_go_back(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = get_many(peer, 8);
    struct jobq_item *taken[2];
    uint64_t correlation;

    assert_int_equal(peer->p.gets, 8);
    give_many(peer, ask->correlation, 5, 3);
    assert_true(ask->u.one.done);
    assert_int_equal(held(peer), 3);
    assert_int_equal(peer->p.gets, 0);
    for (size_t i = 0; i < 2; i++) {
        taken[i] = jq_pending_take_item(ask);
        assert_int_equal(taken[i]->settle.id, 5 + i);
        assert_true(jq_view_equal(taken[i]->payload, jq_view_str("bytes")));
    }
    jq_pending_end(&peer->p, ask);
    assert_int_equal(take_settle(peer, &correlation).id, 7);
    settled(peer, correlation, &(struct jq_ack){ .id = 7 }, 1);
    assert_int_equal(held(peer), 2);
    for (size_t i = 0; i < 2; i++)
        jq_pending_drop_item(&peer->p, taken[i]);
}

static void many_that_come_too_late_are_given_back_without_memory(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = get_many(peer, 3);
    const uint64_t correlation = ask->correlation;
    struct jq_buf list = { 0 };
    uint64_t settle;

    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
    for (uint64_t id = 5; id < 8; id++)
        jq_given_write(&list, &(struct jq_given){ .id = id, .fence = FENCE });
    const struct jq_msg late = { .tag = JQ_MSG_ITEMS,
                                 .correlation = correlation,
                                 .u.items.items = jq_records_of(3, &list) };
    jq_alloc_fail_after(0, 1); /* there are places for them */
    jq_pending_receive(&peer->p, peer->now, &late, NULL);
    jq_alloc_fail_after(-1, 0);
    jq_buf_fini(&list);
    assert_int_equal(peer->p.items_count, 3);
    assert_int_equal(held(peer), 0);
    assert_int_equal(take_settle(peer, &settle).action, JQ_SETTLE_NACK);
    const struct jq_ack acks[] = { { .id = 5 }, { .id = 6 }, { .id = 7 } };
    settled(peer, settle, acks, 3);
    assert_int_equal(peer->p.items_count, 0);
}

static void a_get_is_cut_to_what_may_be_held(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *asks[JQ_HELD_MAX / JQ_JOBS_PER_FRAME], *ask = NULL;
    const struct jq_get msg = { .queue = jq_view_str("q"), .wait = 1, .count = 8 };
    struct jobq_item *item = take(peer, 0, 5);

    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        asks[i] = get_many(peer, JQ_JOBS_PER_FRAME);
    assert_int_equal(peer->p.gets, JQ_HELD_MAX - 1);
    assert_int_equal(jq_pending_get(&peer->p, &msg, &ask), JQ_EBUSY);
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        jq_pending_end(&peer->p, asks[i]);
    assert_int_equal(peer->p.gets, 0);
    jq_pending_drop_item(&peer->p, item);
}

static void what_leaves_is_held_until_it_is_settled_and_a_flush_tells_its_error(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *a = take(peer, 0, 5), *b = take(peer, 0, 6), *c = take(peer, 0, 7);
    const struct jq_ack acks[] = { { .id = 5 }, { .id = 6, .error = JQ_EFENCED } };
    struct jq_detail text;
    uint64_t correlation, other;

    jq_pending_leave_item(&peer->p, a);
    jq_pending_leave_item(&peer->p, b);
    const uint64_t number = peer->p.leaving_number;
    assert_false(jq_pending_have_left(&peer->p, number));
    take_settle(peer, &correlation);
    jq_pending_leave_item(&peer->p, c);
    take_settle(peer, &other);
    assert_int_equal(held(peer), 3); /* else they went back */
    settled(peer, correlation, acks, 2);
    assert_true(jq_pending_have_left(&peer->p, number)); /* the third came later */
    assert_int_equal(held(peer), 1);
    assert_int_equal(jq_pending_take_flush_error(&peer->p, &text), JQ_EFENCED);
    settled(peer, other, &(struct jq_ack){ .id = 7 }, 1);
    assert_true(jq_pending_have_left(&peer->p, peer->p.leaving_number));
    assert_int_equal(jq_pending_take_flush_error(&peer->p, &text), JQ_OK);
    assert_int_equal(peer->p.items_count, 0);
}

static void what_leaves_is_freed_with_the_table(void **state)
{
    struct peer *peer = *state;

    jq_pending_leave_item(&peer->p, take(peer, 0, 5));
    jq_pending_fini(&peer->p);
    jq_pending_init(&peer->p, 1);
}

static void an_item_that_is_held_may_come_twice(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *item = take(peer, 0, 5);

    give(peer, peer->p.correlation, 5);
    peer_take_nothing(peer);
    jq_pending_drop_item(&peer->p, item);
}

static void what_threads_want_at_one_time_shares_a_settle(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *a = take(peer, 0, 5), *b = take(peer, 0, 6), *c = take(peer, 0, 7);
    const struct jq_ack acks[] = { { .id = 5 },
                                   { .id = 6, .error = JQ_EALREADY },
                                   { .id = 7, .error = JQ_EFENCED } };
    uint64_t correlation;

    jq_pending_settle(&peer->p, &a->settle, JQ_SETTLE_DONE, 0);
    jq_pending_settle(&peer->p, &b->settle, JQ_SETTLE_DONE, 0);
    jq_pending_settle(&peer->p, &c->settle, JQ_SETTLE_NACK, 10);
    take_settle(peer, &correlation);
    peer_take_nothing(peer);
    jq_pending_settle_abandon(&b->settle);
    settled(peer, correlation, acks, 3);
    assert_true(a->settle.is_done && a->settle.err == JQ_OK);
    assert_false(b->settle.is_done);
    assert_int_equal(c->settle.err, JQ_EFENCED);
    jq_pending_settle(&peer->p, &b->settle, JQ_SETTLE_DONE, 0); /* the first may have done it */
    take_settle(peer, &correlation);
    settled(peer, correlation, &acks[1], 1);
    assert_int_equal(b->settle.err, JQ_OK);
    jq_pending_drop_item(&peer->p, a);
    jq_pending_drop_item(&peer->p, b);
    jq_pending_drop_item(&peer->p, c);
}

static void done_already_is_an_error_once_and_success_for_a_resend(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *a = take(peer, 0, 5), *b = take(peer, 0, 6);
    const struct jq_ack already[] = { { .id = 5, .error = JQ_EALREADY },
                                      { .id = 6, .error = JQ_EALREADY } };
    uint64_t correlation;

    jq_pending_settle(&peer->p, &a->settle, JQ_SETTLE_DONE, 0);
    take_settle(peer, &correlation);
    settled(peer, correlation, &already[0], 1);
    assert_int_equal(a->settle.err, JQ_EALREADY);
    jq_pending_settle(&peer->p, &b->settle, JQ_SETTLE_DONE, 0);
    take_settle(peer, &correlation);
    jq_pending_reconnected(&peer->p);
    welcome(peer, 6); /* it is over: by the first copy, as far as we know */
    assert_false(b->is_lost);
    take_settle(peer, &correlation);
    settled(peer, correlation, &already[1], 1);
    assert_int_equal(b->settle.err, JQ_OK);
    jq_pending_drop_item(&peer->p, a);
    jq_pending_drop_item(&peer->p, b);
}

static void a_lost_item_is_not_listed_and_not_given_back(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *item = take(peer, 0, 5), *other = take(peer, 0, 6);

    welcome(peer, 5);
    assert_true(item->is_lost);
    assert_false(other->is_lost);
    assert_int_equal(held(peer), 1);
    jq_pending_free_item(&peer->p, item);
    peer_take_nothing(peer);
    jq_pending_drop_item(&peer->p, other);
}

static void an_item_outlives_the_table(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *item = take(peer, 0, 5);
    struct jobq_item *given = take(peer, 0, 6);

    jq_pending_free_item(&peer->p, given);
    jq_pending_fini(&peer->p);
    assert_null(item->client);
    assert_true(jq_view_equal(item->payload, jq_view_str("bytes")));
    jq_frame_drop(&item->frame);
    jq_free(item);
    jq_pending_init(&peer->p, 1);
}

static void a_join_that_is_not_wanted_any_more_is_withdrawn(void **state)
{
    struct peer *peer = *state;
    const struct jq_msg join = { .tag = JQ_MSG_JOIN, .u.join.queue = jq_view_str("q") };
    struct jq_ask *ask = NULL;

    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_ONE, &join, &ask), JQ_OK);
    jq_pending_end(&peer->p, ask); /* never sent */
    peer_take_nothing(peer);
    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_ONE, &join, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_JOIN, NULL);
    assert_int_equal(jq_pending_next_at(&peer->p), JQ_NEVER);
    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
}

static void without_memory_items_are_settled_later(void **state)
{
    struct peer *peer = *state;
    struct jobq_item *item = take(peer, 0, 5);
    uint64_t correlation;

    jq_pending_settle(&peer->p, &item->settle, JQ_SETTLE_DONE, 0);
    jq_alloc_fail_after(0, 1);
    peer_take_nothing(peer);
    jq_alloc_fail_after(-1, 0);
    assert_true(jq_pending_next_at(&peer->p) > peer->now);
    peer->now = jq_pending_next_at(&peer->p);
    take_settle(peer, &correlation);
    settled(peer, correlation, &(struct jq_ack){ .id = 5 }, 1);
    assert_true(item->settle.is_done);
    jq_pending_drop_item(&peer->p, item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)
        TEST(an_item_counts_as_held_when_it_arrives),
        TEST(a_timed_lease_is_not_the_sessions),
        TEST(a_get_is_asked_again_and_withdrawn),
        TEST(an_item_that_comes_too_late_is_given_back),
        TEST(many_come_in_one_answer_and_those_not_taken_go_back),
        TEST(many_that_come_too_late_are_given_back_without_memory),
        TEST(a_get_is_cut_to_what_may_be_held),
        TEST(what_leaves_is_held_until_it_is_settled_and_a_flush_tells_its_error),
        TEST(what_leaves_is_freed_with_the_table),
        TEST(an_item_that_is_held_may_come_twice),
        TEST(what_threads_want_at_one_time_shares_a_settle),
        TEST(done_already_is_an_error_once_and_success_for_a_resend),
        TEST(a_lost_item_is_not_listed_and_not_given_back),
        TEST(an_item_outlives_the_table),
        TEST(a_join_that_is_not_wanted_any_more_is_withdrawn),
        TEST(without_memory_items_are_settled_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
