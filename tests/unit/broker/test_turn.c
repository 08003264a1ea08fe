/* SPDX-License-Identifier: MIT
 *
 * test_turn.c - a turn between a core, a store and a socket that do as they are told (turn_play.h):
 * what goes where in which order, and that nothing is lost when memory is short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/msg.h"
#include "tests/unit/broker/turn_play.h"

/* ---- what is told ---- */

static void add_read(uint64_t after)
{
    struct jq_effect *effect = &play.effects[play.effect_count++];

    *effect = (struct jq_effect){ .kind = JQ_EFFECT_READ, .u.read = { .after = after } };
    effect->u.read.ids = jq_alloc(sizeof(uint64_t));
    assert_non_null(effect->u.read.ids);
}

static void end_commit(enum jq_err err)
{
    play.done[play.done_count++] =
        (struct jq_store_done){ .kind = JQ_STORE_COMMITTED, .err = err, .batch = &play.batch };
}

/* ---- the batch ---- */

static void a_batch_leaves_when_it_is_wanted_and_the_store_is_idle(void **state)
{
    struct jq_turn *turn = *state;

    play.has_batch = true;
    jq_turn_batch(turn, false);
    assert_int_equal(play.committed, 0);
    play.wants_commit = true;
    play.is_idle = false;
    jq_turn_batch(turn, false);
    assert_int_equal(play.committed, 0);
    play.is_idle = true;
    jq_turn_batch(turn, false);
    assert_int_equal(play.committed, 1);
    assert_int_equal(turn->handed, 1);
    assert_false(jq_turn_is_settled(turn));
    end_commit(JQ_OK);
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(play.given, 1);
    assert_true(jq_turn_is_settled(turn));
}

static void a_stop_hands_over_what_nobody_waits_for(void **state)
{
    struct jq_turn *turn = *state;

    play.has_batch = true;
    jq_turn_batch(turn, true);
    assert_int_equal(play.committed, 1);
}

static void a_failed_commit_ends_the_broker_and_its_promises_stay_held(void **state)
{
    struct jq_turn *turn = *state;

    play.has_batch = true;
    jq_turn_batch(turn, true);
    end_commit(JQ_EIO);
    assert_int_equal(jq_turn_complete(turn), JQ_EUNKNOWN);
    assert_int_equal(play.durables, 0);
    jq_turn_fini(turn);
    assert_int_equal(play.given, 1);
}

static void a_batch_that_the_store_has_no_memory_for_is_offered_again(void **state)
{
    struct jq_turn *turn = *state;

    play.has_batch = true;
    play.wants_commit = true;
    play.commit = JQ_ENOMEM;
    jq_turn_batch(turn, false);
    assert_true(turn->starved);
    assert_true(jq_turn_is_behind(turn));
    assert_false(jq_turn_is_settled(turn));
    play.commit = JQ_OK;
    jq_turn_batch(turn, false);
    assert_int_equal(play.committed, 1);
    assert_false(jq_turn_is_behind(turn));
}

static void a_completion_that_the_core_has_no_memory_for_is_offered_again(void **state)
{
    struct jq_turn *turn = *state;

    play.has_batch = true;
    jq_turn_batch(turn, true);
    end_commit(JQ_OK);
    play.durable = JQ_ENOMEM;
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_true(turn->starved);
    assert_int_equal(play.given, 0);
    play.durable = JQ_OK;
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(play.durables, 1);
    assert_int_equal(play.given, 1);
}

static void the_core_hears_of_space_that_comes_and_goes_between_commits(void **state)
{
    struct jq_turn *turn = *state;

    play.is_space_low = true;
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(play.durables, 1);
    play.is_space_low = false;
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(play.durables, 2);
}

/* ---- reads ---- */

