/* SPDX-License-Identifier: MIT
 *
 * test_call.c - what a handler sees of its job, and what becomes of what it says: by the public
 * calls, as a handler makes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/rng.h"
#include "worker/call.h"

struct fixture {
    struct jq_call_tools tools;
    struct jq_call call;
    struct jq_buf payload;
    struct jq_run *run;
    atomic_bool cancelled;
    struct jq_outcome outcome;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->tools.output_bytes = 100;
    f->tools.depth_max = 32;
    f->call.tools = &f->tools;
    f->call.cancelled = &f->cancelled;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    jq_call_tools_fini(&f->tools);
    jq_buf_fini(&f->payload);
    jq_run_free(&f->run);
    free(f);
    return 0;
}

/* A call for a job with the payload as it is. */
static struct jobq_call *begin(struct fixture *f)
{
    const struct jq_grant grant = {
        .id = 17,
        .fence = 4711,
        .attempt = 3,
        .queue = jq_view_str("build"),
        .handler = jq_view_str("area"),
        .payload = jq_buf_view(&f->payload),
    };
    assert_true(jq_buf_ok(&f->payload));
    jq_run_free(&f->run);
    f->run = jq_run_new(&grant, JQ_AT_THREAD);
    assert_non_null(f->run);
    jq_call_begin(&f->call, f->run);
    return &f->call.base;
}

static void end(struct fixture *f, int returned)
{
    f->outcome = (struct jq_outcome){ 0 };
    jq_call_end(&f->call, returned, &f->outcome);
}

static void assert_failed(struct fixture *f, int64_t code, uint64_t flags, const char *reason)
{
    char text[JQ_REASON_MAX + 1];
    (void)snprintf(text, sizeof text, "%.*s", JQ_VIEW_ARG(f->outcome.reason));
    assert_int_equal(f->outcome.kind, JQ_OUTCOME_ERROR);
    assert_string_equal(text, reason);
    assert_int_equal(f->outcome.code, code);
    assert_int_equal(f->outcome.flags, flags);
    assert_int_equal(f->outcome.value.size, 0);
}

/* [[-5, 300, 1.5, true, "text", bin "b\0", nil], {"width": 7, "list": [1, [2], "x"], "big":
 * 2^64-1}, 4] */
static void write_args(struct jq_buf *out)
{
    jq_write_array(out, 3);
    jq_write_array(out, 7);
    jq_write_i64(out, -5);
    jq_write_u64(out, 300);
    jq_write_double(out, 1.5);
    jq_write_bool(out, true);
    jq_write_str(out, jq_view_str("text"));
    jq_write_bin(out, jq_view("b\0", 2));
    jq_write_nil(out);
    jq_write_map(out, 3);
    jq_write_str(out, jq_view_str("width"));
    jq_write_u64(out, 7);
    jq_write_str(out, jq_view_str("list"));
    jq_write_array(out, 3);
    jq_write_u64(out, 1);
    jq_write_array(out, 1);
    jq_write_u64(out, 2);
    jq_write_str(out, jq_view_str("x"));
    jq_write_str(out, jq_view_str("big"));
    jq_write_u64(out, UINT64_MAX);
    jq_write_u64(out, 4);
}

static struct jobq_call *begin_with_args(struct fixture *f)
{
    jq_buf_clear(&f->payload);
    write_args(&f->payload);
    return begin(f);
}

static void a_handler_knows_its_job(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin_with_args(f);
    const struct jobq_call_info info = jobq_call_info(call);
    assert_int_equal(info.size, sizeof info);
    assert_int_equal(info.id, 17);
    assert_int_equal(info.fence, 4711);
    assert_int_equal(info.attempt, 3);
    assert_int_equal(info.depth, 4);
    assert_string_equal(info.queue, "build");
    assert_string_equal(info.handler, "area");
    /* As an older handler asks: it gets no more than it knows. */
    struct jobq_call_info older = { .size = offsetof(struct jobq_call_info, attempt),
                                    .attempt = 9 };
    call->ops->info(call, &older);
    assert_int_equal(older.size, offsetof(struct jobq_call_info, attempt));
    assert_int_equal(older.fence, 4711);
    assert_int_equal(older.attempt, 9);
    size_t size = 0;
    assert_memory_equal(jobq_payload(call, &size), f->payload.data, f->payload.size);
    assert_int_equal(size, f->payload.size);
}

