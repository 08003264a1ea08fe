/* SPDX-License-Identifier: MIT
 *
 * test_pending_room.c - full queues: who waits, in which order, until when, and what is sent. */
#include "tests/unit/client/pending_peer.h"

#include "proto/base/alloc.h"

static const char *const payload = "bytes of an item";

static void start_on(struct peer *peer, const struct jq_start *what, struct jobq_future *future)
{
    assert_int_equal(jq_pending_start(&peer->p, what, future), JQ_OK);
    jq_pending_check(&peer->p);
}

/* An item on "q"; its thread waits until `until`. */
static struct jobq_future *put(struct peer *peer, jq_ms until)
{
    const struct jq_start what = {
        .queue = jq_view_str("q"),
        .spec = { .handler = jq_view_str(JQ_HANDLER_ITEM), .payload = jq_view_str(payload) },
        .is_direct = true,
        .is_put = true,
        .put_until = until,
    };
    struct jobq_future *future = jq_pending_new_future(&peer->p);

    assert_non_null(future);
    start_on(peer, &what, future);
    return future;
}

static void start_jobs(struct peer *peer, unsigned count)
{
    const struct jq_start what = { .queue = jq_view_str("q"),
                                   .spec.handler = jq_view_str("noop"),
                                   .put_timeout_ms = -1,
                                   .put_until = JQ_NEVER };

    for (unsigned i = 0; i < count; i++)
        start_on(peer, &what, NULL);
}

static void free_ended(struct peer *peer, struct jobq_future *future)
{
    assert_null(future->ask);
    jq_pending_free_future(&peer->p, future);
}

static void say(struct peer *peer, enum jq_tag tag, uint64_t correlation)
{
    const struct jq_msg msg = { .tag = tag, .correlation = correlation };

    peer_answer(peer, &msg);
}

/* The next frame is sent, and refused for want of room. */
static uint64_t refuse(struct peer *peer)
{
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    peer_error(peer, msg.correlation, JQ_EFULL);
    return msg.correlation;
}

static void a_refused_submit_asks_for_room_and_is_sent_again_under_its_number(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, JQ_NEVER);
    struct jq_msg room, submit;

    assert_int_equal(refuse(peer), 1);
    peer_take(peer, JQ_MSG_ROOM, &room);
    assert_true(jq_view_equal(room.u.room.queue, jq_view_str("q")));
    assert_int_equal(room.u.room.count, 1);
    peer_take_nothing(peer);
    assert_int_equal(jq_pending_next_at(&peer->p), JQ_NEVER);
    say(peer, JQ_MSG_ROOM_KEPT, room.correlation);
    peer_take(peer, JQ_MSG_SUBMIT, &submit);
    assert_int_equal(submit.correlation, 1);
    peer_submitted(peer, 1, true, 70, 1);
    assert_int_equal(future->id, 70);
    peer_take_nothing(peer);
    jq_pending_free_future(&peer->p, future);
}

static void what_comes_later_waits_behind_what_waits(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *first = put(peer, JQ_NEVER);
    struct jq_msg rooms[2], msg;
    const struct jq_start other = { .queue = jq_view_str("other"),
                                    .spec.handler = jq_view_str("noop") };

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &rooms[0]);
    struct jobq_future *second = put(peer, JQ_NEVER);
    start_on(peer, &other, NULL);
    peer_take(peer, JQ_MSG_ROOM, &rooms[1]);
    peer_take(peer, JQ_MSG_SUBMIT, &msg); /* of the other queue */
    assert_int_equal(msg.correlation, 3);
    say(peer, JQ_MSG_ROOM_KEPT, rooms[0].correlation);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 1);
    say(peer, JQ_MSG_ROOM_KEPT, rooms[1].correlation);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 2);
    put(peer, JQ_NEVER); /* nobody waits any more */
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    peer_submitted(peer, 1, true, 70, 1);
    peer_submitted(peer, 2, true, 71, 1);
    assert_int_equal(first->id, 70);
    assert_int_equal(second->id, 71);
    free_ended(peer, first);
    free_ended(peer, second);
}

