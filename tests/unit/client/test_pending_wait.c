/* SPDX-License-Identifier: MIT
 *
 * test_pending_wait.c - calls, waits, requests and streams, over lost connections, too. */
#include "proto/base/alloc.h"
#include "tests/unit/client/pending_peer.h"

static struct jobq_future *attach(struct peer *peer, uint64_t id)
{
    struct jobq_future *future = jq_pending_new_future(&peer->p);

    assert_non_null(future);
    future->id = id;
    assert_int_equal(jq_pending_want(&peer->p, future), JQ_OK);
    jq_pending_check(&peer->p);
    return future;
}

static void reconnect(struct peer *peer)
{
    jq_pending_reconnected(&peer->p);
    jq_pending_check(&peer->p);
}

/* ---- waits ---- */

static void waits_gather_into_one_frame(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *futures[3];
    struct jq_msg msg;

    for (uint64_t i = 0; i < 3; i++)
        futures[i] = attach(peer, 10 + i);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 3);
    peer_take_nothing(peer);
    peer_result(peer, msg.correlation, 11, JQ_FAILED);
    assert_true(futures[1]->is_ended);
    assert_int_equal(futures[1]->job_state, JQ_FAILED);
    assert_false(futures[0]->is_ended);
    for (int i = 0; i < 3; i++)
        jq_pending_free_future(&peer->p, futures[i]);
    peer_take(peer, JQ_MSG_UNWAIT, NULL); /* nobody wants the rest */
}

static void a_future_that_is_wanted_before_its_id_is_known_is_asked_for_then(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, 0, NULL);
    struct jq_reader r;
    struct jq_job_ref ref;
    struct jq_msg msg;

    assert_int_equal(jq_pending_want(&peer->p, future), JQ_OK);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_take_nothing(peer);
    peer_submitted(peer, 1, true, 70, 1);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    r = jq_records_reader(msg.u.wait.jobs);
    assert_true(jq_job_ref_next(&r, &ref) && ref.id == 70);
    peer_result(peer, msg.correlation, 70, JQ_SUCCEEDED);
    assert_true(future->is_ended);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, future);
}

static void two_futures_of_one_job_are_asked_for_once(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = attach(peer, 5), *b = attach(peer, 5);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 1);
    jq_pending_free_future(&peer->p, a);
    peer_take_nothing(peer); /* b still wants it */
    peer_result(peer, msg.correlation, 5, JQ_SUCCEEDED);
    assert_true(b->is_ended);
    jq_pending_free_future(&peer->p, b);
}

static void an_unknown_job_ends_with_noent(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = attach(peer, 5);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_result_error(peer, msg.correlation, 5, JQ_ENOENT);
    assert_true(future->is_ended);
    assert_int_equal(future->error, JQ_ENOENT);
}

static void a_discarded_job_that_is_gone_has_succeeded(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *discarded = attach(peer, 5), *other = attach(peer, 6);
    struct jq_msg msg;

    discarded->is_discarded = true;
    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_result_error(peer, msg.correlation, 5, JQ_EGONE);
    peer_result_error(peer, msg.correlation, 6, JQ_EGONE);
    assert_int_equal(discarded->error, 0);
    assert_int_equal(discarded->job_state, JQ_SUCCEEDED);
    assert_int_equal(other->error, JQ_EGONE);
    jq_pending_free_future(&peer->p, discarded);
    jq_pending_free_future(&peer->p, other);
}

static void a_busy_wait_is_asked_again(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = attach(peer, 5);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_error(peer, msg.correlation, JQ_EBUSY);
    peer_take_nothing(peer);
    peer->now = jq_pending_next_at(&peer->p);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_result(peer, msg.correlation, 5, JQ_CANCELLED);
    assert_int_equal(future->job_state, JQ_CANCELLED);
    jq_pending_free_future(&peer->p, future);
}

/* ---- calls ---- */

static void a_call_has_its_id_by_the_hint_and_its_end_by_the_results(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = peer_start(peer, JQ_SUBMIT_CALL, NULL);
    struct jobq_future *b = peer_start(peer, JQ_SUBMIT_CALL, NULL);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.flags, JQ_SUBMIT_CALL);
    peer_submitted(peer, 1, false, 70, 2);
    assert_int_equal(b->id, 71);
    assert_int_equal(jq_pending_want(&peer->p, a), JQ_OK);
    peer_take_nothing(peer); /* the call waits already */
    peer_result(peer, 1, 71, JQ_SUCCEEDED);
    assert_true(b->is_ended);
    assert_false(a->is_ended);
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 0); /* the call is not answered yet */
    peer_result(peer, 1, 70, JQ_SUCCEEDED);
    peer_result(peer, 1, 70, JQ_SUCCEEDED);
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 1);
    jq_pending_free_future(&peer->p, a);
    jq_pending_free_future(&peer->p, b);
}

