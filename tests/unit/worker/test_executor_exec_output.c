/* SPDX-License-Identifier: MIT
 *
 * test_executor_exec_output.c - input and output of commands: byte for byte, bounded, followed. */
#include "exec_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/limits.h"

/* Byte i of every test stream: no short period, every value. */
static unsigned char pattern(size_t i)
{
    return (unsigned char)((i * 2654435761U) >> 13);
}

static unsigned char *make_pattern(size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(i);
    return bytes;
}

static struct jq_run *run_cat(struct exec_fixture *fixture, const void *input, size_t size,
                              uint64_t keep)
{
    const char *const argv[] = { "cat", NULL };
    return exec_run(fixture, &(struct command){
                                 .argv = argv,
                                 .input = jq_view(input, size),
                                 .output_bytes = keep,
                             });
}

/* A sanitizer has memory of its own, and keeps what is freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HAS_SANITIZER = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { HAS_SANITIZER = 1 };
#else
enum { HAS_SANITIZER = 0 };
#endif
#else
enum { HAS_SANITIZER = 0 };
#endif

static void a_large_job_does_not_show_in_the_memory_of_the_next(void **state)
{
    enum { LARGE = 8 << 20 };

    if (HAS_SANITIZER)
        skip();
    unsigned char *input = make_pattern(LARGE);
    jq_run_free(&(struct jq_run *){ run_cat(*state, input, LARGE, 0) });
    struct jq_run *run = exec_shell(*state, "exit 0");
    assert_in_range(exec_outcome(run).max_rss_kib, 1, LARGE >> 10);
    jq_run_free(&run);
    free(input);
}

static void input_comes_out_again_whatever_its_size(void **state)
{
    const size_t sizes[] = { 0,     1,     1023,  1024,    1025,         2048,
                             65535, 65536, 65537, 5 << 20, (8 << 20) - 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *input = make_pattern(sizes[i]);
        struct jq_run *run = run_cat(*state, input, sizes[i], 0);
        const struct jq_outcome outcome = exec_outcome(run);
        size_t size = 0;
        void *output = exec_stdout(&outcome, &size);
        assert_int_equal(outcome.code, 0);
        assert_int_equal(outcome.stdout_bytes, sizes[i]);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(output, input, size);
        free(output);
        free(input);
        jq_run_free(&run);
    }
}

static void the_middle_of_large_output_is_dropped_and_counted(void **state)
{
    const size_t size = (16 << 20) - 4096; /* the record around it needs some */
    unsigned char *input = make_pattern(size);
    struct jq_run *run = run_cat(*state, input, size, 0);
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.stdout_bytes, size);
    assert_int_equal(outcome.stdout_head.size, JQ_OUTPUT_PART_MAX);
    assert_int_equal(outcome.stdout_tail.size, JQ_OUTPUT_PART_MAX);
    assert_memory_equal(outcome.stdout_head.data, input, JQ_OUTPUT_PART_MAX);
    assert_memory_equal(outcome.stdout_tail.data, input + size - JQ_OUTPUT_PART_MAX,
                        JQ_OUTPUT_PART_MAX);
    free(input);
    jq_run_free(&run);
}

static void a_hundred_mebibytes_are_counted(void **state)
{
    struct jq_run *run = exec_shell(*state, "head -c 104857600 /dev/zero; echo end >&2");
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.stdout_bytes, 104857600);
    assert_int_equal(outcome.stdout_head.size + outcome.stdout_tail.size, 8 << 20);
    assert_view(outcome.stderr_head, "end\n");
    jq_run_free(&run);
}

static void a_job_can_ask_for_less_output(void **state)
{
    unsigned char *input = make_pattern(1000);
    struct jq_run *run = run_cat(*state, input, 1000, 101);
    const struct jq_outcome outcome = exec_outcome(run);
    assert_int_equal(outcome.stdout_bytes, 1000);
    assert_int_equal(outcome.stdout_head.size, 51);
    assert_int_equal(outcome.stdout_tail.size, 50);
    assert_memory_equal(outcome.stdout_head.data, input, 51);
    assert_memory_equal(outcome.stdout_tail.data, input + 950, 50);
    free(input);
    jq_run_free(&run);
}

static void the_two_streams_stay_apart_unless_merged(void **state)
{
    const char *const argv[] = { "sh", "-c", "echo one; echo two >&2; echo three", NULL };
    struct jq_run *run = exec_run(*state, &(struct command){ .argv = argv });
    struct jq_outcome outcome = exec_outcome(run);
    assert_view(outcome.stdout_head, "one\nthree\n");
    assert_view(outcome.stderr_head, "two\n");
    jq_run_free(&run);

    run = exec_run(*state, &(struct command){ .argv = argv, .flags = JQ_EXEC_MERGE });
    outcome = exec_outcome(run);
    assert_view(outcome.stdout_head, "one\ntwo\nthree\n");
    assert_int_equal(outcome.stderr_bytes, 0);
    jq_run_free(&run);
}