static void a_read_goes_behind_the_batch_that_it_depends_on(void **state)
{
    struct jq_turn *turn = *state;

    add_read(1);
    play.has_batch = true;
    jq_turn_effects(turn);
    assert_int_equal(play.reads, 0);
    play.wants_commit = true;
    jq_turn_batch(turn, false);
    assert_int_equal(play.reads, 1);
    add_read(1);
    jq_turn_effects(turn);
    assert_int_equal(play.reads, 2);
}

static void a_read_that_the_store_has_no_memory_for_is_offered_again(void **state)
{
    struct jq_turn *turn = *state;

    add_read(0);
    play.read = JQ_ENOMEM;
    jq_turn_effects(turn);
    assert_true(turn->starved);
    play.read = JQ_OK;
    jq_turn_batch(turn, false);
    assert_int_equal(play.reads, 1);
}

static void end_read(void)
{
    play.done[play.done_count++] = (struct jq_store_done){ .kind = JQ_STORE_READ };
}

static void few_reads_at_a_time_stand_before_the_next_commit(void **state)
{
    enum { LARGE = 5000, MANY = 5000 };
    struct jq_turn *turn = *state;

    for (int i = 0; i < 3; i++) {
        add_read(0);
        play.effects[i].u.read.count = LARGE;
    }
    jq_turn_effects(turn);
    assert_int_equal(play.reads, 1);
    assert_false(jq_turn_is_behind(turn));
    for (int i = 0; i < MANY; i++) {
        add_read(0);
        play.effects[0].u.read.count = 1;
        jq_turn_effects(turn);
    }
    assert_int_equal(play.reads, 1);
    assert_true(jq_turn_is_behind(turn));
    for (int i = 0; i < MANY + 3; i++) {
        assert_true(play.reads > i && play.reads <= i + JQ_TURN_READS_AHEAD);
        end_read();
        assert_int_equal(jq_turn_complete(turn), JQ_OK);
        jq_turn_batch(turn, false);
    }
    assert_int_equal(play.reads, MANY + 3);
    assert_false(jq_turn_is_behind(turn));
}

static void no_commit_comes_between_the_reads_of_one_request(void **state)
{
    enum { READS = JQ_TURN_READS_AHEAD + 10 };
    struct jq_turn *turn = *state;

    play.has_batch = true;
    play.wants_commit = true;
    for (int i = 0; i < READS; i++) {
        add_read(0);
        play.effects[0].u.read.group = 5;
        jq_turn_effects(turn);
    }
    assert_int_equal(play.reads, JQ_TURN_READS_AHEAD);
    jq_turn_batch(turn, false);
    assert_int_equal(play.committed, 0);
    for (int i = 0; i < 10; i++) {
        end_read();
        assert_int_equal(jq_turn_complete(turn), JQ_OK);
    }
    jq_turn_batch(turn, false);
    assert_int_equal(play.reads, READS);
    assert_int_equal(play.committed, 1);
}

static void a_failed_read_is_told_to_the_core_and_no_more(void **state)
{
    struct jq_turn *turn = *state;

    play.done[play.done_count++] = (struct jq_store_done){ .kind = JQ_STORE_READ, .err = JQ_EIO };
    assert_int_equal(jq_turn_complete(turn), JQ_OK);
    assert_int_equal(play.loads, 1);
}

/* ---- frames ---- */

static void expect_error(enum jq_err error, uint64_t correlation)
{
    struct jq_msg msg;

    assert_int_equal(jq_msg_decode(jq_buf_view(&play.sent), &msg), JQ_OK);
    assert_int_equal(msg.tag, JQ_MSG_ERROR);
    assert_int_equal(msg.u.error.error, error);
    assert_int_equal(msg.correlation, correlation);
}

static void a_malformed_frame_is_answered_and_goes_no_further(void **state)
{
    struct jq_turn *turn = *state;

    play.frames[play.frame_count++] = jq_view("\xc1", 1);
    assert_false(jq_turn_frames(turn));
    assert_int_equal(play.applied, 0);
    assert_int_equal(metrics.refused_proto, 1);
    expect_error(JQ_EPROTO, 0);
}