static void S03_arguments_are_read_by_position_and_by_name_as_their_type(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin_with_args(f);
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    int truth = 0;
    const char *text = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    struct jobq_value value;
    assert_int_equal(jobq_arg_int(call, 0, NULL, &i), 0);
    assert_int_equal(i, -5);
    assert_int_equal(jobq_arg_uint(call, 1, "no such name", &u), 0);
    assert_int_equal(u, 300);
    assert_int_equal(jobq_arg_double(call, 2, NULL, &d), 0);
    assert_true(d == 1.5);
    assert_int_equal(jobq_arg_double(call, 1, NULL, &d), 0); /* an integer is a number, backwards */
    assert_true(d == 300);
    assert_int_equal(jobq_arg_bool(call, 3, NULL, &truth), 0);
    assert_int_equal(truth, 1);
    assert_int_equal(jobq_arg_str(call, 4, NULL, &text, &size), 0);
    assert_int_equal(size, 4);
    assert_memory_equal(text, "text", 4);
    assert_int_equal(jobq_arg_bytes(call, 5, NULL, &bytes, &size), 0);
    assert_int_equal(size, 2);
    assert_memory_equal(bytes, "b\0", 2);
    assert_int_equal(jobq_arg_bytes(call, 4, NULL, &bytes, &size), 0); /* a string is bytes */
    assert_int_equal(jobq_arg(call, 6, NULL, &value), 0);
    assert_int_equal(jobq_value_nil(call, &value), 0);
    assert_int_equal(jobq_value_kind(call, &value), JOBQ_KIND_NIL);
    assert_int_equal(jobq_arg_int(call, -1, "width", &i), 0);
    assert_int_equal(i, 7);
    assert_int_equal(jobq_arg_int(call, 7, "width", &i), 0); /* either way */
    assert_int_equal(jobq_arg_uint(call, -1, "big", &u), 0);
    assert_true(u == UINT64_MAX);
    i = 99;
    assert_int_equal(jobq_arg_int(call, 7, "height", &i), JOBQ_ARG_ABSENT);
    assert_int_equal(i, 99);
}

static void S03_arguments_are_walked_through(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin_with_args(f);
    struct jobq_value all, key, value;
    struct jobq_cursor cursor, inner;
    const char *name;
    size_t size = 0, count = 0;
    int64_t number = 0;
    assert_int_equal(jobq_args_positional(call, &all), 0);
    assert_int_equal(jobq_value_array(call, &all, &cursor), 0);
    assert_int_equal(cursor.left, 7);
    while (jobq_cursor_next(call, &cursor, NULL, &value) == 1)
        count++;
    assert_int_equal(count, 7);
    assert_int_equal(jobq_cursor_next(call, &cursor, NULL, &value), 0);
    assert_int_equal(jobq_args_named(call, &all), 0);
    assert_int_equal(jobq_value_map(call, &all, &cursor), 0);
    assert_int_equal(cursor.left, 3);
    assert_int_equal(jobq_cursor_next(call, &cursor, &key, &value), 1);
    assert_int_equal(jobq_value_str(call, &key, &name, &size), 0);
    assert_memory_equal(name, "width", size);
    assert_int_equal(jobq_cursor_next(call, &cursor, &key, &value), 1);
    assert_int_equal(jobq_value_array(call, &value, &inner), 0);
    assert_int_equal(jobq_cursor_next(call, &inner, NULL, &value), 1);
    assert_int_equal(jobq_value_int(call, &value, &number), 0);
    assert_int_equal(number, 1);
    assert_int_equal(jobq_cursor_next(call, &inner, NULL, &value), 1);
    assert_int_equal(jobq_value_kind(call, &value), JOBQ_KIND_ARRAY);
    assert_int_equal(jobq_value_array(call, &value, &inner), 0);
    assert_int_equal(inner.left, 1);
}

