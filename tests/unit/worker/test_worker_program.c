/* SPDX-License-Identifier: MIT
 *
 * test_worker_program.c - the real jobq-worker against a broker that the test plays. */
#include "fake_broker.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const plain[] = { "--slots", "2", "--log-level", "error", NULL };
static const char *const hasty[] = { "--slots", "2",           "--grace", "100ms", "--kill-after",
                                     "1s",      "--log-level", "error",   NULL };

#define NONE ((struct jq_records){ 0 })

static uint64_t credit(struct fake_broker *broker)
{
    return broker_await(broker, JQ_MSG_CREDIT).u.credit.total;
}

static void a_job_goes_from_grant_to_acknowledged_end(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    const struct jq_msg hello = broker_welcome(broker, NONE);
    assert_int_equal(hello.u.hello.slots, 2);
    assert_int_equal(hello.u.hello.held.count, 0);
    assert_int_equal(hello.u.hello.pid, broker->pid);
    assert_int_not_equal(hello.u.hello.session, 0);
    assert_int_equal(credit(broker), 2);
    broker_grant_shell(broker, 1, 101, "echo out; echo err >&2; exit 7");
    const struct jq_outcome outcome = broker_await_done(broker, 1, 101);
    assert_int_equal(outcome.kind, JQ_OUTCOME_EXITED);
    assert_int_equal(outcome.code, 7);
    assert_true(jq_view_equal(outcome.stdout_head, jq_view_str("out\n")));
    assert_true(jq_view_equal(outcome.stderr_head, jq_view_str("err\n")));
    assert_int_equal(credit(broker), 3);
    broker_ack(broker, 1, 101);

    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    (void)broker_await(broker, JQ_MSG_BYE); /* idle, it has nothing more to say */
    assert_int_equal(broker_worker_status(broker), 0);
}

static void tags_are_told_once_each_in_the_order_given(void **state)
{
    static const char *const tagged[] = { "--tags", "gpu,ssd,gpu", "--log-level", "error", NULL };
    struct fake_broker *broker = *state;
    struct jq_word tag;
    broker_worker(broker, tagged);
    const struct jq_msg hello = broker_welcome(broker, NONE);
    struct jq_reader r = jq_records_reader(hello.u.hello.tags);
    assert_int_equal(hello.u.hello.tags.count, 2);
    assert_true(jq_word_next(&r, &tag) && jq_view_equal(tag.name, jq_view_str("gpu")));
    assert_true(jq_word_next(&r, &tag) && jq_view_equal(tag.name, jq_view_str("ssd")));

    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    (void)broker_await(broker, JQ_MSG_BYE);
    assert_int_equal(broker_worker_status(broker), 0);
}

static void no_op_jobs_stream_many_to_a_frame(void **state)
{
    enum { JOBS = 20000 };
    struct fake_broker *broker = *state;
    uint64_t granted = 0;
    uint64_t done = 0;
    uint64_t allowed = 0;
    uint64_t largest = 0;
    uint64_t released = 0;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    while (done < JOBS) {
        struct jq_buf jobs = { 0 };
        uint32_t count = 0;
        for (; granted < allowed && granted < JOBS + released && count < JQ_JOBS_PER_FRAME;
             count++) {
            granted++;
            const struct jq_grant grant = { .id = granted,
                                            .fence = granted,
                                            .attempt = 1,
                                            .queue = jq_view_str("q"),
                                            .handler = jq_view_str("noop"),
                                            .payload = jq_view_str("payload") };
            jq_grant_write(&jobs, &grant);
        }
        if (count > 0) {
            const struct jq_msg msg = { .tag = JQ_MSG_GRANTS,
                                        .u.grants.jobs = jq_records_of(count, &jobs) };
            broker_send(broker, &msg);
        }
        jq_buf_fini(&jobs);
        const struct jq_msg msg = broker_next(broker);
        if (msg.tag == JQ_MSG_CREDIT)
            allowed = msg.u.credit.total;
        if (msg.tag == JQ_MSG_RELEASE) /* its thread got no processor for 20 ms */
            released += msg.u.release.jobs.count;
        if (msg.tag != JQ_MSG_DONE)
            continue;
        struct jq_buf each = { 0 };
        struct jq_outcome outcome;
        for (struct jq_reader r = jq_records_reader(msg.u.done.outcomes);
             jq_outcome_next(&r, &outcome);) {
            assert_int_equal(outcome.kind, JQ_OUTCOME_EXITED);
            assert_int_equal(outcome.code, 0);
            jq_held_write(&each, &(struct jq_held){ .id = outcome.id, .fence = outcome.fence });
        }
        done += msg.u.done.outcomes.count;
        if (msg.u.done.outcomes.count > largest)
            largest = msg.u.done.outcomes.count;
        const struct jq_msg ack = {
            .tag = JQ_MSG_DONE_ACK,
            .u.done_ack.each = jq_records_of(msg.u.done.outcomes.count, &each),
        };
        broker_send(broker, &ack);
        jq_buf_fini(&each);
    }
    assert_int_equal(done, JOBS);
    assert_true(largest >= 16);
}

