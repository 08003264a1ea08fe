/* SPDX-License-Identifier: MIT
 *
 * test_executor_exec.c - commands run as submitted, end as they end, and leave nothing behind. */
#include "exec_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"

static void end_run(struct jq_run *run)
{
    jq_run_free(&run);
}

static void an_exit_code_comes_back(void **state)
{
    const int codes[] = { 0, 1, 7, 126, 127, 255 };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", codes[i]);
        struct jq_run *run = exec_shell(*state, script);
        const struct jq_outcome outcome = exec_outcome(run);
        assert_int_equal(outcome.kind, JQ_OUTCOME_EXITED);
        assert_int_equal(outcome.code, codes[i]);
        assert_int_equal(outcome.signal, 0);
        assert_int_equal(outcome.reason.size, 0);
        assert_true(outcome.started_at > 0 && outcome.ended_at >= outcome.started_at);
        assert_true(outcome.wall_us > 0 && outcome.max_rss_kib > 0);
        end_run(run);
    }
}

static void a_signal_comes_back(void **state)
{
    struct jq_run *run = exec_shell(*state, "kill -9 $$");
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_SIGNALLED);
    assert_int_equal(outcome.signal, SIGKILL);
    assert_int_equal(outcome.reason.size, 0);
    end_run(run);
}

static void assert_not_started(struct exec_fixture *fixture, const char *program, int code,
                               const char *reason)
{
    const char *const argv[] = { program, NULL };
    struct jq_run *run = exec_run(fixture, &(struct command){ .argv = argv });
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_NOSTART);
    assert_int_equal(outcome.code, code);
    assert_view(outcome.reason, reason);
    end_run(run);
}

static void a_missing_program_is_127_and_one_that_cannot_run_is_126(void **state)
{
    assert_not_started(*state, "no-such-program-here", 127,
                       "no-such-program-here: command not found");
    assert_not_started(*state, "/no/such/program", 127,
                       "/no/such/program: No such file or directory");
    assert_not_started(*state, "", 127, "'': command not found: the name is empty");
    assert_not_started(*state, "/etc/passwd", 126, "/etc/passwd: Permission denied");
    assert_not_started(*state, "/usr", 126, "/usr: Is a directory");
    assert_not_started(*state, "b\xff\n", 127, "b\\xff\\x0a: command not found");
}

static void the_jobs_own_path_and_directory_are_searched(void **state)
{
    char directory[] = "/tmp/jq-exec-XXXXXX";
    char file[96];
    char sub[64];
    assert_non_null(mkdtemp(directory));
    snprintf(sub, sizeof sub, "%s/bin", directory);
    assert_int_equal(mkdir(sub, 0700), 0);
    snprintf(file, sizeof file, "%s/tool", sub);
    const int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "#!/bin/sh\npwd\n", 14), 14);
    close(fd);

    const char *const argv[] = { "tool", NULL };
    const char *const env[] = { "PATH=/nowhere:bin", NULL };
    struct jq_run *run =
        exec_run(*state, &(struct command){ .argv = argv, .env = env, .cwd = directory });
    struct jq_outcome outcome = exec_outcome(run);
    char expected[64];
    snprintf(expected, sizeof expected, "%s\n", directory);
    assert_int_equal(outcome.code, 0);
    assert_view(outcome.stdout_head, expected);
    end_run(run);

    /* Not executable any more: found, but 126. */
    assert_int_equal(chmod(file, 0600), 0);
    run = exec_run(*state, &(struct command){ .argv = argv, .env = env, .cwd = directory });
    outcome = exec_outcome(run);
    assert_int_equal(outcome.code, 126);
    end_run(run);
    unlink(file);
    rmdir(sub);
    rmdir(directory);

    run = exec_run(*state, &(struct command){ .argv = argv, .env = env, .cwd = directory });
    outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_NOSTART);
    assert_int_equal(outcome.code, 126);
    assert_non_null(memmem(outcome.reason.data, outcome.reason.size, directory, strlen(directory)));
    end_run(run);
}

static void a_payload_that_is_no_command_is_refused(void **state)
{
    const struct jq_view payloads[] = { jq_view("", 0), jq_view("\x90", 1), jq_view("garbage", 7),
                                        jq_view("\x94\x90\x90\xc4\x00\xc4\x00", 7) };
    for (size_t i = 0; i < 4; i++) {
        (void)exec_start_payload(*state, payloads[i]);
        struct jq_run *run = exec_wait(*state);
        const struct jq_outcome outcome = exec_outcome(run);
        assert_int_equal(outcome.kind, JQ_OUTCOME_NOSTART);
        assert_int_equal(outcome.code, 126);
        assert_true(outcome.reason.size > 0);
        end_run(run);
    }
}