static void a_frame_that_the_core_has_no_memory_for_costs_the_connection(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg ping = { .tag = JQ_MSG_PING, .correlation = 9 };
    struct jq_buf frame = { 0 };

    assert_int_equal(jq_msg_encode(&ping, &frame), JQ_OK);
    play.frames[play.frame_count++] = jq_buf_view(&frame);
    play.apply = JQ_ENOMEM;
    assert_false(jq_turn_frames(turn));
    expect_error(JQ_ENOMEM, 9);
    jq_turn_effects(turn);
    assert_int_equal(play.gone, 1);
    assert_int_equal(jq_peers_count(turn->peers), 0);
    jq_buf_fini(&frame);
}

static void grants_that_reach_nobody_are_given_back_before_the_peer_is_gone(void **state)
{
    struct jq_turn *turn = *state;
    struct jq_buf grants = { 0 }, frame = { 0 };
    uint64_t peer;

    jq_grant_write(&grants, &(struct jq_grant){ .id = 77, .fence = 5, .attempt = 1 });
    const struct jq_msg msg = { .tag = JQ_MSG_GRANTS,
                                .u.grants = { .jobs = jq_records_of(1, &grants) } };
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_OK);
    assert_int_equal(jq_peers_hear(turn->peers, 5, -1, 1000, &peer), JQ_OK);
    /* The second finds the peer gone already. */
    for (int i = 0; i < 2; i++) {
        struct jq_effect effect = { .kind = JQ_EFFECT_SEND, .peer = peer };
        effect.u.frame.data = jq_alloc(frame.size);
        effect.u.frame.size = frame.size;
        assert_non_null(effect.u.frame.data);
        memcpy(effect.u.frame.data, frame.data, frame.size);
        play.effects[play.effect_count++] = effect;
    }
    play.is_nobody_there = true;
    jq_turn_effects(turn);
    assert_int_equal(play.released, 77);
    assert_true(play.is_draining);
    assert_int_equal(play.applied, 4);
    assert_int_equal(play.gone, 1);
    jq_buf_fini(&grants);
    jq_buf_fini(&frame);
}

static void nothing_is_read_while_the_open_batch_is_full(void **state)
{
    struct jq_turn *turn = *state;

    play.is_full = true;
    play.frames[play.frame_count++] = jq_view("\xc1", 1);
    assert_true(jq_turn_frames(turn));
    assert_int_equal(play.frame_count, 1);
    assert_false(jq_turn_is_behind(turn)); /* the store is idle: it will be taken at once */
    play.is_idle = false;
    assert_true(jq_turn_is_behind(turn));
}

/* One more frame would be one more that the disk waits for. */
static void no_frame_is_read_while_the_store_has_become_idle(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg beat = { .tag = JQ_MSG_BEAT, .u.beat.number = 1 };
    struct jq_buf frame = { 0 };

    assert_int_equal(jq_msg_encode(&beat, &frame), JQ_OK);
    play.frames[play.frame_count++] = jq_buf_view(&frame);
    play.is_endless = true;
    play.is_idle = false;
    play.idle_after = 2;
    assert_true(jq_turn_frames(turn));
    assert_int_equal(play.applied, 2);
    assert_true(jq_turn_frames(turn)); /* it has been told: as many as there are again */
    assert_true(play.applied > 3);
    jq_buf_fini(&frame);
}

/* The last pushed is received first. */
static void push_frame(uint64_t route, const struct jq_msg *msg, struct jq_buf *frame)
{
    assert_int_equal(jq_msg_encode(msg, frame), JQ_OK);
    play.routes[play.frame_count] = route;
    play.frames[play.frame_count++] = jq_buf_view(frame);
}

