/* SPDX-License-Identifier: MIT
 *
 * test_fetch.c - what the worker holds, tells and tells again, and how much it asks for. */
#include "fetch_fixture.h"

#include <string.h>

#include "proto/base/alloc.h"

/* --- sessions --- */

static void hello_comes_first_and_alone(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_up(f);
    assert_int_equal(f->sent_count, 1);
    const struct jq_msg hello = fetch_sent(f, JQ_MSG_HELLO);
    assert_int_equal(hello.u.hello.session, 77);
    assert_int_equal(hello.u.hello.role, JQ_ROLE_WORKER);
    assert_int_equal(hello.u.hello.slots, 4);
    fetch_welcome(f, no_records());
    assert_int_equal(f->beat_ms, 500);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 4);
}

static void a_welcome_of_an_older_hello_is_ignored(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_up(f);
    const uint64_t first = f->hello_number;
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    f->hello_number = first;
    fetch_welcome(f, no_records());
    assert_int_equal(f->sent_count, 0);
    assert_false(jq_fetch_look(f->fetch).welcomed);
}

static void a_silent_broker_is_asked_then_given_up(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_tick(f, 499);
    assert_int_equal(f->sent_count, 0);
    fetch_tick(f, 1);
    fetch_tick(f, 500);
    assert_int_equal(fetch_count(f, JQ_MSG_PING), 2);
    assert_int_equal(f->renewals, 0);
    fetch_tick(f, 500);
    assert_int_equal(f->renewals, 1);
    fetch_up(f);
    assert_int_equal(fetch_count(f, JQ_MSG_HELLO), 1);
}

static void a_hello_without_an_answer_is_repeated(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_up(f);
    const uint64_t first = f->hello_number;
    fetch_tick(f, 1000);
    assert_int_equal(fetch_count(f, JQ_MSG_HELLO), 2);
    assert_true(f->hello_number > first);
    fetch_welcome(f, no_records());
    assert_true(jq_fetch_look(f->fetch).welcomed);
}

static void a_broker_that_forgot_us_gets_hello_again(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_clear(f);
    const struct jq_msg error = { .tag = JQ_MSG_ERROR, .u.error.error = JQ_ENOHELLO };
    fetch_apply(f, &error);
    fetch_apply(f, &error); /* of two requests: one HELLO is enough */
    assert_int_equal(fetch_count(f, JQ_MSG_HELLO), 1);
    assert_int_equal(fetch_sent(f, JQ_MSG_HELLO).u.hello.held.count, 1);
}

/* --- ends --- */

static void an_end_is_told_until_it_is_acknowledged(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 2, "exec");
    fetch_clear(f);
    fetch_end(f, JQ_AT_EXEC, 2, 5);
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 1, 2);
    fetch_ack(f, 1, 101, false);
    fetch_ack(f, 2, 999, false); /* of another grant */

    fetch_clear(f);
    fetch_down(f);
    fetch_up(f);
    assert_int_equal(fetch_sent(f, JQ_MSG_HELLO).u.hello.held.count, 1);
    assert_int_equal(f->sent_count, 1);
    fetch_welcome(f, no_records());
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 2, 1);
    fetch_ack(f, 2, 102, false);
    assert_int_equal(jq_fetch_look(f->fetch).held, 0);
}

static void an_end_during_greeting_is_told_after_welcome(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    assert_int_equal(f->sent_count, 0);
    fetch_welcome(f, no_records());
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 1, 1);
}

/* HELLO said that it is held, so the broker counts on it. */
static void a_run_given_back_during_greeting_is_released_after_welcome(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    fetch_end_returned(f, JQ_AT_EXEC);
    assert_int_equal(f->sent_count, 0);
    fetch_welcome(f, no_records());
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 1, 1);
}

static void a_run_given_back_without_a_link_is_left_out_of_hello(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_down(f);
    fetch_end_returned(f, JQ_AT_EXEC);
    fetch_clear(f);
    fetch_up(f);
    assert_int_equal(fetch_sent(f, JQ_MSG_HELLO).u.hello.held.count, 0);
    fetch_welcome(f, no_records());
    assert_int_equal(fetch_count(f, JQ_MSG_RELEASE), 0);
}