static void a_put_without_time_is_refused_at_once(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *first = put(peer, 0);

    refuse(peer);
    assert_int_equal(first->error, JQ_EFULL);
    peer_take_nothing(peer);
    put(peer, JQ_NEVER);
    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, NULL);
    struct jobq_future *second = put(peer, 0); /* would overtake who waits */
    peer_take_nothing(peer);
    assert_int_equal(second->error, JQ_EFULL);
    assert_true(second->is_ended);
    free_ended(peer, first);
    free_ended(peer, second);
}

static void a_blocked_put_ends_with_its_time_and_withdraws(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, peer->now + 100);
    struct jq_msg room, msg;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    assert_int_equal(jq_pending_next_at(&peer->p), peer->now + 100);
    peer->now += 99;
    jq_pending_tick(&peer->p, peer->now);
    assert_false(future->is_ended);
    peer->now++;
    jq_pending_tick(&peer->p, peer->now);
    assert_int_equal(future->error, JQ_EFULL);
    peer_take(peer, JQ_MSG_UNWAIT, &msg);
    assert_int_equal(msg.correlation, room.correlation);
    say(peer, JQ_MSG_ROOM_KEPT, room.correlation); /* too late */
    peer_take_nothing(peer);
    free_ended(peer, future);
}

static void a_submit_in_flight_outlives_its_time_until_its_answer(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, peer->now + 100);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer->now += 200;
    assert_false(jq_pending_put_late(&peer->p, future));
    peer_error(peer, 1, JQ_EFULL);
    assert_int_equal(future->error, JQ_EFULL);
    peer_take_nothing(peer);
    free_ended(peer, future);
}

static void places_that_were_not_used_are_given_back(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, JQ_NEVER);
    struct jq_msg room, msg;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    say(peer, JQ_MSG_ROOM_KEPT, room.correlation);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_error(peer, 1, JQ_ENOSPC);
    assert_int_equal(future->error, JQ_ENOSPC);
    peer_take(peer, JQ_MSG_UNWAIT, &msg);
    assert_int_equal(msg.correlation, room.correlation);
    free_ended(peer, future);
}

static void puts_of_one_frame_wait_one_by_one(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *futures[] = { put(peer, 0), put(peer, JQ_NEVER), put(peer, peer->now + 5) };
    struct jq_msg msg, room;

    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 3);
    peer_error(peer, 1, JQ_EFULL);
    for (uint64_t number = 2; number <= 4; number++) {
        struct jq_job_spec spec;
        peer_take(peer, JQ_MSG_SUBMIT, &msg);
        assert_int_equal(msg.correlation, number);
        assert_int_equal(msg.u.submit.jobs.count, 1);
        struct jq_reader r = jq_records_reader(msg.u.submit.jobs);
        assert_true(jq_job_spec_next(&r, &spec));
        assert_true(jq_view_equal(spec.payload, jq_view_str(payload)));
    }
    peer_submitted(peer, 2, true, 70, 1); /* there was one place */
    peer_error(peer, 3, JQ_EFULL);
    peer_error(peer, 4, JQ_EFULL);
    peer_take(peer, JQ_MSG_ROOM, &room);
    peer_take(peer, JQ_MSG_ROOM, NULL);
    assert_int_equal(futures[0]->id, 70);
    peer->now += 5;
    jq_pending_tick(&peer->p, peer->now);
    assert_int_equal(futures[2]->error, JQ_EFULL);
    say(peer, JQ_MSG_ROOM_KEPT, room.correlation);
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 3);
    peer_submitted(peer, 3, true, 71, 1);
    assert_int_equal(futures[1]->id, 71);
    for (int i = 0; i < 3; i++)
        free_ended(peer, futures[i]);
}

