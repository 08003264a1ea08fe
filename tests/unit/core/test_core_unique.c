/* SPDX-License-Identifier: MIT
 *
 * test_core_unique.c - unique names: who comes second takes the job that is on its way. */
#include "tests/unit/core/life_claims.h"

static struct jq_ack submit(struct driver *d, uint64_t client, const char *queue, uint64_t phases)
{
    const struct jq_job_options options = { .unique = jq_view_str("name"), .unique_while = phases };

    claim_ask(d, client, queue, options, NULL);
    driver_commit(d);
    return claim_submitted_ack(d, client);
}

static void who_comes_second_gets_the_first_job_from_any_queue(void **state)
{
    struct driver *d = *state;
    const uint64_t one = driver_client(d, 1), two = driver_client(d, 2);
    const struct jq_ack first = submit(d, one, "a", 0), second = submit(d, two, "b", 0);

    assert_int_equal(first.created, 1);
    assert_int_equal(second.id, first.id);
    assert_int_equal(second.created, 0);
    assert_int_equal(second.error, JQ_OK);
    assert_int_equal(jq_queue_unfinished(claim_queue(d, "b")), 0);
}

static void the_phase_of_the_first_counts_as_the_second_asks(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), worker = driver_worker(d, 2, 0);
    const uint64_t first = submit(d, client, NULL, 0).id;

    assert_int_equal(submit(d, client, NULL, JQ_WHILE_QUEUED).id, first);
    driver_credit(d, worker, 1);
    const struct jq_held held = driver_grant(d, worker);
    assert_int_equal(held.id, first);
    assert_int_equal(submit(d, client, NULL, 0).id, first);
    assert_int_equal(submit(d, client, NULL, JQ_WHILE_RUNNING).id, first);
    const struct jq_ack second = submit(d, client, NULL, JQ_WHILE_QUEUED);
    assert_int_equal(second.created, 1); /* one runs, one waits: as cron would have it */
    assert_int_equal(submit(d, client, NULL, JQ_WHILE_QUEUED).id, second.id);
    assert_int_equal(submit(d, client, NULL, 0).id, first);
    driver_done(d, worker, held, JQ_OUTCOME_EXITED, 0);
    driver_commit(d);
    assert_int_equal(submit(d, client, NULL, 0).id, second.id);
    assert_int_equal(submit(d, client, NULL, JQ_WHILE_RUNNING).created, 1);
}

static void a_job_that_has_ended_keeps_no_name(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const uint64_t first = submit(d, client, NULL, 0).id;
    struct jq_buf refs = { 0 };

    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = first });
    const struct jq_msg cancel = { .tag = JQ_MSG_CANCEL,
                                   .correlation = 5,
                                   .u.cancel = { .jobs = jq_records_of(1, &refs) } };
    driver_apply(d, client, &cancel); /* not durable yet */
    assert_int_equal(submit(d, client, NULL, 0).created, 1);
    jq_buf_fini(&refs);
}

static void strictly_the_second_is_refused(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .unique = jq_view_str("name") };

    const uint64_t first = submit(d, client, NULL, 0).id;
    driver_submit(
        d, client,
        (struct driver_submit){ .number = 2, .flags = JQ_SUBMIT_STRICT, .options = &options });
    driver_commit(d);
    const struct jq_ack ack = claim_submitted_ack(d, client);
    assert_int_equal(ack.error, JQ_EEXIST);
    assert_int_equal(ack.id, first);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_READY], 1);
}

static void several_of_one_submit_are_one_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1);
    const struct jq_job_options options = { .unique = jq_view_str("name") };

    driver_submit(d, client,
                  (struct driver_submit){ .number = 1, .count = 3, .options = &options });
    driver_commit(d);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SUBMITTED);
    struct jq_reader r = jq_records_reader(frame.msg.u.submitted.each);
    struct jq_ack ack[3];
    for (int i = 0; i < 3; i++) {
        assert_true(jq_ack_next(&r, &ack[i]));
        assert_int_equal(ack[i].id, ack[0].id);
        assert_int_equal(ack[i].created, i == 0);
    }
    driver_frame_free(&frame);
    assert_int_equal(claim_queue(d, "default")->by_state[JQ_READY], 1);
}

static void a_name_is_known_after_a_restart(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 1);
    const uint64_t first = submit(d, client, NULL, 0).id;

    driver_crash(d);
    client = driver_client(d, 2);
    assert_int_equal(submit(d, client, NULL, 0).id, first);
}

static void a_caller_that_comes_second_gets_the_result_of_the_first(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 1), other = driver_client(d, 2);
    const struct jq_job_options options = { .unique = jq_view_str("name") };
    const uint64_t first = submit(d, client, NULL, 0).id;

    driver_submit(
        d, other,
        (struct driver_submit){ .number = 1, .flags = JQ_SUBMIT_CALL, .options = &options });
    driver_commit(d);
    claim_late(d);
    claim_drop(d, other, JQ_MSG_SUBMITTED);
    const uint64_t worker = driver_worker(d, 3, 1);
    claim_run(d, worker, first, 0);
    claim_expect_end(d, other, first, JQ_SUCCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(who_comes_second_gets_the_first_job_from_any_queue),
        CLAIM(the_phase_of_the_first_counts_as_the_second_asks),
        CLAIM(a_job_that_has_ended_keeps_no_name),
        CLAIM(strictly_the_second_is_refused),
        CLAIM(several_of_one_submit_are_one_job),
        CLAIM(a_name_is_known_after_a_restart),
        CLAIM(a_caller_that_comes_second_gets_the_result_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