static void a_draining_worker_lets_its_job_end(void **state)
{
    struct fake_broker *broker = *state;
    char script[128];
    char gate[] = "/tmp/jq-gate-XXXXXX";
    assert_non_null(mkdtemp(gate));
    snprintf(script, sizeof script, "echo $$; while [ -d %s ]; do sleep 0.01; done; exit 3", gate);
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 1, 101, script);
    (void)broker_job_pid(broker, 1);
    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    while (broker_await(broker, JQ_MSG_CREDIT).u.credit.draining == 0)
        ;
    broker_grant_shell(broker, 2, 102, "true"); /* too late: it comes back */
    const struct jq_msg release = broker_await(broker, JQ_MSG_RELEASE);
    assert_int_equal(release.u.release.jobs.count, 1);
    assert_int_equal(rmdir(gate), 0);
    assert_int_equal(broker_await_done(broker, 1, 101).code, 3);
    broker_ack(broker, 1, 101);
    (void)broker_await(broker, JQ_MSG_BYE);
    assert_int_equal(broker_worker_status(broker), 0);
}

static void assert_released(struct fake_broker *broker, uint64_t id, uint64_t fence)
{
    struct jq_held held = { 0 };
    const struct jq_msg msg = broker_await(broker, JQ_MSG_RELEASE);
    struct jq_reader reader = jq_records_reader(msg.u.release.jobs);
    assert_int_equal(msg.u.release.jobs.count, 1);
    assert_true(jq_held_next(&reader, &held));
    assert_int_equal(held.id, id);
    assert_int_equal(held.fence, fence);
}

static void what_does_not_end_within_the_grace_is_given_back(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, hasty);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 1, 101, "echo $$; exec sleep 1000");
    const pid_t job = broker_job_pid(broker, 1);
    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    assert_released(broker, 1, 101);
    assert_int_equal(kill(job, 0), -1);
    (void)broker_await(broker, JQ_MSG_BYE);
    assert_int_equal(broker_worker_status(broker), 0);
}

static void a_second_term_leaves_now(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 1, 101, "trap '' TERM; echo $$; while :; do sleep 1000; done");
    const pid_t job = broker_job_pid(broker, 1);
    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    while (broker_await(broker, JQ_MSG_CREDIT).u.credit.draining == 0)
        ;
    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    assert_released(broker, 1, 101);
    (void)broker_await(broker, JQ_MSG_BYE);
    assert_int_equal(broker_worker_status(broker), 0);
    broker_await_gone(job);
}

static void a_killed_worker_leaves_no_orphan(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 1, 101, "sleep 1000 & echo $!; wait");
    broker_grant_shell(broker, 2, 102, "echo $$; exec setsid -w sleep 1000");
    const pid_t one = broker_job_pid(broker, 1);
    const pid_t other = broker_job_pid(broker, 2);
    assert_int_equal(kill(broker->pid, SIGKILL), 0);
    assert_int_equal(broker_worker_status(broker), 128 + SIGKILL);
    broker_await_gone(one);
    broker_await_gone(other);
}

static void a_kill_ends_the_job_as_cancelled(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 5, 105, "echo $$; exec sleep 1000");
    const pid_t job = broker_job_pid(broker, 5);
    struct jq_buf kills = { 0 };
    jq_kill_write(&kills, &(struct jq_kill){ .id = 5, .fence = 104, .grace_ms = 0 });
    jq_kill_write(&kills,
                  &(struct jq_kill){
                      .id = 5, .fence = 105, .grace_ms = 10000, .reason = jq_view_str("by hand") });
    const struct jq_msg msg = { .tag = JQ_MSG_KILLS, .u.kills.jobs = jq_records_of(2, &kills) };
    broker_send(broker, &msg);
    jq_buf_fini(&kills);
    const struct jq_outcome outcome = broker_await_done(broker, 5, 105);
    assert_int_equal(outcome.kind, JQ_OUTCOME_CANCELLED);
    assert_int_equal(outcome.signal, SIGTERM);
    assert_true(jq_view_equal(outcome.reason, jq_view_str("by hand")));
    broker_await_gone(job);
}