static void jobs_of_one_frame_wait_together(void **state)
{
    struct peer *peer = *state;
    struct jq_msg room, msg;

    start_jobs(peer, 5);
    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    assert_int_equal(room.u.room.count, 5);
    assert_int_equal(peer->p.unanswered_jobs, 5);
    assert_false(jq_pending_is_flushed(&peer->p, 1));
    say(peer, JQ_MSG_ROOM_KEPT, room.correlation);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 5);
    peer_submitted(peer, 1, true, 70, 5);
    assert_true(jq_pending_is_flushed(&peer->p, 1));
}

static void a_group_that_can_never_fit_goes_one_by_one(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;

    start_jobs(peer, 3);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_error(peer, 1, JQ_EMSGSIZE);
    for (uint64_t number = 2; number <= 4; number++) {
        peer_take(peer, JQ_MSG_SUBMIT, &msg);
        assert_int_equal(msg.correlation, number);
        assert_int_equal(msg.u.submit.jobs.count, 1);
    }
    assert_int_equal(peer->p.unanswered_jobs, 3);
    peer_submitted(peer, 3, true, 71, 1);
    peer_submitted(peer, 4, true, 72, 1);
    assert_false(jq_pending_is_flushed(&peer->p, 1)); /* they were started as number 1 */
    peer_submitted(peer, 2, true, 70, 1);
    assert_true(jq_pending_is_flushed(&peer->p, 1));
    assert_int_equal(peer->p.unanswered_bytes, 0);
}

static void a_room_for_too_many_splits_the_group(void **state)
{
    struct peer *peer = *state;
    struct jq_msg room, msg;

    start_jobs(peer, 2);
    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    peer_error(peer, room.correlation, JQ_EMSGSIZE);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 2);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 3);
}

static void a_reconnect_asks_for_room_again_and_does_not_send(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, JQ_NEVER);
    struct jq_msg first, second;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &first);
    jq_pending_reconnected(&peer->p);
    peer_take(peer, JQ_MSG_ROOM, &second);
    assert_int_equal(first.correlation, second.correlation);
    peer_take_nothing(peer);
    say(peer, JQ_MSG_ROOM_KEPT, second.correlation);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    jq_pending_reconnected(&peer->p); /* the places are gone with the connection */
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_error(peer, 1, JQ_EFULL);
    peer_take(peer, JQ_MSG_ROOM, &second);
    assert_true(second.correlation != first.correlation);
    assert_false(future->is_ended);
}

/* A copy that was sent again found room. */
static void an_answer_ends_the_waiting_for_room(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, JQ_NEVER);
    struct jq_msg room, msg;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    peer_submitted(peer, 1, true, 70, 1);
    assert_int_equal(future->id, 70);
    peer_take(peer, JQ_MSG_UNWAIT, &msg);
    assert_int_equal(msg.correlation, room.correlation);
    free_ended(peer, future);
}

static void a_put_is_withdrawn_before_its_frame_is_made(void **state)
{
    struct peer *peer = *state;

    struct jobq_future *future = put(peer, JQ_NEVER);
    assert_true(jq_pending_put_withdraw(&peer->p, future)); /* its frame was open */
    peer_take_nothing(peer);
    put(peer, JQ_NEVER);
    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, NULL);
    future = put(peer, 0);
    assert_true(jq_pending_put_withdraw(&peer->p, future)); /* and is refused when it is made */
    peer_take_nothing(peer);
    assert_true(peer->p.has_failed); /* for others of that frame, who may sleep */
}

static void busy_is_no_answer_to_who_waits(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, peer->now + 100);
    struct jq_msg room;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    peer_error(peer, 1, JQ_EBUSY); /* to a copy */
    assert_int_equal(jq_pending_next_at(&peer->p), peer->now + 100);
    peer_error(peer, room.correlation, JQ_EBUSY);
    peer_take_nothing(peer);
    peer->now = jq_pending_next_at(&peer->p);
    jq_pending_tick(&peer->p, peer->now);
    peer_take(peer, JQ_MSG_ROOM, NULL);
    assert_false(future->is_ended);
}

