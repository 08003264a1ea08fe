/* SPDX-License-Identifier: MIT
 *
 * test_ids.c - how jobs are named, and what names none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/ids.h"
#include "proto/base/alloc.h"

static enum jq_err parse(struct jq_ids *ids, const char *word, struct jq_detail *detail)
{
    return jq_ids_parse(ids, word, strlen(word), detail);
}

static void numbers_ranges_and_lists_keep_their_order(void **state)
{
    static const uint64_t expected[] = { 9, 3, 4, 5, 1, UINT64_C(18446744073709551614) };
    struct jq_ids ids = { 0 };
    struct jq_detail detail;
    (void)state;

    assert_int_equal(parse(&ids, "9", &detail), JQ_OK);
    assert_int_equal(parse(&ids, "3-5,1", &detail), JQ_OK);
    assert_int_equal(parse(&ids, "18446744073709551614", &detail), JQ_OK);
    assert_int_equal(ids.count, 6);
    assert_memory_equal(ids.list, expected, sizeof expected);
    assert_false(ids.has_last);
    jq_ids_fini(&ids);
}

static void last_is_left_to_be_asked_for(void **state)
{
    struct jq_ids ids = { 0 };
    struct jq_detail detail;
    (void)state;

    assert_int_equal(parse(&ids, "1,last", &detail), JQ_OK);
    assert_true(ids.has_last);
    assert_int_equal(ids.list[1], JQ_ID_LAST);
    jq_ids_fini(&ids);
}

static void what_names_no_job_is_refused(void **state)
{
    static const char *const words[] = { "",
                                         "x",
                                         "1x",
                                         "-1",
                                         "1-",
                                         "-",
                                         "5-3",
                                         "1,,2",
                                         "1,",
                                         ",1",
                                         "+1",
                                         " 1",
                                         "1.0",
                                         "lastt",
                                         "18446744073709551616",
                                         "18446744073709551615",
                                         "1-18446744073709551615",
                                         "0x10",
                                         "1-2-3" };
    (void)state;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct jq_ids ids = { 0 };
        struct jq_detail detail = { "" };
        if (parse(&ids, words[i], &detail) != JQ_EINVAL || !detail.text[0])
            fail_msg("'%s' was taken, or refused without a word", words[i]);
        jq_ids_fini(&ids);
    }
}

static void no_more_jobs_than_the_bound_are_named(void **state)
{
    struct jq_ids ids = { 0 };
    struct jq_detail detail;
    (void)state;

    assert_int_equal(parse(&ids, "1-1048576", &detail), JQ_OK);
    assert_int_equal(ids.count, JQ_IDS_MAX);
    assert_int_equal(parse(&ids, "1", &detail), JQ_EINVAL);
    assert_int_equal(parse(&ids, "last", &detail), JQ_EINVAL);
    jq_ids_fini(&ids);
    assert_int_equal(parse(&ids, "1-1048577", &detail), JQ_EINVAL);
    assert_int_equal(ids.count, 0);
    jq_ids_fini(&ids);
}

static void a_text_has_ids_between_blanks(void **state)
{
    static const char text[] = "\n1 2\t3\r\n\n 4-5";
    struct jq_ids ids = { 0 };
    struct jq_detail detail;
    (void)state;

    assert_int_equal(jq_ids_parse_text(&ids, text, sizeof text - 1, &detail), JQ_OK);
    assert_int_equal(ids.count, 5);
    assert_int_equal(ids.list[4], 5);
    jq_ids_fini(&ids);
}

static void equal_ids_are_kept_once(void **state)
{
    static const uint64_t expected[] = { 3, 0, 1, 2 };
    struct jq_ids ids = { 0 };
    struct jq_detail detail;
    (void)state;

    assert_int_equal(parse(&ids, "3,0,3,1-3", &detail), JQ_OK);
    assert_int_equal(jq_ids_unique(&ids), JQ_OK);
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.list, expected, sizeof expected);
    jq_ids_fini(&ids);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;

    for (int64_t n = 0;; n++) {
        struct jq_ids ids = { 0 };
        struct jq_detail detail;
        jq_alloc_fail_after(n, 1);
        enum jq_err err = parse(&ids, "1-100", &detail);
        if (err == JQ_OK)
            err = jq_ids_unique(&ids);
        jq_alloc_fail_after(-1, 0);
        jq_ids_fini(&ids);
        if (err == JQ_OK)
            break;
        assert_int_equal(err, JQ_ENOMEM);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_ranges_and_lists_keep_their_order),
        cmocka_unit_test(last_is_left_to_be_asked_for),
        cmocka_unit_test(what_names_no_job_is_refused),
        cmocka_unit_test(no_more_jobs_than_the_bound_are_named),
        cmocka_unit_test(a_text_has_ids_between_blanks),
        cmocka_unit_test(equal_ids_are_kept_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