static void submits_wait_while_the_batch_is_crowded_and_others_go_on(void **state)
{
    struct jq_turn *turn = *state;
    struct jq_buf frames[3] = { { 0 }, { 0 }, { 0 } };
    const struct jq_msg submit = { .tag = JQ_MSG_SUBMIT, .correlation = 1 };
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    const struct jq_msg credit = { .tag = JQ_MSG_CREDIT, .u.credit = { .total = 1 } };

    push_frame(6, &credit, &frames[0]);
    push_frame(5, &bye, &frames[1]);
    push_frame(5, &submit, &frames[2]);
    play.is_crowded = true;
    play.is_idle = false;
    assert_false(jq_turn_frames(turn));
    assert_int_equal(play.applied, 1); /* the worker's */
    assert_int_equal(play.tags[0], JQ_MSG_CREDIT);
    assert_false(jq_turn_late(turn));
    assert_int_equal(play.applied, 1);
    play.is_idle = true; /* the batch can leave now */
    assert_false(jq_turn_late(turn));
    assert_int_equal(play.applied, 3); /* in the order in which their sender sent them */
    assert_int_equal(play.tags[1], JQ_MSG_SUBMIT);
    assert_int_equal(play.tags[2], JQ_MSG_BYE);
    for (int i = 0; i < 3; i++)
        jq_buf_fini(&frames[i]);
}

static void what_is_late_is_bounded(void **state)
{
    struct jq_turn *turn = *state;
    struct jq_buf frame = { 0 };
    const struct jq_msg submit = { .tag = JQ_MSG_SUBMIT, .correlation = 1 };
    int kept = 0;

    play.is_crowded = true;
    play.is_idle = false;
    push_frame(5, &submit, &frame);
    while (!jq_turn_is_behind(turn)) {
        play.frame_count = 1;
        assert_false(jq_turn_frames(turn));
        assert_true(++kept <= 1024);
    }
    assert_int_equal(play.applied, 0);
    play.is_crowded = false;
    while (jq_turn_late(turn))
        continue;
    assert_int_equal(play.applied, kept);
    assert_false(jq_turn_is_behind(turn));
    play.frame_count = 0;
    jq_buf_fini(&frame);
}

static void what_is_late_of_a_peer_that_is_gone_is_heard_first(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg submit = { .tag = JQ_MSG_SUBMIT, .correlation = 1 };
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_buf frames[3] = { { 0 }, { 0 }, { 0 } };
    uint64_t peer;

    play.is_crowded = true;
    play.is_idle = false;
    push_frame(6, &submit, &frames[0]);
    push_frame(5, &bye, &frames[1]);
    push_frame(5, &submit, &frames[2]);
    assert_false(jq_turn_frames(turn));
    assert_int_equal(play.applied, 0);
    assert_int_equal(jq_peers_hear(turn->peers, 5, -1, 1000, &peer), JQ_OK);
    jq_peers_drop(turn->peers, peer);
    jq_turn_effects(turn);
    assert_int_equal(play.gone, 1);
    assert_int_equal(play.applied_before_gone, 2);
    assert_int_equal(play.tags[0], JQ_MSG_SUBMIT);
    assert_int_equal(play.tags[1], JQ_MSG_BYE);
    assert_int_equal(turn->late_count, 1); /* the other's waits on */
    for (int i = 0; i < 3; i++)
        jq_buf_fini(&frames[i]);
}

static void what_is_late_behind_a_frame_that_was_lost_is_lost_with_it(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg submit = { .tag = JQ_MSG_SUBMIT, .correlation = 1 };
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_buf frames[2] = { { 0 }, { 0 } };

    play.is_crowded = true;
    play.is_idle = false;
    push_frame(5, &bye, &frames[0]);
    push_frame(5, &submit, &frames[1]);
    assert_false(jq_turn_frames(turn));
    play.apply = JQ_ENOMEM;
    play.is_idle = true;
    assert_false(jq_turn_late(turn));
    jq_turn_effects(turn);
    assert_int_equal(play.gone, 1);
    assert_int_equal(play.applied, 1);
    assert_int_equal(turn->late_count, 0);
    for (int i = 0; i < 2; i++)
        jq_buf_fini(&frames[i]);
}

