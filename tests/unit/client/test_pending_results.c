/* SPDX-License-Identifier: MIT
 *
 * test_pending_results.c - SUBMITs whose results follow, and those whose do not: the broker is
 * older, or waits for too much already. */
#include "proto/base/alloc.h"
#include "tests/unit/client/pending_peer.h"

/* A job whose end will be wanted. */
static struct jobq_future *start_flags(struct peer *peer, uint64_t flags)
{
    const struct jq_start what = {
        .queue = jq_view_str("q"),
        .flags = flags,
        .spec = { .handler = jq_view_str("noop") },
        .wants_results = true,
    };
    struct jobq_future *future = jq_pending_new_future(&peer->p);

    assert_non_null(future);
    assert_int_equal(jq_pending_start(&peer->p, &what, future), JQ_OK);
    jq_pending_check(&peer->p);
    return future;
}

static struct jobq_future *start(struct peer *peer)
{
    return start_flags(peer, 0);
}

static void submitted(struct peer *peer, uint64_t number, uint64_t first_id, uint32_t count,
                      bool results)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = number,
        .u.submitted = { .durable = 1, .first_id = first_id, .count = count, .results = results },
    };

    peer_answer(peer, &msg);
}

static void want(struct peer *peer, struct jobq_future *future)
{
    assert_int_equal(jq_pending_want(&peer->p, future), JQ_OK);
    jq_pending_check(&peer->p);
}

static void results_that_follow_need_no_wait(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = start(peer), *b = start(peer);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.results, 1);
    assert_int_equal(msg.u.submit.jobs.count, 2);
    want(peer, a);
    submitted(peer, 1, 70, 2, true);
    assert_int_equal(b->id, 71);
    want(peer, b);
    peer_take_nothing(peer);
    peer_result(peer, 1, 71, JQ_FAILED);
    peer_result(peer, 1, 70, JQ_SUCCEEDED);
    assert_int_equal(a->job_state, JQ_SUCCEEDED);
    assert_int_equal(b->job_state, JQ_FAILED);
    assert_false(jq_pending_is_waiting(&peer->p));
    peer_start_plain(peer, 1);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.answered, 1);
    assert_int_equal(msg.u.submit.results, 0);
    jq_pending_free_future(&peer->p, a);
    jq_pending_free_future(&peer->p, b);
}

static void where_results_do_not_follow_a_wait_asks_for_what_is_wanted(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *wanted = start(peer), *other = start(peer);
    struct jq_msg msg;

    want(peer, wanted);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    submitted(peer, 1, 70, 2, false);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 1);
    peer_result(peer, msg.correlation, 70, JQ_SUCCEEDED);
    assert_true(wanted->is_ended);
    want(peer, other);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_result(peer, msg.correlation, 71, JQ_SUCCEEDED);
    assert_true(other->is_ended);
    jq_pending_free_future(&peer->p, wanted);
    jq_pending_free_future(&peer->p, other);
}

static void a_lost_connection_asks_for_what_has_not_come(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = start(peer), *b = start(peer), *late;
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    submitted(peer, 1, 70, 2, true);
    peer_result(peer, 1, 70, JQ_SUCCEEDED);
    late = start(peer);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    jq_pending_reconnected(&peer->p);
    jq_pending_check(&peer->p);
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 2);
    assert_int_equal(msg.u.submit.results, 1);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    assert_int_equal(msg.u.wait.jobs.count, 1);
    peer_take_nothing(peer);
    peer_result(peer, 1, 71, JQ_FAILED); /* of the connection that was lost: nobody's */
    assert_false(b->is_ended);
    peer_result(peer, msg.correlation, 71, JQ_SUCCEEDED);
    submitted(peer, 2, 80, 1, true);
    peer_result(peer, 2, 80, JQ_SUCCEEDED);
    assert_true(a->is_ended && b->is_ended && late->is_ended);
    jq_pending_free_future(&peer->p, a);
    jq_pending_free_future(&peer->p, b);
    jq_pending_free_future(&peer->p, late);
}

static void what_nobody_wants_any_more_is_withdrawn(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = start(peer), *b = start(peer);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    jq_pending_free_future(&peer->p, a);
    submitted(peer, 1, 70, 2, true);
    peer_take_nothing(peer);
    peer_result(peer, 1, 71, JQ_SUCCEEDED);
    assert_true(b->is_ended);
    peer_take(peer, JQ_MSG_UNWAIT, &msg); /* the broker waits for 70 yet */
    assert_int_equal(msg.correlation, 1);
    jq_pending_free_future(&peer->p, b);
    a = start(peer);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    jq_pending_free_future(&peer->p, a);
    submitted(peer, 2, 80, 1, true);
    peer_take(peer, JQ_MSG_UNWAIT, &msg);
    assert_int_equal(msg.correlation, 2);
    assert_false(jq_pending_is_waiting(&peer->p));
}

static void an_error_to_a_late_copy_fails_nothing_and_a_wait_is_sent(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = start(peer);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    submitted(peer, 1, 70, 1, true);
    peer_error(peer, 1, JQ_EALREADY);
    assert_false(future->is_ended);
    peer->now = jq_pending_next_at(&peer->p);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    peer_result(peer, msg.correlation, 70, JQ_SUCCEEDED);
    assert_true(future->is_ended);
    jq_pending_free_future(&peer->p, future);
}

