/* SPDX-License-Identifier: MIT
 *
 * test_pending.c - the table of requests: numbers, resends, what settles which future. */
#include "tests/unit/client/pending_peer.h"

#include "proto/base/alloc.h"

/* ---- submits ---- */

static void jobs_started_together_share_a_frame(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;

    peer_start_plain(peer, 100);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 1);
    assert_int_equal(msg.u.submit.jobs.count, 100);
    assert_int_equal(msg.u.submit.answered, 0);
    assert_true(jq_view_equal(msg.u.submit.queue, jq_view_str("q")));
    peer_take_nothing(peer);
}

static void a_frame_is_full_with_as_many_jobs_as_a_list_may_have(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;

    peer_start_plain(peer, JQ_JOBS_PER_FRAME + 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, JQ_JOBS_PER_FRAME);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 2);
    assert_int_equal(msg.u.submit.jobs.count, 1);
}

static void queues_have_frames_of_their_own_and_one_queue_keeps_its_order(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;
    struct jq_start what = { .queue = jq_view_str("other"), .spec.handler = jq_view_str("noop") };

    peer_start_plain(peer, 1);
    assert_int_equal(jq_pending_start(&peer->p, &what, NULL), JQ_OK);
    peer_start_plain(peer, 1);
    peer_start(peer, JQ_SUBMIT_CALL, NULL); /* must not overtake, nor be overtaken */
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 2);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.flags, JQ_SUBMIT_CALL);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_true(jq_view_equal(msg.u.submit.queue, what.queue));
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 4);
    assert_int_equal(msg.u.submit.jobs.count, 1);
}

static void an_answer_gives_each_future_the_id_of_its_place(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *first = peer_start(peer, 0, NULL);
    peer_start_plain(peer, 3);
    struct jobq_future *fifth = peer_start(peer, 0, NULL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, true, 70, 5);
    assert_int_equal(first->id, 70);
    assert_int_equal(fifth->id, 74);
    assert_true(fifth->is_created);
    assert_null(fifth->ask);
    assert_true(jq_pending_is_flushed(&peer->p, 1));
    assert_int_equal(peer->p.unanswered_jobs, 0);
    assert_int_equal(peer->p.unanswered_bytes, 0);
}

static void a_hint_is_no_answer_to_a_submit(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, 0, NULL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, false, 70, 1);
    assert_int_equal(future->id, 0);
    assert_false(jq_pending_is_flushed(&peer->p, 1));
}

static void an_answer_that_comes_twice_changes_nothing(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, 0, NULL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, true, 70, 1);
    peer_submitted(peer, 1, true, 90, 1);
    assert_int_equal(future->id, 70);
}

static void a_lost_submit_is_sent_again_with_the_same_number_and_bytes(void **state)
{
    struct peer *peer = *state;
    struct jq_msg first, second;

    peer_start_plain(peer, 3);
    peer_take(peer, JQ_MSG_SUBMIT, &first);
    const struct jq_frame *frame = peer->last;
    assert_true(jq_pending_next_at(&peer->p) > peer->now);
    peer->now = jq_pending_next_at(&peer->p) - 1;
    jq_pending_tick(&peer->p, peer->now);
    peer_take_nothing(peer);
    peer->now++;
    jq_pending_tick(&peer->p, peer->now);
    peer_take(peer, JQ_MSG_SUBMIT, &second);
    assert_int_equal(second.correlation, 1);
    assert_ptr_equal(peer->last, frame);
    peer_submitted(peer, 1, true, 70, 3);
    assert_int_equal(jq_pending_next_at(&peer->p), JQ_NEVER);
}

static void the_watermark_stops_below_the_first_unanswered_number(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;

    for (uint64_t number = 1; number <= 4; number++) {
        peer_start_plain(peer, 1);
        peer_take(peer, JQ_MSG_SUBMIT, &msg);
        assert_int_equal(msg.u.submit.answered, 0);
    }
    peer_submitted(peer, 1, true, 10, 1);
    peer_submitted(peer, 3, true, 30, 1);
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 1);
    peer_submitted(peer, 2, true, 20, 1);
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 3);
}

static void a_refused_frame_fails_all_its_futures_and_the_flush(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = peer_start(peer, 0, NULL);
    struct jobq_future *b = peer_start(peer, 0, NULL);
    struct jq_detail text;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_error(peer, 1, JQ_ENOSPC);
    assert_int_equal(a->error, JQ_ENOSPC);
    assert_true(b->is_ended);
    assert_true(jq_view_equal(b->record, jq_view_str("as the test says")));
    assert_true(jq_pending_is_flushed(&peer->p, 1));
    assert_int_equal(jq_pending_take_flush_error(&peer->p, &text), JQ_ENOSPC);
    assert_int_equal(jq_pending_take_flush_error(&peer->p, &text), JQ_OK);
    jq_pending_free_future(&peer->p, a);
    jq_pending_free_future(&peer->p, b);
}

