/* SPDX-License-Identifier: MIT
 *
 * test_job_options.c - a job's options, byte for byte, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/job_options.h"
#include "proto/base/alloc.h"
#include "proto/msg.h"

static const struct jobq_ending endings[] = { { 75, 0 }, { -1, 9 } };
static const struct jobq_dependency after[] = { { 3, JOBQ_AFTER_OK }, { 4, JOBQ_AFTER_FAIL } };
static const char *const words[] = { "gpu", "a.b-c_1" };
static const struct jobq_limit limits[] = { { "api", 5 }, { "db", 0 } };
static const struct jobq_label labels[] = { { "who", "me and you" }, { "empty", NULL } };

static struct jobq_job_options all(void)
{
    struct jobq_job_options o = JOBQ_JOB_OPTIONS_INIT;

    o.delay_ms = 1;
    o.run_at = 2;
    o.expires_ms = 3;
    o.attempts_max = 4;
    o.backoff_ms = 5;
    o.backoff_max_ms = 6;
    o.backoff_fixed = 1;
    o.retry_on = endings;
    o.retry_on_count = 2;
    o.no_retry_on = endings + 1;
    o.no_retry_on_count = 1;
    o.unique = "u";
    o.unique_while = JOBQ_WHILE_QUEUED;
    o.after = after;
    o.after_count = 2;
    o.needs = words;
    o.needs_count = 2;
    o.limits = limits;
    o.limits_count = 2;
    o.mutexes = words + 1;
    o.mutexes_count = 1;
    o.labels = labels;
    o.labels_count = 2;
    o.content_type = "text/plain; charset=utf-8";
    return o;
}

static void every_option_is_written_byte_for_byte(void **state)
{
    (void)state;
    const struct jobq_job_options o = all();
    struct jq_buf out = { 0 }, want = { 0 }, lists[7] = { { 0 } };
    struct jq_detail detail;

    jq_exit_match_write(&lists[0], &(struct jq_exit_match){ .code = 75 });
    jq_exit_match_write(&lists[0], &(struct jq_exit_match){ .code = -1, .signal = 9 });
    jq_exit_match_write(&lists[1], &(struct jq_exit_match){ .code = -1, .signal = 9 });
    jq_dependency_write(&lists[2], &(struct jq_dependency){ .id = 3, .kind = JQ_AFTER_OK });
    jq_dependency_write(&lists[2], &(struct jq_dependency){ .id = 4, .kind = JQ_AFTER_FAIL });
    jq_word_write(&lists[3], &(struct jq_word){ .name = jq_view_str("gpu") });
    jq_word_write(&lists[3], &(struct jq_word){ .name = jq_view_str("a.b-c_1") });
    jq_limit_write(&lists[4], &(struct jq_limit){ .name = jq_view_str("api"), .max = 5 });
    jq_limit_write(&lists[4], &(struct jq_limit){ .name = jq_view_str("db") });
    jq_word_write(&lists[5], &(struct jq_word){ .name = jq_view_str("a.b-c_1") });
    jq_label_write(&lists[6], &(struct jq_label){ jq_view_str("who"), jq_view_str("me and you") });
    jq_label_write(&lists[6], &(struct jq_label){ jq_view_str("empty"), jq_view_str("") });
    const struct jq_job_options record = {
        .delay_ms = 1,
        .run_at = 2,
        .expires_ms = 3,
        .attempts_max = 4,
        .backoff_ms = 5,
        .backoff_max_ms = 6,
        .backoff_kind = JQ_BACKOFF_FIXED,
        .retry_on = jq_records_of(2, &lists[0]),
        .no_retry_on = jq_records_of(1, &lists[1]),
        .unique = jq_view_str("u"),
        .unique_while = JQ_WHILE_QUEUED,
        .after = jq_records_of(2, &lists[2]),
        .needs = jq_records_of(2, &lists[3]),
        .limits = jq_records_of(2, &lists[4]),
        .mutexes = jq_records_of(1, &lists[5]),
        .labels = jq_records_of(2, &lists[6]),
        .content_type = jq_view_str("text/plain; charset=utf-8"),
    };
    jq_job_options_write(&want, &record);
    assert_int_equal(jq_job_options_encode(&o, &out, &detail), JQ_OK);
    assert_true(jq_view_equal(jq_buf_view(&out), jq_buf_view(&want)));
    jq_buf_fini(&out);
    jq_buf_fini(&want);
    for (int i = 0; i < 7; i++)
        jq_buf_fini(&lists[i]);
}

static void options_that_say_nothing_are_none(void **state)
{
    (void)state;
    const struct jobq_job_options o = JOBQ_JOB_OPTIONS_INIT;
    struct jq_buf out = { 0 };
    struct jq_detail detail;

    assert_int_equal(jq_job_options_encode(&o, &out, &detail), JQ_OK);
    assert_int_equal(out.size, 0);
    jq_buf_fini(&out);
}

static void an_older_struct_has_zeros_behind_its_end(void **state)
{
    (void)state;
    struct jobq_job_options o = all();
    struct jq_buf out = { 0 }, want = { 0 };
    struct jq_detail detail;

    o.size = offsetof(struct jobq_job_options, expires_ms);
    assert_int_equal(jq_job_options_encode(&o, &out, &detail), JQ_OK);
    jq_job_options_write(&want, &(struct jq_job_options){ .delay_ms = 1, .run_at = 2 });
    assert_true(jq_view_equal(jq_buf_view(&out), jq_buf_view(&want)));
    jq_buf_fini(&out);
    jq_buf_fini(&want);
}

static void refused(const struct jobq_job_options *o, enum jq_err err, const char *words_of_it)
{
    struct jq_buf out = { 0 };
    struct jq_detail detail = { .text = "" };

    assert_int_equal(jq_job_options_encode(o, &out, &detail), err);
    if (!strstr(detail.text, words_of_it))
        fail_msg("\"%s\" does not say \"%s\"", detail.text, words_of_it);
    assert_int_equal(out.size, 0);
    jq_buf_fini(&out);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    const struct jobq_ending both = { 3, 9 }, none = { -1, 0 };
    const struct jobq_dependency zero = { 0, 0 }, odd = { 1, 3 };
    const char *const bad = "a b";
    char long_text[JQ_NAME_MAX + 2];
    struct jobq_job_options o;

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    const struct jobq_label label = { "l", long_text }, bad_label = { bad, "" };
    const struct jobq_limit limit = { NULL, 1 };
#define REFUSED(err, words, ...) \
    (o = (struct jobq_job_options)JOBQ_JOB_OPTIONS_INIT, __VA_ARGS__, refused(&o, err, words))
    REFUSED(JQ_EINVAL, "size is not set", o.size = 0);
    REFUSED(JQ_EINVAL, "delay_ms: -1", o.delay_ms = -1);
    REFUSED(JQ_EINVAL, "run_at: -5", o.run_at = -5);
    REFUSED(JQ_EINVAL, "expires_ms", o.expires_ms = INT64_MIN);
    REFUSED(JQ_EINVAL, "backoff_ms", o.backoff_ms = -1);
    REFUSED(JQ_EINVAL, "backoff_max_ms", o.backoff_max_ms = -1);
    REFUSED(JQ_EINVAL, "backoff_fixed", o.backoff_fixed = 2);
    REFUSED(JQ_EINVAL, "unique \"a b\"", o.unique = bad);
    REFUSED(JQ_EINVAL, "unique_while", o.unique_while = 4);
    REFUSED(JQ_EMSGSIZE, "129 bytes: 128", o.content_type = long_text);
    REFUSED(JQ_EINVAL, "retry_on", o.retry_on = &both, o.retry_on_count = 1);
    REFUSED(JQ_EINVAL, "no_retry_on", o.no_retry_on = &none, o.no_retry_on_count = 1);
    REFUSED(JQ_EMSGSIZE, "65 retry_on: 64", o.retry_on = &both, o.retry_on_count = 65);
    REFUSED(JQ_EINVAL, "0 is no job", o.after = &zero, o.after_count = 1);
    REFUSED(JQ_EINVAL, "kind 3", o.after = &odd, o.after_count = 1);
    REFUSED(JQ_EMSGSIZE, "1025 dependencies: 1024", o.after = &odd, o.after_count = 1025);
    REFUSED(JQ_EINVAL, "1 needs at NULL", o.needs_count = 1);
    REFUSED(JQ_EINVAL, "needs \"a b\"", o.needs = &bad, o.needs_count = 1);
    REFUSED(JQ_EMSGSIZE, "17 needs: 16", o.needs = &bad, o.needs_count = 17);
    REFUSED(JQ_EINVAL, "limit \"\"", o.limits = &limit, o.limits_count = 1);
    REFUSED(JQ_EMSGSIZE, "17 mutexes: 16", o.mutexes = &bad, o.mutexes_count = 17);
    REFUSED(JQ_EMSGSIZE, "label l: a value of 129", o.labels = &label, o.labels_count = 1);
    REFUSED(JQ_EINVAL, "label \"a b\"", o.labels = &bad_label, o.labels_count = 1);
    REFUSED(JQ_EMSGSIZE, "33 labels: 32", o.labels = &label, o.labels_count = 33);
}

static void without_memory_nothing_is_written(void **state)
{
    (void)state;
    const struct jobq_job_options o = all();
    struct jq_detail detail;
    enum jq_err err = JQ_ENOMEM;
    int fails = 0;

    for (; err != JQ_OK; fails++) {
        struct jq_buf out = { 0 };
        jq_alloc_fail_after(fails, 0);
        err = jq_job_options_encode(&o, &out, &detail);
        jq_alloc_fail_after(-1, 0);
        assert_true(err == JQ_OK || err == JQ_ENOMEM);
        jq_buf_fini(&out);
    }
    assert_true(fails > 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_written_byte_for_byte),
        cmocka_unit_test(options_that_say_nothing_are_none),
        cmocka_unit_test(an_older_struct_has_zeros_behind_its_end),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(without_memory_nothing_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