static void a_queue_that_is_closed_ends_those_who_wait(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = put(peer, JQ_NEVER);
    struct jq_msg room;

    refuse(peer);
    peer_take(peer, JQ_MSG_ROOM, &room);
    peer_error(peer, room.correlation, JQ_ECLOSED);
    assert_int_equal(future->error, JQ_ECLOSED);
    peer_take_nothing(peer);
    free_ended(peer, future);
}

static void a_put_that_was_never_sent_can_be_withdrawn(void **state)
{
    struct peer *peer = *state;
    struct jq_msg msg;

    struct jobq_future *alone = put(peer, JQ_NEVER);
    jq_pending_flush(&peer->p, peer->now);
    assert_true(jq_pending_put_withdraw(&peer->p, alone));
    peer_take_nothing(peer);
    struct jobq_future *a = put(peer, JQ_NEVER), *b = put(peer, JQ_NEVER);
    jq_pending_flush(&peer->p, peer->now);
    assert_true(jq_pending_put_withdraw(&peer->p, a));
    jq_pending_check(&peer->p);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.jobs.count, 1);
    peer_submitted(peer, msg.correlation, true, 70, 1);
    assert_int_equal(b->id, 70);
}

static void a_put_that_was_sent_is_nobodys_to_take_back(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = put(peer, JQ_NEVER), *b = put(peer, JQ_NEVER);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    assert_false(jq_pending_put_withdraw(&peer->p, a));
    peer_error(peer, 1, JQ_EFULL); /* nobody waits for a: it is not tried again */
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_take_nothing(peer);
    assert_false(jq_pending_put_withdraw(&peer->p, b));
    jq_pending_reconnected(&peer->p);
    peer_take_nothing(peer);
}

/* Fails every allocation in turn while a frame is refused: it is refused later, then. */
static void without_memory_the_waiting_begins_later(void **state)
{
    struct peer *peer = *state;
    int fails = 0;

    for (bool parked = false; !parked; fails++) {
        struct jobq_future *a = put(peer, JQ_NEVER), *b = put(peer, JQ_NEVER);
        struct jq_msg msg;
        peer_take(peer, JQ_MSG_SUBMIT, &msg);
        jq_alloc_fail_after(fails, 0);
        jq_pending_receive(&peer->p, peer->now,
                           &(struct jq_msg){ .tag = JQ_MSG_ERROR,
                                             .correlation = msg.correlation,
                                             .u.error.error = JQ_EFULL },
                           peer->last);
        jq_alloc_fail_after(-1, 0);
        jq_pending_check(&peer->p);
        parked = a->ask != b->ask;
        if (!parked) {
            assert_true(jq_pending_next_at(&peer->p) > peer->now);
            jq_pending_put_withdraw(&peer->p, a);
            jq_pending_put_withdraw(&peer->p, b);
        }
    }
    assert_true(fails > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)
        TEST(a_refused_submit_asks_for_room_and_is_sent_again_under_its_number),
        TEST(what_comes_later_waits_behind_what_waits),
        TEST(a_put_without_time_is_refused_at_once),
        TEST(a_blocked_put_ends_with_its_time_and_withdraws),
        TEST(a_submit_in_flight_outlives_its_time_until_its_answer),
        TEST(places_that_were_not_used_are_given_back),
        TEST(puts_of_one_frame_wait_one_by_one),
        TEST(jobs_of_one_frame_wait_together),
        TEST(a_group_that_can_never_fit_goes_one_by_one),
        TEST(a_room_for_too_many_splits_the_group),
        TEST(a_reconnect_asks_for_room_again_and_does_not_send),
        TEST(an_answer_ends_the_waiting_for_room),
        TEST(a_put_is_withdrawn_before_its_frame_is_made),
        TEST(busy_is_no_answer_to_who_waits),
        TEST(a_queue_that_is_closed_ends_those_who_wait),
        TEST(a_put_that_was_never_sent_can_be_withdrawn),
        TEST(a_put_that_was_sent_is_nobodys_to_take_back),
        TEST(without_memory_the_waiting_begins_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