static void a_busy_broker_is_asked_again_later_and_later(void **state)
{
    struct peer *peer = *state;
    jq_ms last = 0;

    peer_start_plain(peer, 1);
    for (int i = 0; i < 6; i++) {
        peer_take(peer, JQ_MSG_SUBMIT, NULL);
        peer_error(peer, 1, JQ_EBUSY);
        peer_take_nothing(peer);
        const jq_ms wait = jq_pending_next_at(&peer->p) - peer->now;
        assert_true(wait > 0 && wait <= 5000);
        if (i >= 2)
            assert_true(wait >= last / 2);
        last = wait;
        peer->now += wait;
        jq_pending_tick(&peer->p, peer->now);
    }
    assert_true(last >= 20 << 4);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, true, 5, 1);
}

static void an_answer_that_the_broker_has_forgotten_is_unknown(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, 0, NULL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_error(peer, 1, JQ_EALREADY);
    assert_int_equal(future->error, JQ_EUNKNOWN);
    jq_pending_free_future(&peer->p, future);
}

static void keyed_jobs_have_answers_of_their_own(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = peer_start(peer, JQ_SUBMIT_STRICT, "a");
    struct jobq_future *b = peer_start(peer, JQ_SUBMIT_STRICT, "b");
    struct jobq_future *c = peer_start(peer, JQ_SUBMIT_STRICT, "c");
    const struct jq_ack acks[] = { { .id = 9, .created = 0 },
                                   { .id = 8, .error = JQ_EEXIST },
                                   { .id = 71, .created = 1 } };
    struct jq_buf each = { 0 };
    struct jq_detail text;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    for (int i = 0; i < 3; i++)
        jq_ack_write(&each, &acks[i]);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = 1,
        .u.submitted = { .durable = 1,
                         .first_id = 71,
                         .count = 3,
                         .each = jq_records_of(3, &each) },
    };
    peer_answer(peer, &msg);
    jq_buf_fini(&each);
    assert_int_equal(a->id, 9);
    assert_false(a->is_created);
    assert_int_equal(b->error, JQ_EEXIST);
    assert_int_equal(c->id, 71);
    assert_true(c->is_created);
    assert_int_equal(jq_pending_take_flush_error(&peer->p, &text), JQ_EEXIST);
}

static void a_future_that_was_freed_leaves_its_job_alone(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = peer_start(peer, 0, NULL);
    struct jobq_future *b = peer_start(peer, 0, NULL);
    struct jq_msg msg;

    jq_pending_free_future(&peer->p, a);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 2);
    peer_submitted(peer, 1, true, 70, 2);
    assert_int_equal(b->id, 71);
}

static void there_is_room_again_when_answers_have_come(void **state)
{
    struct peer *peer = *state;

    for (unsigned i = 0; i < JQ_UNANSWERED_JOBS_MAX / JQ_JOBS_PER_FRAME; i++) {
        assert_true(jq_pending_has_room(&peer->p));
        peer_start_plain(peer, JQ_JOBS_PER_FRAME);
        peer_take(peer, JQ_MSG_SUBMIT, NULL);
    }
    assert_false(jq_pending_has_room(&peer->p));
    peer_submitted(peer, 1, true, 1, JQ_JOBS_PER_FRAME);
    assert_true(jq_pending_has_room(&peer->p));
}

/* Fails every allocation in turn: nothing changes, nothing leaks. */
static void a_start_without_memory_changes_nothing(void **state)
{
    struct peer *peer = *state;
    const struct jq_start what = { .queue = jq_view_str("q"),
                                   .flags = JQ_SUBMIT_CALL,
                                   .spec.handler = jq_view_str("noop") };
    struct jobq_future *future = jq_pending_new_future(&peer->p);
    enum jq_err err = JQ_ENOMEM;
    int fails = 0;

    for (; err != JQ_OK; fails++) {
        jq_alloc_fail_after(fails, 0);
        err = jq_pending_start(&peer->p, &what, future);
        jq_alloc_fail_after(-1, 0);
        assert_true(err == JQ_OK || err == JQ_ENOMEM);
        jq_pending_check(&peer->p);
        assert_int_equal(peer->p.unanswered_jobs, err == JQ_OK);
    }
    assert_true(fails > 3);
    struct jq_msg msg;
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)
        TEST(jobs_started_together_share_a_frame),
        TEST(a_frame_is_full_with_as_many_jobs_as_a_list_may_have),
        TEST(queues_have_frames_of_their_own_and_one_queue_keeps_its_order),
        TEST(an_answer_gives_each_future_the_id_of_its_place),
        TEST(a_hint_is_no_answer_to_a_submit),
        TEST(an_answer_that_comes_twice_changes_nothing),
        TEST(a_lost_submit_is_sent_again_with_the_same_number_and_bytes),
        TEST(the_watermark_stops_below_the_first_unanswered_number),
        TEST(a_refused_frame_fails_all_its_futures_and_the_flush),
        TEST(a_busy_broker_is_asked_again_later_and_later),
        TEST(an_answer_that_the_broker_has_forgotten_is_unknown),
        TEST(keyed_jobs_have_answers_of_their_own),
        TEST(a_future_that_was_freed_leaves_its_job_alone),
        TEST(there_is_room_again_when_answers_have_come),
        TEST(a_start_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
