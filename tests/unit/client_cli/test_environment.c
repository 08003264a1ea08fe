/* SPDX-License-Identifier: MIT
 *
 * test_environment.c - what of an environment goes with a job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/spec.h"
#include "proto/base/alloc.h"

static char *environment[] = {
    (char[]){ "PATH=/bin" }, (char[]){ "SECRET=s" },     (char[]){ "LC_ALL=C" },
    (char[]){ "LC=no" },     (char[]){ "HOMER=no" },     (char[]){ "HOME=/h" },
    (char[]){ "EMPTY=" },    (char[]){ "odd \xff=1=2" }, NULL,
};

/* The variables, each with a '|' behind it. */
static void assert_taken(const struct jq_spec_flags *flags, const char *expected)
{
    struct jq_buf out = { 0 };
    struct jq_detail detail = { "" };
    size_t count = 0, found = 0;

    assert_int_equal(jq_spec_environment(flags, environment, &out, &count, &detail), JQ_OK);
    for (size_t i = 0; i < out.size; i++)
        if (out.data[i] == '\0') {
            out.data[i] = '|';
            found++;
        }
    assert_int_equal(found, count);
    jq_buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, expected);
    jq_buf_fini(&out);
}

static struct jq_words words_of(char **list, size_t count)
{
    return (struct jq_words){ .list = list, .count = count };
}

static void few_variables_are_taken_by_default(void **state)
{
    const struct jq_spec_flags flags = { 0 };
    (void)state;

    assert_taken(&flags, "PATH=/bin|LC_ALL=C|HOME=/h|");
}

static void env_adds_and_overrides_and_the_last_counts(void **state)
{
    char *list[] = { (char[]){ "SECRET" }, (char[]){ "HOME=/a" }, (char[]){ "HOME=/b" },
                     (char[]){ "UNSET" }, (char[]){ "X=" } };
    const struct jq_spec_flags flags = { .env = words_of(list, 5) };
    (void)state;

    assert_taken(&flags, "PATH=/bin|LC_ALL=C|SECRET=s|HOME=/b|X=|");
}

static void clear_env_leaves_what_env_says(void **state)
{
    char *list[] = { (char[]){ "odd \xff" }, (char[]){ "EMPTY" } };
    const struct jq_spec_flags flags = { .clear_env = true, .env = words_of(list, 2) };
    (void)state;

    assert_taken(&flags, "odd \xff=1=2|EMPTY=|");
}

static void env_all_takes_all(void **state)
{
    const struct jq_spec_flags flags = { .env_all = true };
    (void)state;

    assert_taken(&flags, "PATH=/bin|SECRET=s|LC_ALL=C|LC=no|HOMER=no|HOME=/h|EMPTY=|odd \xff=1=2|");
}

static void contradictions_and_nameless_variables_are_refused(void **state)
{
    char *list[] = { (char[]){ "=x" } };
    const struct jq_spec_flags both = { .env_all = true, .clear_env = true };
    const struct jq_spec_flags nameless = { .env = words_of(list, 1) };
    struct jq_buf out = { 0 };
    struct jq_detail detail;
    size_t count;
    (void)state;

    assert_int_equal(jq_spec_environment(&both, environment, &out, &count, &detail), JQ_EINVAL);
    assert_int_equal(jq_spec_environment(&nameless, environment, &out, &count, &detail), JQ_EINVAL);
    jq_buf_fini(&out);
}

static void out_of_memory_is_an_error(void **state)
{
    const struct jq_spec_flags flags = { 0 };
    struct jq_buf out = { 0 };
    struct jq_detail detail;
    size_t count;
    (void)state;

    jq_alloc_fail_after(0, 1);
    const enum jq_err err = jq_spec_environment(&flags, environment, &out, &count, &detail);
    jq_alloc_fail_after(-1, 0);
    assert_int_equal(err, JQ_ENOMEM);
    jq_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_variables_are_taken_by_default),
        cmocka_unit_test(env_adds_and_overrides_and_the_last_counts),
        cmocka_unit_test(clear_env_leaves_what_env_says),
        cmocka_unit_test(env_all_takes_all),
        cmocka_unit_test(contradictions_and_nameless_variables_are_refused),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