static void a_lost_job_is_ended_without_a_word(void **state)
{
    struct fetch_fixture *f = *state;
    struct jq_buf lost = { 0 };
    fetch_join(f);
    fetch_grant(f, 1, 3, "exec");
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    jq_held_write(&lost, &(struct jq_held){ .id = 1, .fence = 101 }); /* has ended */
    jq_held_write(&lost, &(struct jq_held){ .id = 2, .fence = 102 }); /* runs */
    jq_held_write(&lost, &(struct jq_held){ .id = 3, .fence = 999 }); /* not this one */
    fetch_welcome(f, jq_records_of(3, &lost));
    jq_buf_fini(&lost);
    assert_int_equal(f->lost, 2);
    assert_int_equal(f->cancelled_count, 1);
    assert_int_equal(f->cancelled[0]->id, 2);
    assert_int_equal(jq_fetch_look(f->fetch).held, 1);
    fetch_clear(f);
    fetch_end(f, JQ_AT_EXEC, 1, 5); /* the lost one comes back: its slot is free, nothing is said */
    assert_int_equal(fetch_count(f, JQ_MSG_DONE), 0);
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    assert_ids(fetch_sent(f, JQ_MSG_DONE), 3, 1);
}

static void a_fenced_outcome_is_dropped(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    fetch_ack(f, 1, 101, true);
    assert_int_equal(f->fenced, 1);
    assert_int_equal(jq_fetch_look(f->fetch).held, 0);
}

/* --- grants --- */

static void a_grant_that_comes_twice_starts_once(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_grant(f, 1, 1, "exec");
    assert_int_equal(f->out[JQ_AT_EXEC].count, 1);
    assert_int_equal(jq_fetch_look(f->fetch).received, 2);
}

static void a_newer_grant_of_the_same_job_replaces_the_older(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    struct jq_buf jobs = { 0 };
    struct jq_grant grant = {
        .id = 1, .attempt = 2, .handler = jq_view_str("exec"), .queue = jq_view_str("q")
    };
    grant.fence = 300;
    jq_grant_write(&jobs, &grant);
    grant.fence = 301; /* both in one frame */
    jq_grant_write(&jobs, &grant);
    grant.fence = 200; /* late */
    jq_grant_write(&jobs, &grant);
    const struct jq_msg msg = { .tag = JQ_MSG_GRANTS, .u.grants.jobs = jq_records_of(3, &jobs) };
    fetch_apply(f, &msg);
    jq_buf_fini(&jobs);
    assert_int_equal(f->cancelled_count, 2);
    assert_int_equal(f->cancelled[0]->fence, 101);
    assert_int_equal(f->cancelled[1]->fence, 300);
    assert_int_equal(f->out[JQ_AT_EXEC].count, 3);
    assert_int_equal(f->out[JQ_AT_EXEC].last->fence, 301);
    assert_int_equal(jq_fetch_look(f->fetch).held, 1);
    fetch_clear(f);
    fetch_end(f, JQ_AT_EXEC, 3, 5);
    assert_int_equal(fetch_sent(f, JQ_MSG_DONE).u.done.outcomes.count, 1);
}

static void a_command_beyond_the_slots_goes_back_at_once(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 6, "exec");
    assert_int_equal(f->out[JQ_AT_EXEC].count, 4);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 5, 2);
}

/* --- credit --- */

static void credit_is_what_was_received_and_what_is_free(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_up(f);
    fetch_welcome(f, no_records());
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 4);
    fetch_grant(f, 1, 4, "exec");
    assert_int_equal(fetch_count(f, JQ_MSG_CREDIT), 0);
    fetch_end(f, JQ_AT_EXEC, 1, 5);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 5);
    fetch_grant(f, 5, 1, "exec");
    fetch_end(f, JQ_AT_EXEC, 4, 5);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 9);
}

static void welcome_starts_the_count_anew(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 3, "exec");
    fetch_down(f);
    fetch_up(f);
    fetch_clear(f);
    fetch_welcome(f, no_records());
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 1);
    assert_int_equal(jq_fetch_look(f->fetch).received, 0);
}