static void arguments_arrive_byte_for_byte(void **state)
{
    const char *const argv[] = {
        "printf",           "%s|",          "a b", "", "*", "new\nline", "\xff\xfe\x80",
        "$HOME `id` \"'\\", "\xe6\x94\xb6", NULL
    };
    struct jq_run *run = exec_run(*state, &(struct command){ .argv = argv });
    const struct jq_outcome outcome = exec_outcome(run);
    assert_view(outcome.stdout_head,
                "a b||*|new\nline|\xff\xfe\x80|$HOME `id` \"'\\|\xe6\x94\xb6|");
    end_run(run);
}

/* Linux takes no single argument above 128 KiB, but many of them. */
static void arguments_of_more_than_128_kib_arrive(void **state)
{
    enum { COUNT = 40, EACH = 10000 };
    char *long_one = malloc(EACH + 1);
    const char *argv[COUNT + 4] = { "sh", "-c", "printf %s \"$@\" | cksum; echo $#" };
    assert_non_null(long_one);
    memset(long_one, 'x', EACH);
    long_one[EACH] = '\0';
    argv[3] = "sh";
    for (int i = 4; i < COUNT + 3; i++)
        argv[i] = long_one;
    argv[COUNT + 3] = NULL;
    struct jq_run *run = exec_run(*state, &(struct command){ .argv = argv });
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.code, 0);
    assert_non_null(
        memmem(outcome.stdout_head.data, outcome.stdout_head.size, " 390000\n39\n", 11));
    end_run(run);
    free(long_one);
}

static void the_environment_is_the_submitted_one_alone(void **state)
{
    const char *const argv[] = { "/usr/bin/env", "-0", NULL };
    const char *const env[] = { "A=1", "B=two words\nand a line", "EMPTY=", "\xff=\xfe", NULL };
    struct jq_run *run = exec_run(*state, &(struct command){ .argv = argv, .env = env });
    const struct jq_outcome outcome = exec_outcome(run);
    static const char expected[] = "A=1\0B=two words\nand a line\0EMPTY=\0\xff=\xfe";
    assert_int_equal(outcome.stdout_head.size, sizeof expected);
    assert_memory_equal(outcome.stdout_head.data, expected, sizeof expected);
    end_run(run);
}

static void a_job_inherits_nothing_but_its_three_files(void **state)
{
    const int leaked = dup(STDERR_FILENO); /* too late for the spawner, as it should be */
    struct jq_run *run = exec_shell(*state, "ls /proc/self/fd | wc -l; "
                                            "grep -E 'Sig(Blk|Ign)' /proc/self/status");
    const struct jq_outcome outcome = exec_outcome(run);
    /* 0, 1, 2, and the directory that ls reads. */
    assert_view(outcome.stdout_head, "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    end_run(run);
    close(leaked);
}

static void a_job_past_its_time_is_ended(void **state)
{
    const char *const argv[] = { "sleep", "1000", NULL };
    struct jq_run *run = exec_run(*state, &(struct command){ .argv = argv, .timeout_ms = 20 });
    struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_TIMEDOUT);
    assert_int_equal(outcome.signal, SIGTERM);
    assert_view(outcome.reason, "timed out after 20 ms");
    end_run(run);

    const char *const deaf[] = { "sh", "-c", "trap '' TERM; while :; do sleep 1000; done", NULL };
    run =
        exec_run(*state, &(struct command){ .argv = deaf, .timeout_ms = 200, .kill_after_ms = 20 });
    outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_TIMEDOUT);
    assert_int_equal(outcome.signal, SIGKILL);
    end_run(run);
}

static void cancel_ends_the_whole_group(void **state)
{
    struct exec_fixture *fixture = *state;
    const char *const argv[] = { "sh", "-c", "sleep 1000 & echo $!; wait", NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = argv });
    const pid_t grandchild = exec_follow_pid(fixture, run);
    jq_run_set_reason(run, jq_view_str("not wanted any more"));
    fixture->executor->ops->cancel(fixture->executor, run, 10000);
    assert_ptr_equal(exec_wait(fixture), run);
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_CANCELLED);
    assert_view(outcome.reason, "not wanted any more");
    await_gone(grandchild);
    end_run(run);
}

static void cancel_of_a_deaf_job_kills_it_after_the_grace(void **state)
{
    struct exec_fixture *fixture = *state;
    const char *const argv[] = { "sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1000; done",
                                 NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = argv });
    const pid_t job = exec_follow_pid(fixture, run);
    fixture->executor->ops->cancel(fixture->executor, run, 20);
    assert_ptr_equal(exec_wait(fixture), run);
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_CANCELLED);
    assert_int_equal(outcome.signal, SIGKILL);
    assert_view(outcome.reason, "cancelled");
    await_gone(job);
    end_run(run);
}