static void two_futures_of_one_job_are_settled_by_whatever_comes_first(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *other = jq_pending_new_future(&peer->p), *own = start(peer);
    struct jq_msg msg;

    other->id = 70; /* known to be given next, as a key is */
    want(peer, other);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    peer_take(peer, JQ_MSG_WAIT, &msg);
    submitted(peer, 1, 70, 1, true); /* what relies on that WAIT goes on with it */
    peer_take(peer, JQ_MSG_UNWAIT, NULL);
    peer_result(peer, msg.correlation, 70, JQ_SUCCEEDED);
    assert_true(own->is_ended && other->is_ended);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, own);
    jq_pending_free_future(&peer->p, other);
}

static void without_memory_nothing_is_started(void **state)
{
    struct peer *peer = *state;
    const struct jq_start what = {
        .queue = jq_view_str("q"),
        .spec = { .handler = jq_view_str("noop") },
        .wants_results = true,
    };
    struct jobq_future *future = NULL;
    enum jq_err err = JQ_ENOMEM;
    int64_t left = 0;

    for (; err != JQ_OK; left++) {
        future = jq_pending_new_future(&peer->p);
        assert_non_null(future);
        jq_alloc_fail_after(left, 0);
        err = jq_pending_start(&peer->p, &what, future);
        jq_alloc_fail_after(-1, 0);
        if (err != JQ_OK)
            jq_pending_free_future(&peer->p, future);
        jq_pending_check(&peer->p);
    }
    assert_true(left > 3);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    submitted(peer, 1, 70, 1, true);
    peer_result(peer, 1, 70, JQ_SUCCEEDED);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, future);
}

static void hinted_result(struct peer *peer, uint64_t first_id, uint64_t id)
{
    struct jq_buf list = { 0 };

    jq_result_write(&list, &(struct jq_result){ .id = id, .state = JQ_SUCCEEDED });
    const struct jq_msg msg = {
        .tag = JQ_MSG_RESULTS,
        .correlation = 1,
        .u.results = { .results = jq_records_of(1, &list), .first_id = first_id },
    };
    peer_answer(peer, &msg);
    jq_buf_fini(&list);
}

static void the_first_result_of_a_call_may_be_its_hint(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *a = start_flags(peer, JQ_SUBMIT_CALL);
    struct jobq_future *b = start_flags(peer, JQ_SUBMIT_CALL);
    struct jq_msg msg;

    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.u.submit.results, 1);
    hinted_result(peer, 70, 71);
    assert_int_equal(a->id, 70);
    assert_true(b->is_ended);
    assert_false(a->is_ended);
    jq_pending_reconnected(&peer->p); /* its ids were a hint only */
    peer_take(peer, JQ_MSG_SUBMIT, &msg);
    assert_int_equal(msg.correlation, 1);
    hinted_result(peer, 80, 80);
    assert_int_equal(a->id, 80);
    assert_true(a->is_ended);
    assert_false(jq_pending_is_waiting(&peer->p));
    jq_pending_free_future(&peer->p, a);
    jq_pending_free_future(&peer->p, b);
}

static void without_memory_for_the_ids_of_a_call_it_is_sent_again(void **state)
{
    struct peer *peer = *state;
    struct jobq_future *future = start_flags(peer, JQ_SUBMIT_CALL);

    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    hinted_result(peer, 70, 99); /* another's: the id alone is taken */
    jq_pending_reconnected(&peer->p);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    struct jq_slab *slab = &peer->p.interest_slab;
    void *const free_objects = slab->free;
    struct jq_buf list = { 0 };
    jq_result_write(&list, &(struct jq_result){ .id = 80, .state = JQ_SUCCEEDED });
    const struct jq_msg msg = {
        .tag = JQ_MSG_RESULTS,
        .correlation = 1,
        .u.results = { .results = jq_records_of(1, &list), .first_id = 80 },
    };
    slab->free = NULL; /* none is left: moving to another id needs one */
    jq_alloc_fail_after(0, 1);
    jq_pending_receive(&peer->p, peer->now, &msg, NULL);
    jq_alloc_fail_after(-1, 0);
    slab->free = free_objects;
    jq_buf_fini(&list);
    jq_pending_check(&peer->p);
    assert_false(future->is_ended);
    peer->now = jq_pending_next_at(&peer->p);
    jq_pending_tick(&peer->p, peer->now);
    peer_take(peer, JQ_MSG_SUBMIT, NULL);
    hinted_result(peer, 80, 80);
    assert_true(future->is_ended);
    jq_pending_free_future(&peer->p, future);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(results_that_follow_need_no_wait),
        CLAIM(where_results_do_not_follow_a_wait_asks_for_what_is_wanted),
        CLAIM(a_lost_connection_asks_for_what_has_not_come),
        CLAIM(what_nobody_wants_any_more_is_withdrawn),
        CLAIM(an_error_to_a_late_copy_fails_nothing_and_a_wait_is_sent),
        CLAIM(two_futures_of_one_job_are_settled_by_whatever_comes_first),
        CLAIM(without_memory_nothing_is_started),
        CLAIM(the_first_result_of_a_call_may_be_its_hint),
        CLAIM(without_memory_for_the_ids_of_a_call_it_is_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