static void jobs_are_adopted_again_after_the_broker_was_away(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    const uint64_t session = broker_welcome(broker, NONE).u.hello.session;
    broker_grant_shell(broker, 1, 101, "exit 4");
    (void)broker_await_done(broker, 1, 101); /* not acknowledged */
    broker_grant_shell(broker, 2, 102, "echo $$; exec sleep 1000");
    const pid_t job = broker_job_pid(broker, 2);

    broker_unbind(broker);
    broker_bind(broker);
    struct jq_buf lost = { 0 };
    const struct jq_msg hello = broker_welcome(broker, NONE);
    assert_int_equal(hello.u.hello.session, session);
    assert_int_equal(hello.u.hello.held.count, 2);
    assert_int_equal(broker_await_done(broker, 1, 101).code, 4); /* again */
    broker_ack(broker, 1, 101);
    assert_int_equal(kill(job, 0), 0);

    broker_unbind(broker);
    broker_bind(broker);
    jq_held_write(&lost, &(struct jq_held){ .id = 2, .fence = 102 });
    assert_int_equal(broker_welcome(broker, jq_records_of(1, &lost)).u.hello.held.count, 1);
    broker_await_gone(job); /* and no DONE: */
    assert_int_equal(kill(broker->pid, SIGTERM), 0);
    for (struct jq_msg msg = broker_next(broker); msg.tag != JQ_MSG_BYE; msg = broker_next(broker))
        assert_int_not_equal(msg.tag, JQ_MSG_DONE);
    jq_buf_fini(&lost);
    assert_int_equal(broker_worker_status(broker), 0);
}

static void beats_go_on_while_handlers_block(void **state)
{
    struct fake_broker *broker = *state;
    broker->heartbeat_ms = 50;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant(broker, 1, 101, "sleep", jq_view_str("100000"));
    broker_grant(broker, 2, 102, "sleep", jq_view_str("100000"));
    for (int i = 0; i < 3; i++)
        broker_await_beat(broker);
}

static void an_unknown_handler_cannot_start(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    (void)broker_welcome(broker, NONE);
    broker_grant(broker, 1, 101, "nothing-like-it", jq_view_str(""));
    const struct jq_outcome outcome = broker_await_done(broker, 1, 101);
    assert_int_equal(outcome.kind, JQ_OUTCOME_NOSTART);
    assert_int_equal(outcome.code, 127);
}

static void a_broker_of_another_version_ends_the_worker(void **state)
{
    struct fake_broker *broker = *state;
    broker_worker(broker, plain);
    (void)broker_await(broker, JQ_MSG_HELLO);
    const struct jq_msg msg = {
        .tag = JQ_MSG_ERROR,
        .correlation = broker->hello_number,
        .u.error = { .error = JQ_EVERSION, .text = jq_view_str("1-1 against 7-9") },
    };
    broker_send(broker, &msg);
    assert_int_equal(broker_worker_status(broker), 76);
}

static void a_worker_leaves_with_its_partner(void **state)
{
    struct fake_broker *broker = *state;
    char program[] = "sleep";
    char time[] = "1000";
    char *argv[] = { program, time, NULL };
    char number[16];
    pid_t partner;
    assert_int_equal(posix_spawnp(&partner, program, NULL, NULL, argv, environ), 0);
    snprintf(number, sizeof number, "%d", (int)partner);
    const char *const flags[] = { "--die-with", number, "--log-level", "error", NULL };
    broker_worker(broker, flags);
    (void)broker_welcome(broker, NONE);
    broker_grant_shell(broker, 1, 101, "echo $$; exec sleep 1000");
    const pid_t job = broker_job_pid(broker, 1);
    kill(partner, SIGKILL);
    waitpid(partner, NULL, 0);
    assert_released(broker, 1, 101);
    assert_int_equal(broker_worker_status(broker), 0);
    broker_await_gone(job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, broker_setup, broker_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_goes_from_grant_to_acknowledged_end),
        TEST(tags_are_told_once_each_in_the_order_given),
        TEST(no_op_jobs_stream_many_to_a_frame),
        TEST(a_draining_worker_lets_its_job_end),
        TEST(what_does_not_end_within_the_grace_is_given_back),
        TEST(a_second_term_leaves_now),
        TEST(a_killed_worker_leaves_no_orphan),
        TEST(a_kill_ends_the_job_as_cancelled),
        TEST(jobs_are_adopted_again_after_the_broker_was_away),
        TEST(beats_go_on_while_handlers_block),
        TEST(an_unknown_handler_cannot_start),
        TEST(a_broker_of_another_version_ends_the_worker),
        TEST(a_worker_leaves_with_its_partner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
