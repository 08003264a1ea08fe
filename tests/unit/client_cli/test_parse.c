/* SPDX-License-Identifier: MIT
 *
 * test_parse.c - times, retry policies, receipts and limits, as the command line takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/parse.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define S INT64_C(1000000000)

static void a_time_is_rfc_3339_or_from_now(void **state)
{
    static const struct {
        const char *text;
        int64_t at;
    } table[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2024-02-29T23:59:59Z", 1709251199 * S },
        { "2024-02-29t23:59:59.5z", 1709251199 * S + S / 2 },
        { "2024-02-29 23:59:59.123456789Z", 1709251199 * S + 123456789 },
        { "2024-03-01T01:59:59+02:00", 1709251199 * S },
        { "2024-02-29T18:29:59-05:30", 1709251199 * S },
        { "2000-03-01T00:00:00Z", 951868800 * S },
        { "2100-03-01T00:00:00Z", 4107542400 * S },
        { "now+10m", 1000 * S + 600 * S },
        { "now+0s", 1000 * S },
        { "now+1.5", 1000 * S + 3 * S / 2 },
    };
    static const char *const bad[] = {
        "",
        "now",
        "now+",
        "now+x",
        "now-1s",
        "tomorrow",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01",
        "2024-01-01T00:00:00Zx",
        "2024-01-01T00:00:00.Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "2262-01-01T00:00:00Z",
        "now+9223372036854s",
    };
    struct jq_detail detail;
    jq_ns at;
    (void)state;

    for (size_t i = 0; i < COUNT(table); i++)
        if (jq_parse_time(table[i].text, 1000 * S, &at, &detail) != JQ_OK || at != table[i].at)
            fail_msg("%s: %lld", table[i].text, (long long)at);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (jq_parse_time(bad[i], 1000 * S, &at, &detail) == JQ_OK)
            fail_msg("'%s' is taken", bad[i]);
}

static void a_backoff_doubles_or_stays(void **state)
{
    static const struct {
        const char *text;
        struct jq_backoff_times times;
    } table[] = {
        { "exp:1s..10m", { 0, 1000, 600000 } },
        { "exp:500ms", { 0, 500, 0 } },
        { "exp:1s..1s", { 0, 1000, 1000 } },
        { "fixed:5s", { 1, 5000, 0 } },
    };
    static const char *const bad[] = {
        "",         "exp",      "exp:",   "fixed:",       "5s",        "exp:2s..1s", "exp:1s..",
        "exp:..1s", "fixed:0s", "exp:0s", "fixed:1s..2s", "linear:1s", "exp:1s..x",  "exp:1s...2s"
    };
    struct jq_detail detail;
    struct jq_backoff_times times;
    (void)state;

    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(jq_parse_backoff(table[i].text, &times, &detail), JQ_OK);
        assert_int_equal(times.fixed, table[i].times.fixed);
        assert_int_equal(times.ms, table[i].times.ms);
        assert_int_equal(times.max_ms, table[i].times.max_ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (jq_parse_backoff(bad[i], &times, &detail) == JQ_OK)
            fail_msg("'%s' is taken", bad[i]);
}

static void endings_are_codes_ranges_and_signals(void **state)
{
    struct jobq_ending list[8];
    struct jq_detail detail;
    size_t count = 0;
    (void)state;

    assert_int_equal(jq_parse_endings("1,70-72,SIGKILL,term", list, 8, &count, &detail), JQ_OK);
    assert_int_equal(jq_parse_endings("137", list, 8, &count, &detail), JQ_OK);
    assert_int_equal(count, 7);
    assert_int_equal(list[0].code, 1);
    assert_int_equal(list[3].code, 72);
    assert_int_equal(list[3].signal, 0);
    assert_int_equal(list[4].code, -1);
    assert_int_equal(list[4].signal, SIGKILL);
    assert_int_equal(list[5].signal, SIGTERM);
    assert_int_equal(list[6].code, 137);
    assert_int_equal(jq_parse_endings("3-4", list, 8, &count, &detail), JQ_EINVAL);
    assert_non_null(strstr(detail.text, "more than 8"));
}

static void what_is_no_failure_is_refused(void **state)
{
    static const char *const bad[] = { "",       "0",    "0-3", "-1", "5-3", "SIG",
                                       "SIGFOO", "1,,2", "1,",  "x",  "1-",  "99999999999" };
    struct jobq_ending list[64];
    struct jq_detail detail;
    (void)state;

    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t count = 0;
        if (jq_parse_endings(bad[i], list, 64, &count, &detail) == JQ_OK)
            fail_msg("'%s' is taken", bad[i]);
    }
}

static void a_receipt_is_an_id_and_a_fence(void **state)
{
    static const char *const bad[] = {
        "", "17", "17:", ":1", "0:1", "1:0", "1:2:3", "a:1", "1 :2"
    };
    struct jq_detail detail;
    uint64_t id = 0, fence = 0;
    (void)state;

    assert_int_equal(jq_parse_receipt("17:4294967297", &id, &fence, &detail), JQ_OK);
    assert_int_equal(id, 17);
    assert_true(fence == UINT64_C(4294967297));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (jq_parse_receipt(bad[i], &id, &fence, &detail) == JQ_OK)
            fail_msg("'%s' is taken", bad[i]);
}

static void a_limit_has_a_number_or_that_which_was_set(void **state)
{
    static const char *const bad[] = { "", "=1", "api=", "api=0", "api=x", "api=4294967296" };
    struct jq_detail detail;
    struct jq_view name;
    uint32_t max = 7;
    (void)state;

    assert_int_equal(jq_parse_limit("api=5", &name, &max, &detail), JQ_OK);
    assert_true(jq_view_equal(name, jq_view_str("api")));
    assert_int_equal(max, 5);
    assert_int_equal(jq_parse_limit("api", &name, &max, &detail), JQ_OK);
    assert_int_equal(max, 0);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (jq_parse_limit(bad[i], &name, &max, &detail) == JQ_OK)
            fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_rfc_3339_or_from_now),
        cmocka_unit_test(a_backoff_doubles_or_stays),
        cmocka_unit_test(endings_are_codes_ranges_and_signals),
        cmocka_unit_test(what_is_no_failure_is_refused),
        cmocka_unit_test(a_receipt_is_an_id_and_a_fence),
        cmocka_unit_test(a_limit_has_a_number_or_that_which_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