/* ---- connections that end ---- */

static void end_connection(int fd)
{
    play.ends[play.end_count++] = fd;
    play.is_nobody_there = true;
}

static void go_on(struct jq_turn *turn)
{
    jq_turn_tick(turn);
    jq_turn_effects(turn);
}

static void the_core_hears_of_an_end_when_all_before_it_has_been_read(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_buf frames[3] = { { 0 }, { 0 }, { 0 } };

    play.fd = 7;
    push_frame(5, &bye, &frames[0]);
    assert_false(jq_turn_frames(turn));
    end_connection(7);
    push_frame(5, &bye, &frames[1]);
    push_frame(5, &bye, &frames[2]);
    play.is_full = true; /* and nothing is read */
    assert_true(jq_turn_frames(turn));
    go_on(turn);
    assert_int_equal(play.gone, 0);
    play.is_full = false;
    assert_false(jq_turn_frames(turn));
    go_on(turn);
    assert_int_equal(play.gone, 1);
    assert_int_equal(play.applied_before_gone, 3);
    assert_int_equal(jq_peers_count(turn->peers), 0);
    for (int i = 0; i < 3; i++)
        jq_buf_fini(&frames[i]);
}

static void a_flood_does_not_hide_an_end(void **state)
{
    struct jq_turn *turn = *state;
    const struct jq_msg bye = { .tag = JQ_MSG_BYE };
    struct jq_buf frame = { 0 };
    uint64_t peer;

    assert_int_equal(jq_peers_hear(turn->peers, 6, 7, 1000, &peer), JQ_OK);
    end_connection(7);
    play.fd = 8;
    play.is_endless = true;
    push_frame(5, &bye, &frame);
    for (int i = 0; i < 100 && play.gone == 0; i++) {
        assert_true(jq_turn_frames(turn));
        go_on(turn);
    }
    assert_int_equal(play.gone, 1);
    assert_int_equal(jq_peers_count(turn->peers), 1);
    jq_buf_fini(&frame);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_turn, close_turn)
    const struct CMUnitTest tests[] = {
        CASE(a_batch_leaves_when_it_is_wanted_and_the_store_is_idle),
        CASE(a_stop_hands_over_what_nobody_waits_for),
        CASE(a_failed_commit_ends_the_broker_and_its_promises_stay_held),
        CASE(a_batch_that_the_store_has_no_memory_for_is_offered_again),
        CASE(a_completion_that_the_core_has_no_memory_for_is_offered_again),
        CASE(the_core_hears_of_space_that_comes_and_goes_between_commits),
        CASE(a_read_goes_behind_the_batch_that_it_depends_on),
        CASE(a_read_that_the_store_has_no_memory_for_is_offered_again),
        CASE(few_reads_at_a_time_stand_before_the_next_commit),
        CASE(no_commit_comes_between_the_reads_of_one_request),
        CASE(a_failed_read_is_told_to_the_core_and_no_more),
        CASE(a_malformed_frame_is_answered_and_goes_no_further),
        CASE(a_frame_that_the_core_has_no_memory_for_costs_the_connection),
        CASE(grants_that_reach_nobody_are_given_back_before_the_peer_is_gone),
        CASE(nothing_is_read_while_the_open_batch_is_full),
        CASE(no_frame_is_read_while_the_store_has_become_idle),
        CASE(submits_wait_while_the_batch_is_crowded_and_others_go_on),
        CASE(what_is_late_is_bounded),
        CASE(the_core_hears_of_an_end_when_all_before_it_has_been_read),
        CASE(a_flood_does_not_hide_an_end),
        CASE(what_is_late_of_a_peer_that_is_gone_is_heard_first),
        CASE(what_is_late_behind_a_frame_that_was_lost_is_lost_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