static void a_call_whose_future_is_freed_is_still_answered(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, JQ_SUBMIT_CALL, NULL);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    jq_pending_free_future(&peer->p, future);
    peer_submitted(peer, 1, false, 70, 1);
    peer_result(peer, 1, 70, JQ_FAILED);
    assert_int_equal(peer->p.futures.count, 0);
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 1);
}

static void a_call_that_is_refused_after_its_hint_fails(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = peer_start(peer, JQ_SUBMIT_CALL, NULL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, false, 70, 1);
    peer_error(peer, 1, JQ_EIO);
    assert_int_equal(future->error, JQ_EIO);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, future);
}

static void a_call_is_repeated_after_a_reconnect_and_may_get_another_id(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *call = peer_start(peer, JQ_SUBMIT_CALL, NULL);
    struct jobq_future *other;
    struct jq_msg msg;
    uint64_t wait;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_submitted(peer, 1, false, 70, 1);
    other = attach(peer, 70);
    peer_take(peer, JQ_MSG_WAIT, NULL);
    reconnect(peer);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 1);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    wait = msg.correlation;
    peer_submitted(peer, 1, false, 90, 1); /* the first hint was never durable */
    assert_int_equal(call->id, 90);
    peer_result(peer, wait, 70, JQ_FAILED); /* somebody else's job by now */
    assert_true(other->is_ended);
    assert_false(call->is_ended);
    peer_result(peer, 1, 90, JQ_SUCCEEDED);
    assert_true(call->is_ended);
    assert_int_equal(call->job_state, JQ_SUCCEEDED);
    jq_pending_free_future(&peer->p, call);
    jq_pending_free_future(&peer->p, other);
}

/* ---- reconnects ---- */

static void a_reconnect_repeats_all_that_is_unanswered_in_order(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = attach(peer, 5);
    struct jq_msg msg;

    for (int i = 0; i < 3; i++) {
        peer_start_plain(peer, 1);
        jq_pending_flush(&peer->p, peer->now);
    }
    struct jobq_future *call = peer_start(peer, JQ_SUBMIT_CALL, NULL);
    for (int i = 0; i < 5; i++) {
        struct jq_ask *ask = (jq_pending_flush(&peer->p, peer->now), jq_pending_next(&peer->p));
        assert_non_null(ask);
        jq_pending_sent(&peer->p, ask, peer->now);
    }
    peer_submitted(peer, 2, true, 20, 1);
    peer_submitted(peer, 4, false, 40, 1);
    reconnect(peer);
    reconnect(peer); /* twice is as good */
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 3);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 4);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 1);
    peer_take_nothing(peer);
    jq_pending_free_future(&peer->p, future);
    jq_pending_free_future(&peer->p, call);
}

/* ---- requests ---- */

static void a_request_is_answered_once_and_repeated_until_then(void **state)
{
    struct peer *peer = *state;
    const struct jq_msg stats = { .tag = JQ_MSG_STATS };
    const struct jq_msg pong = { .tag = JQ_MSG_PONG };
    struct jq_ask *ask;
    struct jq_msg msg;

    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_ONE, &stats, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_STATS, &msg);
    reconnect(peer);
    peer_take(peer, JQ_MSG_STATS, &msg);
    struct jq_msg answer = pong;
    answer.correlation = msg.correlation;
    peer_answer(peer, &answer);
    assert_true(ask->u.one.done);
    reconnect(peer);
    peer_take_nothing(peer);
    jq_pending_end(&peer->p, ask);
    peer_take_nothing(peer);
}

static void what_has_rules_of_its_own_is_no_request(void **state)
{
    struct peer *peer = *state;
    const enum jq_tag tags[] = { JQ_MSG_SUBMIT, JQ_MSG_HELLO, JQ_MSG_BYE };
    struct jq_ask *ask;

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        const struct jq_msg msg = { .tag = tags[i] };
        assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_ONE, &msg, &ask), JQ_EINVAL);
    }
}

static struct jq_ask *stream_of(struct peer *peer, uint32_t count)
{
    struct jq_buf refs = { 0 };
    struct jq_ask *ask;