static void characters_cut_by_writes_come_out_whole(void **state)
{
    /* 400 times the three bytes of U+6536, one byte to a write. */
    struct jq_run *run = exec_shell(
        *state, "i=0; while [ $i -lt 400 ]; do printf '\\346'; printf '\\224'; printf '\\266'; "
                "i=$((i+1)); done");
    const struct jq_outcome outcome = exec_outcome(run);
    const unsigned char *bytes = outcome.stdout_head.data;
    assert_int_equal(outcome.stdout_head.size, 1200);
    for (size_t i = 0; i < 1200; i += 3)
        assert_memory_equal(bytes + i, "\xe6\x94\xb6", 3);
    jq_run_free(&run);
}

static void read_at(struct exec_fixture *fixture, struct jq_run *run, uint64_t stream,
                    uint64_t offset, uint64_t limit, bool follow)
{
    const struct jq_log_request request = {
        .correlation = 9,
        .id = run->id,
        .stream = stream,
        .offset = offset,
        .limit = limit,
        .follow = follow,
    };
    fixture->executor->ops->read_output(fixture->executor, run, &request);
}

static void a_running_jobs_output_can_be_read_and_followed(void **state)
{
    struct exec_fixture *fixture = *state;
    char fifo[] = "/tmp/jq-follow-XXXXXX";
    assert_non_null(mkdtemp(fifo));
    char script[160];
    /* Goes on when the directory is gone. */
    snprintf(script, sizeof script,
             "exec 2>&-; echo first; while [ -d %s ]; do sleep 0.01; done; echo second", fifo);
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = argv });

    read_at(fixture, run, 1, 0, 100, true);
    struct jq_output_answer *answer = exec_wait_answer(fixture);
    assert_true(answer->found);
    assert_false(answer->end);
    assert_view(answer->bytes, "first\n");
    jq_free(answer);

    read_at(fixture, run, 1, 2, 3, false);
    answer = exec_wait_answer(fixture);
    assert_int_equal(answer->offset, 2);
    assert_int_equal(answer->total, 6);
    assert_view(answer->bytes, "rst");
    jq_free(answer);

    read_at(fixture, run, 1, 6, 100, false);
    answer = exec_wait_answer(fixture);
    assert_int_equal(answer->bytes.size, 0);
    assert_false(answer->end);
    jq_free(answer);

    read_at(fixture, run, 2, 0, 100, true); /* closed by the job: its end, at once */
    answer = exec_wait_answer(fixture);
    assert_true(answer->found && answer->end);
    jq_free(answer);

    read_at(fixture, run, 1, 6, 100, true);
    assert_int_equal(rmdir(fifo), 0);
    answer = exec_wait_answer(fixture);
    assert_true(!answer->found || jq_view_equal(answer->bytes, jq_view_str("second\n")));
    jq_free(answer);
    assert_ptr_equal(exec_wait(fixture), run);
    assert_view(exec_outcome(run).stdout_head, "first\nsecond\n");
    jq_run_free(&run);
}

static void a_follower_of_a_job_that_ends_is_told(void **state)
{
    struct exec_fixture *fixture = *state;
    const char *const argv[] = { "sleep", "1000", NULL };
    struct jq_run *run = exec_start(fixture, &(struct command){ .argv = argv });
    read_at(fixture, run, 1, 0, 100, true);
    fixture->executor->ops->cancel(fixture->executor, run, 0);
    struct jq_output_answer *answer = exec_wait_answer(fixture);
    /* The end of the stream, or of the job: whichever is seen first. */
    assert_true(!answer->found || answer->end);
    assert_int_equal(answer->request.correlation, 9);
    jq_free(answer);
    assert_ptr_equal(exec_wait(fixture), run);
    jq_run_free(&run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, exec_setup, exec_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_job_does_not_show_in_the_memory_of_the_next),
        TEST(input_comes_out_again_whatever_its_size),
        TEST(the_middle_of_large_output_is_dropped_and_counted),
        TEST(a_hundred_mebibytes_are_counted),
        TEST(a_job_can_ask_for_less_output),
        TEST(the_two_streams_stay_apart_unless_merged),
        TEST(characters_cut_by_writes_come_out_whole),
        TEST(a_running_jobs_output_can_be_read_and_followed),
        TEST(a_follower_of_a_job_that_ends_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