static void an_argument_of_another_type_fails_the_job_by_its_name(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin_with_args(f);
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    const char *text;
    size_t size;
    struct jobq_cursor list;
    struct jobq_value value;
#define FAILS(expression, reason)                    \
    call = begin_with_args(f);                       \
    end(f, (expression) == 0 ? 0 : JOBQ_RUN_FAILED); \
    assert_failed(f, 2, JQ_OUTCOME_NO_RETRY, reason)
    FAILS(jobq_arg_int(call, 4, "name", &i), "argument 4 \"name\" is a string, not an integer");
    FAILS(jobq_arg_str(call, 0, NULL, &text, &size), "argument 0 is an integer, not a string");
    FAILS(jobq_arg_uint(call, 0, NULL, &u),
          "argument 0 is an integer, not an integer of 0 or more");
    FAILS(jobq_arg_int(call, -1, "big", &i), "argument \"big\" is too large an integer");
    FAILS(jobq_arg_double(call, -1, "big", &d), "argument \"big\" is too large an integer");
    FAILS(jobq_arg_int(call, 9, "height", &i), "argument 9 \"height\" is missing");
    FAILS(jobq_arg_int(call, 0, "width", &i),
          "argument 0 \"width\" is given twice, by position and by name");
    FAILS(jobq_arg_map(call, -1, "list", &list), "argument \"list\" is an array, not a map");
    FAILS((jobq_arg_array(call, -1, "list", &list), jobq_cursor_next(call, &list, NULL, &value),
           jobq_cursor_next(call, &list, NULL, &value), jobq_value_int(call, &value, &i)),
          "a value in argument \"list\" is an array, not an integer");
#undef FAILS
    assert_int_equal(i, 0);
    assert_int_equal(u, 0);
}

static void a_payload_that_is_no_arguments_says_so_and_can_be_read_as_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const payloads[] = { "",
                                            "plain bytes",
                                            "\x92",
                                            "\x92\x90",
                                            "\x92\x90\x81\x01\x02",
                                            "\x91\x90",
                                            "\x92\x80\x90",
                                            "\x92\x90\x80trailing",
                                            "\x93\x90\x80\xa1x" };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        int64_t number = 0;
        size_t size = 0;
        jq_buf_clear(&f->payload);
        jq_buf_append(&f->payload, payloads[i], strlen(payloads[i]));
        struct jobq_call *call = begin(f);
        assert_int_equal(jobq_arg_int(call, 0, "n", &number), JOBQ_CALL_EPROTO);
        (void)jobq_payload(call, &size);
        assert_int_equal(size, strlen(payloads[i]));
        assert_int_equal(jobq_call_info(call).depth, 1);
        end(f, JOBQ_RUN_FAILED);
        assert_failed(f, 2, JQ_OUTCOME_NO_RETRY,
                      "the payload is not an array of arguments and a map of named ones");
    }
}

/* Everything that can be asked of a value, and of what lies in it. */
static size_t walk(struct jobq_call *call, const struct jobq_value *value)
{
    struct jobq_cursor cursor;
    struct jobq_value key, inner;
    size_t seen = 1;
    int truth;
    int64_t i;
    uint64_t u;
    double d;
    const char *text;
    const void *bytes;
    size_t size = 0;
    (void)jobq_value_nil(call, value);
    (void)jobq_value_bool(call, value, &truth);
    (void)jobq_value_int(call, value, &i);
    (void)jobq_value_uint(call, value, &u);
    (void)jobq_value_double(call, value, &d);
    (void)jobq_value_str(call, value, &text, &size);
    if (jobq_value_bytes(call, value, &bytes, &size) == 0 && size > 0)
        seen += ((const uint8_t *)bytes)[size - 1] == 0; /* the last byte can be read */
    if (jobq_value_array(call, value, &cursor) == 0 || jobq_value_map(call, value, &cursor) == 0) {
        while (jobq_cursor_next(call, &cursor, &key, &inner) > 0) {
            seen += walk(call, &inner);
            if (cursor.is_map)
                seen += walk(call, &key);
        }
    }
    return seen;
}

static void whatever_the_payload_nothing_is_read_outside_of_it(void **state)
{
    struct fixture *f = *state;
    struct jq_rng rng;
    size_t read = 0;
    jq_rng_init(&rng, 24);
    for (int round = 0; round < 20000; round++) {
        jq_buf_clear(&f->payload);
        write_args(&f->payload);
        for (uint64_t change = jq_rng_below(&rng, 4); change > 0; change--)
            f->payload.data[jq_rng_below(&rng, f->payload.size)] = (uint8_t)jq_rng_next(&rng);
        if (jq_rng_below(&rng, 4) == 0)
            f->payload.size = (size_t)jq_rng_below(&rng, f->payload.size);
        struct jobq_call *call = begin(f);
        struct jobq_value value;
        (void)jobq_call_info(call);
        for (int position = 8; position >= -1; position--) {
            if (jobq_arg(call, position, "list", &value) == 0)
                read += walk(call, &value);
        }
        if (jobq_args_named(call, &value) == 0)
            read += walk(call, &value);
        end(f, JOBQ_RUN_FAILED);
    }
    assert_true(read > 100000);
}