    for (uint32_t i = 1; i <= count; i++)
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = i });
    const struct jq_msg msg = { .tag = JQ_MSG_WAIT, .u.wait.jobs = jq_records_of(count, &refs) };
    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_STREAM, &msg, &ask), JQ_OK);
    jq_buf_fini(&refs);
    return ask;
}

static void a_stream_of_results_asks_again_only_for_those_that_have_not_come(void **state)
{
    struct peer *peer = *state;
    struct jq_ask *ask = stream_of(peer, 3);
    struct jq_frame *frame;
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 3);
    peer_result(peer, msg.correlation, 2, JQ_SUCCEEDED);
    reconnect(peer);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 2);
    assert_true(jq_pending_stream_take(ask, &msg, &frame));
    assert_int_equal(msg.u.results.results.count, 1);
    jq_frame_drop(&frame);
    assert_false(jq_pending_stream_take(ask, &msg, &frame));
    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
}

static void a_slow_reader_of_events_is_told_how_many_it_has_lost(void **state)
{
    struct peer *peer = *state;
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH };
    struct jq_buf list = { 0 };
    struct jq_ask *ask;
    struct jq_frame *frame;
    struct jq_msg msg;

    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_STREAM, &watch, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_WATCH, &msg);
    jq_event_write(&list, &(struct jq_event){ .id = 1 });
    const struct jq_msg events = { .tag = JQ_MSG_EVENTS,
                                   .correlation = msg.correlation,
                                   .u.events.events = jq_records_of(1, &list) };
    for (int i = 0; i < JQ_STREAM_FRAMES_MAX + 7; i++)
        peer_answer(peer, &events);
    jq_buf_fini(&list);
    assert_int_equal(ask->u.stream.count, JQ_STREAM_FRAMES_MAX);
    assert_true(jq_pending_stream_take(ask, &msg, &frame));
    assert_int_equal(msg.u.events.dropped, 7);
    jq_frame_drop(&frame);
    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWATCH, NULL);
}

static void a_watch_goes_on_behind_the_last_event_that_came(void **state)
{
    struct peer *peer = *state;
    const struct jq_msg watch = { .tag = JQ_MSG_WATCH,
                                  .u.watch = { .after = 3, .queue = jq_view_str("q") } };
    struct jq_buf list = { 0 };
    struct jq_ask *ask;
    struct jq_msg msg;

    assert_int_equal(jq_pending_ask(&peer->p, JQ_ASK_STREAM, &watch, &ask), JQ_OK);
    peer_take(peer, JQ_MSG_WATCH, &msg);
    reconnect(peer);
    peer_take(peer, JQ_MSG_WATCH, &msg);
    assert_int_equal(msg.u.watch.after, 3); /* nothing has come */
    jq_event_write(&list, &(struct jq_event){ .id = 1, .sequence = 8 });
    jq_event_write(&list, &(struct jq_event){ .id = 1, .sequence = 9 });
    const struct jq_msg events = { .tag = JQ_MSG_EVENTS,
                                   .correlation = msg.correlation,
                                   .u.events.events = jq_records_of(2, &list) };
    peer_answer(peer, &events);
    jq_buf_fini(&list);
    reconnect(peer);
    peer_take(peer, JQ_MSG_WATCH, &msg);
    assert_int_equal(msg.u.watch.after, 9);
    assert_true(jq_view_equal(msg.u.watch.queue, jq_view_str("q")));
    jq_pending_end(&peer->p, ask);
    peer_take(peer, JQ_MSG_UNWATCH, NULL);
}

/* ---- without memory ---- */

static struct jq_frame *frame_of(const struct jq_msg *msg)
{
    struct jq_frame_buf *buf = jq_frame_buf_new();

    assert_int_equal(jq_msg_encode(msg, &buf->buf), JQ_OK);
    return jq_frame_buf_end(buf, 0);
}

static void receive(struct peer *peer, struct jq_frame *frame)
{
    struct jq_msg msg;

    assert_int_equal(jq_msg_decode(frame->bytes, &msg), JQ_OK);
    jq_pending_receive(&peer->p, peer->now, &msg, frame);
    jq_pending_check(&peer->p);
}

/* Sends all there is; what had no memory comes when its time has come. */
static void send_all(struct peer *peer)
{
    for (int i = 0; i < 3; i++) {
        struct jq_ask *ask;
        peer->now += 20;
        jq_pending_flush(&peer->p, peer->now);
        while ((ask = jq_pending_next(&peer->p)))
            jq_pending_sent(&peer->p, ask, peer->now);
        jq_pending_check(&peer->p);
    }
}