static void what_a_job_leaves_behind_is_killed(void **state)
{
    struct jq_run *run = exec_shell(*state, "sleep 1000 & echo $!");
    struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_EXITED);
    assert_int_equal(outcome.code, 0);
    char text[32] = "";
    memcpy(text, outcome.stdout_head.data,
           outcome.stdout_head.size < 31 ? outcome.stdout_head.size : 31);
    await_gone((pid_t)strtol(text, NULL, 10));
    end_run(run);
}

static void more_jobs_than_slots_all_end(void **state)
{
    enum { COUNT = 50 };
    const char *const argv[] = { "true", NULL };
    for (int i = 0; i < COUNT; i++)
        (void)exec_start(*state, &(struct command){ .argv = argv });
    for (int i = 0; i < COUNT; i++) {
        struct jq_run *run = exec_wait(*state);
        assert_int_equal(exec_outcome(run).code, 0);
        end_run(run);
    }
}

static void what_has_not_started_is_recalled(void **state)
{
    struct exec_fixture *fixture = *state;
    struct jq_executor *executor = fixture->executor;
    const char *const argv[] = { "sleep", "1000", NULL };
    struct jq_run *runs[12];
    for (int i = 0; i < 12; i++)
        runs[i] = exec_start(fixture, &(struct command){ .argv = argv });
    struct jq_run_list back = executor->ops->recall(executor);
    assert_int_equal(back.count, 4);
    jq_run_list_free(&back);
    for (int i = 0; i < 8; i++)
        executor->ops->cancel(executor, runs[i], 0);
    for (int i = 0; i < 8; i++) {
        struct jq_run *run = exec_wait(fixture);
        assert_int_equal(exec_outcome(run).kind, JQ_OUTCOME_CANCELLED);
        end_run(run);
    }
}

static void closing_kills_every_job_even_one_that_left_its_group(void **state)
{
    struct exec_fixture *fixture = *state;
    const char *const daemon[] = { "setsid", "-f", "sh", "-c", "echo $$; exec sleep 1000", NULL };
    const char *const plain[] = { "sh", "-c", "echo $$; exec sleep 1000", NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = plain });
    const pid_t job = exec_follow_pid(fixture, run);
    struct jq_run *leaver = exec_run(fixture, &(struct command){ .argv = daemon });
    const struct jq_outcome outcome = exec_outcome(leaver);
    char text[32] = "";
    memcpy(text, outcome.stdout_head.data,
           outcome.stdout_head.size < 31 ? outcome.stdout_head.size : 31);
    const pid_t escaped = (pid_t)strtol(text, NULL, 10);
    assert_true(escaped > 1);
    end_run(leaver);
    fixture->executor->ops->close(&fixture->executor);
    assert_int_equal(kill(job, 0), -1);
    assert_int_equal(kill(escaped, 0), -1);
    assert_int_equal(exec_setup(state), 0);
    free(fixture);
}

static void a_dead_spawner_ends_its_jobs_and_says_so(void **state)
{
    struct exec_fixture *fixture = *state;
    const char *const argv[] = { "sh", "-c", "echo $$; exec sleep 1000", NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = argv });
    const pid_t job = exec_follow_pid(fixture, run);
    assert_int_equal(kill(fixture->spawner, SIGKILL), 0);
    assert_ptr_equal(exec_wait(fixture), run);
    assert_true(fixture->died);
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.kind, JQ_OUTCOME_ERROR);
    assert_view(outcome.reason, "spawner lost");
    assert_int_equal(kill(job, 0), -1);
    assert_int_equal(errno, ESRCH);
    end_run(run);

    struct jq_run *late = exec_start(fixture, &(struct command){ .argv = argv });
    assert_ptr_equal(exec_wait(fixture), late);
    assert_true(late->returned);
    end_run(late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, exec_setup, exec_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exit_code_comes_back),
        TEST(a_signal_comes_back),
        TEST(a_missing_program_is_127_and_one_that_cannot_run_is_126),
        TEST(the_jobs_own_path_and_directory_are_searched),
        TEST(a_payload_that_is_no_command_is_refused),
        TEST(arguments_arrive_byte_for_byte),
        TEST(arguments_of_more_than_128_kib_arrive),
        TEST(the_environment_is_the_submitted_one_alone),
        TEST(a_job_inherits_nothing_but_its_three_files),
        TEST(a_job_past_its_time_is_ended),
        TEST(cancel_ends_the_whole_group),
        TEST(cancel_of_a_deaf_job_kills_it_after_the_grace),
        TEST(what_a_job_leaves_behind_is_killed),
        TEST(more_jobs_than_slots_all_end),
        TEST(what_has_not_started_is_recalled),
        TEST(closing_kills_every_job_even_one_that_left_its_group),
        TEST(a_dead_spawner_ends_its_jobs_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