static void a_result_is_one_value_or_bytes(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin(f);
    jobq_result_map(call, 2);
    jobq_result_str(call, "list", 4);
    jobq_result_array(call, 3);
    jobq_result_int(call, -1);
    jobq_result_nil(call);
    jobq_result_bool(call, 7);
    jobq_result_str(call, "d", 1);
    assert_int_equal(jobq_result_double(call, 0.5), 0);
    end(f, 0);
    assert_int_equal(f->outcome.kind, JQ_OUTCOME_EXITED);
    assert_memory_equal(f->outcome.value.data,
                        "\x82\xa4list\x93\xff\xc0\xc3\xa1"
                        "d\xcb\x3f\xe0\0\0\0\0\0\0",
                        f->outcome.value.size);
    assert_int_equal(f->outcome.value.size, 21);

    call = begin(f); /* nothing is left of the last one */
    assert_int_equal(jobq_result_write(call, "raw ", 4), 0);
    assert_int_equal(jobq_result_write(call, "bytes", 5), 0);
    end(f, 0);
    assert_true(jq_view_equal(f->outcome.value, jq_view_str("raw bytes")));

    (void)begin(f);
    end(f, 0);
    assert_int_equal(f->outcome.value.size, 0);
}

static void a_result_that_is_not_whole_fails_a_job_that_says_it_succeeded(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin(f);
    jobq_result_array(call, 2);
    jobq_result_int(call, 1);
    end(f, 0);
    assert_failed(f, 1, JQ_OUTCOME_NO_RETRY, "the result is not one whole value, 8 deep at most");
    call = begin(f);
    jobq_result_int(call, 1);
    jobq_result_int(call, 2);
    end(f, 0);
    assert_failed(f, 1, JQ_OUTCOME_NO_RETRY, "the result is not one whole value, 8 deep at most");
    call = begin(f);
    jobq_result_int(call, 1);
    assert_int_equal(jobq_result_write(call, "x", 1), JOBQ_CALL_EINVAL);
    assert_int_equal(jobq_result_int(call, 1), JOBQ_CALL_EINVAL); /* it stays spoilt */
    end(f, 0);
    assert_failed(f, 1, JQ_OUTCOME_NO_RETRY, "the result is both bytes and a value");
    call = begin(f);
    static const char bytes[JQ_VALUE_MAX];
    assert_int_equal(jobq_result_write(call, bytes, sizeof bytes), 0);
    assert_int_equal(jobq_result_write(call, "x", 1), JOBQ_CALL_EMSGSIZE);
    end(f, 0);
    assert_failed(f, 1, JQ_OUTCOME_NO_RETRY, "the result is larger than 16 MiB");
    call = begin(f);
    assert_int_equal(jobq_result_array(call, SIZE_MAX), JOBQ_CALL_EMSGSIZE);
}

static void S09_what_a_handler_says_of_its_failure_is_told(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin_with_args(f);
    int64_t i = 0;
    assert_int_equal(jobq_fail(call, 42, JOBQ_FAIL_NO_RETRY, "no %s", "paper"), JOBQ_RUN_FAILED);
    end(f, JOBQ_RUN_FAILED);
    assert_failed(f, 42, JQ_OUTCOME_NO_RETRY, "no paper");

    call = begin_with_args(f);
    end(f, jobq_fail(call, 0, JOBQ_FAIL_RETRY, "again"));
    assert_failed(f, 1, 0, "again");

    call = begin_with_args(f);
    end(f, 7); /* nothing was said */
    assert_failed(f, 7, 0, "the handler returned 7");

    call = begin_with_args(f);
    end(f, -99);
    assert_failed(f, 1, 0, "the handler returned -99");

    /* An argument that was absent, and need not be there, is not what it failed of. */
    call = begin_with_args(f);
    assert_int_equal(jobq_arg_int(call, 9, NULL, &i), JOBQ_ARG_ABSENT);
    end(f, 7);
    assert_failed(f, 7, 0, "the handler returned 7");

    /* What was said counts for more than what was noted, before and after. */
    call = begin_with_args(f);
    (void)jobq_arg_int(call, 4, NULL, &i);
    (void)jobq_fail(call, 3, JOBQ_FAIL_RETRY, "said");
    (void)jobq_arg_int(call, 4, NULL, &i);
    end(f, JOBQ_RUN_FAILED);
    assert_failed(f, 3, 0, "said");

    /* And what succeeds has not failed. */
    call = begin_with_args(f);
    (void)jobq_fail(call, 3, JOBQ_FAIL_RETRY, "said");
    end(f, 0);
    assert_int_equal(f->outcome.kind, JQ_OUTCOME_EXITED);
    assert_int_equal(f->outcome.code, 0);
}