static void short_handlers_are_granted_ahead_of_need(void **state)
{
    struct fetch_fixture *f = *state;
    uint64_t next = 1;
    fetch_join(f);
    for (int i = 0; i < 40; i++) {
        const struct jq_fetch_view view = jq_fetch_look(f->fetch);
        const uint32_t count = (uint32_t)(view.credit - view.received);
        fetch_grant(f, next, count, "noop");
        next += count;
        fetch_end(f, JQ_AT_THREAD, f->out[JQ_AT_THREAD].count, 1);
        for (uint64_t id = next - count; id < next; id++)
            fetch_ack(f, id, id + 100, false);
        fetch_clear(f);
    }
    assert_int_equal(jq_fetch_look(f->fetch).window, 1024);
}

static void long_handlers_are_never_granted_ahead(void **state)
{
    struct fetch_fixture *f = *state;
    uint64_t next = 1;
    fetch_join(f);
    for (int i = 0; i < 40; i++) {
        const struct jq_fetch_view view = jq_fetch_look(f->fetch);
        const uint32_t count = (uint32_t)(view.credit - view.received);
        assert_true(view.outstanding + count <= 4);
        fetch_grant(f, next, count, "sleep");
        next += count;
        fetch_end(f, JQ_AT_THREAD, 1, 15000);
        fetch_clear(f);
    }
}

static void handlers_that_wait_behind_a_long_one_go_back(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 4, "sleep"); /* two run, two wait */
    fetch_tick(f, 19);
    assert_int_equal(f->recalls, 0);
    fetch_tick(f, 1);
    assert_int_equal(f->recalls, 1);
    struct jq_run_list waiting = { 0 };
    struct jq_run_list running = { 0 };
    for (int i = 0; i < 2; i++)
        jq_run_list_push(&running, jq_run_list_pop(&f->out[JQ_AT_THREAD]));
    jq_run_list_join(&waiting, &f->out[JQ_AT_THREAD]);
    jq_run_list_join(&f->out[JQ_AT_THREAD], &running);
    fetch_clear(f);
    fetch_answer_recall(f, &waiting);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 3, 2);
    const struct jq_fetch_view view = jq_fetch_look(f->fetch);
    assert_int_equal(view.credit, view.received); /* no thread is free */
}

static void a_worker_without_resources_pauses(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_clear(f);
    fetch_end_returned(f, JQ_AT_EXEC);
    assert_ids(fetch_sent(f, JQ_MSG_RELEASE), 1, 1);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 1); /* what was told is off */
    assert_true(jq_fetch_next_at(f->fetch) <= f->now.mono + 500);
    fetch_tick(f, 500);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 5);
}

static void unacknowledged_bytes_stop_the_credit(void **state)
{
    static char bytes[1 << 20];
    struct fetch_fixture *f = *state;
    struct jq_run_list ended = { 0 };
    struct jq_buf scratch = { 0 };
    struct jq_fetch_effect effect;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    struct jq_run *run = jq_run_list_pop(&f->out[JQ_AT_EXEC]);
    struct jq_outcome outcome = { .stdout_bytes = sizeof bytes,
                                  .stdout_head = jq_view(bytes, sizeof bytes) };
    jq_run_end(run, &outcome, &scratch);
    jq_buf_fini(&scratch);
    jq_run_list_push(&ended, run);
    assert_int_equal(jq_fetch_finished(f->fetch, f->now, &ended), JQ_OK);
    while (jq_fetch_take_effect(f->fetch, f->now, &effect))
        jq_buf_fini(&effect.frame);
    assert_int_equal(jq_fetch_look(f->fetch).credit, 1);
    fetch_ack(f, 1, 101, false);
    assert_int_equal(fetch_sent(f, JQ_MSG_CREDIT).u.credit.total, 5);
}

/* --- kills and readers --- */

static void only_the_first_kill_gives_the_reason(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    const char *const reasons[] = { "first", "second" };
    for (int i = 0; i < 2; i++) {
        struct jq_buf kills = { 0 };
        jq_kill_write(
            &kills, &(struct jq_kill){ .id = 1, .fence = 101, .reason = jq_view_str(reasons[i]) });
        const struct jq_msg msg = { .tag = JQ_MSG_KILLS, .u.kills.jobs = jq_records_of(1, &kills) };
        fetch_apply(f, &msg);
        jq_buf_fini(&kills);
    }
    assert_int_equal(f->cancelled_count, 2);
    assert_string_equal(f->cancelled[0]->reason, "first");
}