static void run_jobs(struct peer *peer, struct jq_frame *submitted, struct jq_frame *hint,
                     struct jq_frame *wait_results, struct jq_frame *call_results)
{
    struct jq_start what = { .queue = jq_view_str("q"), .spec.handler = jq_view_str("noop") };
    struct jobq_future *plain, *call;

    while (!(plain = jq_pending_new_future(&peer->p)))
        ;
    while (!(call = jq_pending_new_future(&peer->p)))
        ;
    while (jq_pending_start(&peer->p, &what, plain) != JQ_OK)
        jq_pending_check(&peer->p);
    what.flags = JQ_SUBMIT_CALL;
    while (jq_pending_start(&peer->p, &what, call) != JQ_OK)
        jq_pending_check(&peer->p);
    while (jq_pending_want(&peer->p, plain) != JQ_OK)
        jq_pending_check(&peer->p);
    send_all(peer);
    receive(peer, submitted);
    receive(peer, hint);
    send_all(peer);
    receive(peer, wait_results);
    jq_pending_reconnected(&peer->p);
    send_all(peer);
    receive(peer, hint);
    receive(peer, call_results);
    assert_true(plain->is_ended && plain->error == 0);
    assert_true(call->is_ended && call->error == 0);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, plain);
    jq_pending_free_future(&peer->p, call);
}

static struct jq_frame *result_of(uint64_t correlation, uint64_t id)
{
    struct jq_buf list = { 0 };

    jq_result_write(&list, &(struct jq_result){ .id = id, .state = JQ_SUCCEEDED });
    const struct jq_msg msg = { .tag = JQ_MSG_RESULTS,
                                .correlation = correlation,
                                .u.results.results = jq_records_of(1, &list) };
    struct jq_frame *frame = frame_of(&msg);
    jq_buf_fini(&list);
    return frame;
}

/* Fails each allocation of a run in turn: all that it may do is to delay. */
static void an_allocation_that_fails_only_delays(void **state)
{
    (void)state;
    struct jq_msg answer = { .tag = JQ_MSG_SUBMITTED,
                             .correlation = 1,
                             .u.submitted = { .durable = 1, .first_id = 70, .count = 1 } };
    struct jq_frame *submitted = frame_of(&answer);
    answer.correlation = 2;
    answer.u.submitted.durable = 0;
    answer.u.submitted.first_id = 71;
    struct jq_frame *hint = frame_of(&answer);
    struct jq_frame *call_results = result_of(2, 71);

    for (int fails = 0; fails < 60; fails++) {
        struct peer peer = { .now = 5000 };
        jq_pending_init(&peer.p, 1);
        struct jq_frame *wait_results = result_of(peer.p.correlation + 1, 70);
        jq_alloc_fail_after(fails, 0);
        run_jobs(&peer, submitted, hint, wait_results, call_results);
        jq_alloc_fail_after(-1, 0);
        jq_pending_fini(&peer.p);
        jq_frame_drop(&wait_results);
    }
    jq_frame_drop(&submitted);
    jq_frame_drop(&hint);
    jq_frame_drop(&call_results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)
        TEST(waits_gather_into_one_frame),
        TEST(a_future_that_is_wanted_before_its_id_is_known_is_asked_for_then),
        TEST(two_futures_of_one_job_are_asked_for_once),
        TEST(an_unknown_job_ends_with_noent),
        TEST(a_discarded_job_that_is_gone_has_succeeded),
        TEST(a_busy_wait_is_asked_again),
        TEST(a_call_has_its_id_by_the_hint_and_its_end_by_the_results),
        TEST(a_call_whose_future_is_freed_is_still_answered),
        TEST(a_call_that_is_refused_after_its_hint_fails),
        TEST(a_call_is_repeated_after_a_reconnect_and_may_get_another_id),
        TEST(a_reconnect_repeats_all_that_is_unanswered_in_order),
        TEST(a_request_is_answered_once_and_repeated_until_then),
        TEST(what_has_rules_of_its_own_is_no_request),
        TEST(a_stream_of_results_asks_again_only_for_those_that_have_not_come),
        TEST(a_watch_goes_on_behind_the_last_event_that_came),
        TEST(a_slow_reader_of_events_is_told_how_many_it_has_lost),
        cmocka_unit_test(an_allocation_that_fails_only_delays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
