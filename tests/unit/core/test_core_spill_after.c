/* SPDX-License-Identifier: MIT
 *
 * test_core_spill_after.c - what leans on jobs that are in the store alone: jobs that wait for
 * them, keys that name them, and who held them before a restart. */
#include "tests/unit/core/spill_claims.h"

enum { MANY = 200 };

/* ---- submitting ---- */

static void jobs_wait_for_it_also_over_a_restart(void **state)
{
    static const enum jq_after kinds[] = { JQ_AFTER_OK, JQ_AFTER_FAIL, JQ_AFTER_ANY };
    struct driver *d = *state;

    for (size_t i = 0; i < 3; i++) {
        uint64_t client = driver_client(d, 7);
        const uint64_t id = spill_one_alone(d, client, 60);
        const uint64_t child = claim_submit_after(d, client, id, kinds[i]);
        driver_crash(d);
        client = driver_client(d, 7);
        const uint64_t worker = driver_worker(d, 9, 0);
        assert_int_equal(claim_now(d, child), JQ_BLOCKED);
        spill_run_up_to(d, worker, 1, id, kinds[i] == JQ_AFTER_FAIL);
        assert_int_equal(claim_now(d, child), JQ_READY);
        driver_close(d);
        spill_set_up(state);
    }
}

/* Put behind the edge, so stored among the spilled, and in memory yet. */
static void jobs_wait_for_one_that_is_about_to_leave_also_over_a_restart(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    const uint64_t worker = 9;
    struct claim_lists after = { 0 };
    struct jq_job_options child = { 0 };

    spill_fill(d, client, "noop", 0, 60);
    const uint64_t parent = d->core->meta.next_id;
    claim_put(d, client, "noop", 0, 1, NULL);
    driver_hand_over(d);
    assert_true(claim_job(d, parent)->is_spilled);
    claim_after(&after, parent, JQ_AFTER_OK);
    claim_lists_into(&after, &child);
    claim_put(d, client, "noop", 0, 1, &child);
    claim_lists_fini(&after);
    driver_commit(d);
    driver_crash(d);
    assert_int_equal(claim_now(d, parent + 1), JQ_BLOCKED);
    spill_run_up_to(d, driver_worker(d, worker, 0), 1, parent, 0);
    assert_int_equal(claim_now(d, parent + 1), JQ_READY);
}

static void a_job_may_wait_for_many_of_them(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    struct claim_lists after = { 0 };

    spill_fill(d, client, "noop", 0, MANY);
    for (uint64_t id = 1; id <= MANY; id++)
        claim_after(&after, id, JQ_AFTER_ANY);
    d->read_max = 9;
    const uint64_t child = claim_submit(d, client, "other", (struct jq_job_options){ 0 }, &after);
    claim_lists_fini(&after);
    assert_int_equal(claim_now(d, child), JQ_BLOCKED);
    assert_int_equal(claim_job(d, child)->extra->edges_left, MANY);
}

static void put_keyed(struct driver *d, uint64_t client, uint64_t number)
{
    driver_submit(d, client,
                  (struct driver_submit){ .number = number, .queue = "q", .key = "once" });
}

static void its_key_finds_it_also_when_two_ask_at_once(void **state)
{
    struct driver *d = *state;
    const uint64_t a = driver_client(d, 7), b = driver_client(d, 8);

    spill_fill(d, a, "noop", 0, 60);
    put_keyed(d, a, 2000000);
    put_keyed(d, b, 1); /* neither is there yet */
    driver_commit(d);
    const struct jq_ack first = claim_submitted_ack(d, a), second = claim_submitted_ack(d, b);
    assert_int_equal(first.id, second.id);
    assert_int_equal(first.created + second.created, 1);
    driver_tick(d, 1);
    driver_commit(d);
    assert_null(claim_job(d, first.id));
    put_keyed(d, a, 2000001);
    put_keyed(d, b, 2);
    driver_commit(d);
    assert_int_equal(claim_submitted_ack(d, a).id, first.id);
    const struct jq_ack again = claim_submitted_ack(d, b);
    assert_int_equal(again.id, first.id);
    assert_int_equal(again.created, 0);
}

/* ---- holders from before a restart ---- */

/* It was given, the broker was killed before that was durable, and it left memory. */
static struct jq_held given_and_alone(struct driver *d)
{
    const uint64_t client = driver_client(d, 7);

    claim_declare(d, client, "lifo", 0);
    spill_fill(d, client, "item", 0, 1);
    const struct jq_held held = spill_get(d, client);
    assert_int_equal(held.id, 1);
    driver_crash(d);
    const uint64_t other = driver_client(d, 8);
    spill_fill(d, other, "item", 0, MANY);
    assert_null(claim_job(d, held.id));
    return held;
}

static void its_holder_comes_back_and_goes_on(void **state)
{
    struct driver *d = *state;
    const struct jq_held held = given_and_alone(d);
    uint32_t lost;
    struct jq_msg msg = { .tag = JQ_MSG_HELLO };
    struct jq_buf records = { 0 };

    jq_held_write(&records, &held);
    msg.u.hello = (struct jq_hello){ .version_min = JQ_PROTOCOL_MIN,
                                     .version_max = JQ_PROTOCOL_MAX,
                                     .role = JQ_ROLE_CLIENT,
                                     .session = 7,
                                     .name = jq_view_str("test"),
                                     .held = jq_records_of(1, &records) };
    const uint64_t peer = d->next_peer++;
    driver_apply(d, peer, &msg);
    jq_buf_fini(&records);
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_WELCOME);
    lost = frame.msg.u.welcome.lost.count;
    driver_frame_free(&frame);
    assert_int_equal(lost, 0);
    assert_int_equal(claim_settle(d, peer, held, JQ_SETTLE_DONE, 0), 0);
}

static void who_lost_it_is_told_so_when_it_settles(void **state)
{
    struct driver *d = *state;
    const struct jq_held held = given_and_alone(d);
    const uint64_t peer = driver_client(d, 9);

    assert_int_equal(claim_settle(d, peer, held, JQ_SETTLE_DONE, 0), JQ_EFENCED);
    assert_int_equal(claim_ask_queue(d, peer).ready, MANY + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPILL_CLAIM(jobs_wait_for_it_also_over_a_restart),
        SPILL_CLAIM(jobs_wait_for_one_that_is_about_to_leave_also_over_a_restart),
        SPILL_CLAIM(a_job_may_wait_for_many_of_them),
        SPILL_CLAIM(its_key_finds_it_also_when_two_ask_at_once),
        SPILL_CLAIM(its_holder_comes_back_and_goes_on),
        SPILL_CLAIM(who_lost_it_is_told_so_when_it_settles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