static struct jq_msg log_read(uint64_t id, uint64_t stream)
{
    return (struct jq_msg){
        .tag = JQ_MSG_LOG_READ,
        .correlation = 5,
        .u.log_read = { .id = id, .stream = stream, .limit = 100 },
    };
}

static void a_reader_is_served_by_the_executor_then_by_the_outcome(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    fetch_grant(f, 1, 1, "exec");
    fetch_clear(f);
    struct jq_msg read = log_read(1, 1);
    fetch_apply(f, &read);
    assert_int_equal(f->reads, 1);
    assert_int_equal(f->read.correlation, 5);

    read = log_read(1, 0);
    fetch_apply(f, &read);
    assert_int_equal(fetch_sent(f, JQ_MSG_LOG_DATA).u.log_data.error, JQ_EINVAL);
    read = log_read(2, 1);
    fetch_apply(f, &read);
    assert_int_equal(fetch_sent(f, JQ_MSG_LOG_DATA).u.log_data.error, JQ_ENOENT);

    fetch_end(f, JQ_AT_EXEC, 1, 5);
    read = log_read(1, 1);
    fetch_apply(f, &read);
    const struct jq_msg data = fetch_sent(f, JQ_MSG_LOG_DATA);
    assert_int_equal(data.correlation, 5);
    assert_int_equal(data.u.log_data.error, 0);
    assert_int_equal(data.u.log_data.end, 1);
}

static void without_memory_it_says_so(void **state)
{
    struct fetch_fixture *f = *state;
    fetch_join(f);
    struct jq_buf jobs = { 0 };
    struct jq_fetch_effect effect;
    jq_grant_write(&jobs,
                   &(struct jq_grant){ .id = 1, .fence = 2, .handler = jq_view_str("exec") });
    const struct jq_msg msg = { .tag = JQ_MSG_GRANTS, .u.grants.jobs = jq_records_of(1, &jobs) };
    (void)jq_alloc_fail_after(0, 1);
    const enum jq_err err = jq_fetch_apply(f->fetch, f->now, &msg);
    (void)jq_alloc_fail_after(-1, 0);
    assert_int_equal(err, JQ_ENOMEM);
    while (jq_fetch_take_effect(f->fetch, f->now, &effect))
        jq_buf_fini(&effect.frame);
    assert_int_equal(jq_fetch_tick(f->fetch, f->now), JQ_ENOMEM);
    jq_buf_fini(&jobs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fetch_setup, fetch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hello_comes_first_and_alone),
        TEST(a_welcome_of_an_older_hello_is_ignored),
        TEST(a_silent_broker_is_asked_then_given_up),
        TEST(a_hello_without_an_answer_is_repeated),
        TEST(a_broker_that_forgot_us_gets_hello_again),
        TEST(an_end_is_told_until_it_is_acknowledged),
        TEST(an_end_during_greeting_is_told_after_welcome),
        TEST(a_run_given_back_during_greeting_is_released_after_welcome),
        TEST(a_run_given_back_without_a_link_is_left_out_of_hello),
        TEST(a_lost_job_is_ended_without_a_word),
        TEST(a_fenced_outcome_is_dropped),
        TEST(a_grant_that_comes_twice_starts_once),
        TEST(a_newer_grant_of_the_same_job_replaces_the_older),
        TEST(a_command_beyond_the_slots_goes_back_at_once),
        TEST(credit_is_what_was_received_and_what_is_free),
        TEST(welcome_starts_the_count_anew),
        TEST(short_handlers_are_granted_ahead_of_need),
        TEST(long_handlers_are_never_granted_ahead),
        TEST(handlers_that_wait_behind_a_long_one_go_back),
        TEST(a_worker_without_resources_pauses),
        TEST(unacknowledged_bytes_stop_the_credit),
        TEST(only_the_first_kill_gives_the_reason),
        TEST(a_reader_is_served_by_the_executor_then_by_the_outcome),
        TEST(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