static void a_long_reason_is_cut(void **state)
{
    struct fixture *f = *state;
    char text[2000];
    memset(text, 'x', sizeof text);
    struct jobq_call *call = begin(f);
    end(f, jobq_fail(call, 1, 0, "%.*s", (int)sizeof text, text));
    assert_int_equal(f->outcome.reason.size, JQ_REASON_MAX);
}

static void log_lines_are_the_jobs_standard_error_head_and_tail(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin(f);
    for (int i = 0; i < 100; i++)
        jobq_log(call, "line %03d", i);
    end(f, jobq_fail(call, 1, 0, "failed"));
    assert_int_equal(f->outcome.stderr_bytes, 900);
    assert_int_equal(f->outcome.stderr_head.size, 50);
    assert_int_equal(f->outcome.stderr_tail.size, 50);
    assert_memory_equal(f->outcome.stderr_head.data, "line 000\nline 001\n", 18);
    const char *tail = f->outcome.stderr_tail.data;
    assert_memory_equal(tail + 50 - 9, "line 099\n", 9);
    (void)begin(f);
    end(f, 0);
    assert_int_equal(f->outcome.stderr_bytes, 0);
}

static void S24_a_job_too_deep_is_not_run(void **state)
{
    struct fixture *f = *state;
    (void)begin_with_args(f);
    assert_false(jq_call_is_too_deep(&f->call, &f->outcome));
    f->tools.depth_max = 3;
    (void)begin_with_args(f);
    assert_true(jq_call_is_too_deep(&f->call, &f->outcome));
    assert_int_equal(f->outcome.kind, JQ_OUTCOME_NOSTART);
    assert_int_equal(f->outcome.code, 126);
    assert_int_equal(f->outcome.flags, JQ_OUTCOME_NO_RETRY);
    static const char text[] =
        "depth 4: jobs that submit jobs are run 3 deep at most (depth_max of the worker)";
    assert_true(jq_view_equal(f->outcome.reason, jq_view_str(text)));
}

static void a_cancel_shows(void **state)
{
    struct fixture *f = *state;
    struct jobq_call *call = begin(f);
    assert_int_equal(jobq_cancelled(call), 0);
    atomic_store(&f->cancelled, true);
    assert_int_equal(jobq_cancelled(call), 1);
    assert_true(jobq_cancel_fd(call) < 0); /* here nobody lends one */
}

static void a_result_without_memory_fails_and_may_be_tried_again(void **state)
{
    struct fixture *f = *state;
    static const char bytes[100000];
    struct jobq_call *call = begin(f);
    (void)jq_alloc_fail_after(0, 1);
    const int error = jobq_result_write(call, bytes, sizeof bytes);
    jobq_log(call, "lost");
    (void)jq_alloc_fail_after(-1, 0);
    assert_int_equal(error, JOBQ_CALL_ENOMEM);
    end(f, 0);
    assert_failed(f, 1, 0, "no memory for the result");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handler_knows_its_job),
        TEST(S03_arguments_are_read_by_position_and_by_name_as_their_type),
        TEST(S03_arguments_are_walked_through),
        TEST(an_argument_of_another_type_fails_the_job_by_its_name),
        TEST(a_payload_that_is_no_arguments_says_so_and_can_be_read_as_bytes),
        TEST(whatever_the_payload_nothing_is_read_outside_of_it),
        TEST(a_result_is_one_value_or_bytes),
        TEST(a_result_that_is_not_whole_fails_a_job_that_says_it_succeeded),
        TEST(S09_what_a_handler_says_of_its_failure_is_told),
        TEST(a_long_reason_is_cut),
        TEST(log_lines_are_the_jobs_standard_error_head_and_tail),
        TEST(S24_a_job_too_deep_is_not_run),
        TEST(a_cancel_shows),
        TEST(a_result_without_memory_fails_and_may_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
