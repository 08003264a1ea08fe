/* SPDX-License-Identifier: MIT
 *
 * test_text.c - what people see: never a byte that a terminal obeys, never half a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/table.h"
#include "client/cli/text.h"

#define FFFD "\xef\xbf\xbd"

static void assert_text(struct jq_buf *buf, const char *expected)
{
    assert_true(jq_buf_ok(buf));
    jq_buf_append(buf, "", 1);
    assert_string_equal((const char *)buf->data, expected);
    jq_buf_fini(buf);
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "a\xc3\xa4z", "a\xc3\xa4z" },
        { "\xff", FFFD },
        { "a\xc3", "a" FFFD },
        { "\xc0\x80", FFFD FFFD },          /* overlong */
        { "\xed\xa0\x80", FFFD FFFD FFFD }, /* a surrogate */
        { "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD },
        { "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9" },
        { "\xe2\x82", FFFD FFFD },
        { "", "" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jq_buf buf = { 0 };
        jq_text_utf8(&buf, jq_view_str(cases[i].in));
        assert_text(&buf, cases[i].out);
    }
}

static void control_characters_are_escaped(void **state)
{
    struct jq_buf buf = { 0 };
    (void)state;

    jq_text_clean(&buf, jq_view("a\n\t\x1b[31m\x7f\xc2\x9b\0z", 13));
    assert_text(&buf, "a\\n\\t\\x1b[31m\\x7f\\x9b\\x00z");
}

static void a_command_is_quoted_where_a_shell_would_need_it(void **state)
{
    char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ "a b" }, (char[]){ "" },
                     (char[]){ "it's" } };
    struct jq_buf buf = { 0 };
    (void)state;

    jq_text_command(&buf, argv, 5, 512);
    assert_text(&buf, "sh -c 'a b' '' \"it's\"");
}

static void a_long_command_is_cut_between_characters(void **state)
{
    (void)state;

    for (size_t max = 8; max < 24; max++) {
        char word[] = "\xc3\xa4\xc3\xa4\xc3\xa4\xe2\x82\xac\xe2\x82\xac\xf0\x9f\x92\xa9\xc3\xa4zzz";
        char *argv[] = { word };
        struct jq_buf buf = { 0 }, again = { 0 };
        jq_text_command(&buf, argv, 1, max);
        assert_true(jq_buf_ok(&buf) && buf.size <= max);
        jq_text_utf8(&again, jq_buf_view(&buf)); /* nothing to replace */
        assert_true(jq_view_equal(jq_buf_view(&buf), jq_buf_view(&again)));
        jq_buf_fini(&buf);
        jq_buf_fini(&again);
    }
}

static void a_megabyte_of_arguments_makes_a_short_title(void **state)
{
    char *word = malloc((1 << 20) + 1);
    struct jq_buf buf = { 0 };
    (void)state;

    assert_non_null(word);
    memset(word, ' ', 1 << 20);
    word[1 << 20] = '\0';
    jq_text_command(&buf, &word, 1, 512);
    assert_int_equal(buf.size, 512);
    assert_true(buf.capacity < 1 << 16);
    jq_buf_fini(&buf);
    free(word);
}

static void durations_times_and_sizes_are_short(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } durations[] = {
        { 0, "0ms" },         { 999, "999ms" },      { 1000, "1.0s" },
        { 59999, "59.9s" },   { 60000, "1m00s" },    { 3599999, "59m59s" },
        { 3600000, "1h00m" }, { 86400000, "1d00h" }, { -1, "0ms" },
    };
    struct jq_buf buf = { 0 };
    (void)state;

    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        jq_text_duration(&buf, durations[i].ms);
        assert_text(&buf, durations[i].text);
    }
    jq_text_time(&buf, INT64_C(1709251199123456789));
    assert_text(&buf, "2024-02-29T23:59:59.123456Z");
    jq_text_size(&buf, 1023);
    jq_text_add(&buf, ", ");
    jq_text_size(&buf, 1536);
    jq_text_add(&buf, ", ");
    jq_text_size(&buf, UINT64_MAX);
    assert_text(&buf, "1023 B, 1.5 KiB, 16.0 EiB");
    jq_text_signal(&buf, 9);
    jq_text_add(&buf, " ");
    jq_text_signal(&buf, 999);
    assert_text(&buf, "KILL 999");
}

static void columns_are_as_wide_as_their_characters(void **state)
{
    static const struct jq_column columns[] = { { "N", true },
                                                { "TEXT", false },
                                                { "END", false } };
    struct jq_table table;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    (void)state;

    assert_non_null(out);
    jq_table_init(&table, columns, 3);
    jq_table_number(&table, 7);
    jq_table_text(&table, jq_view_str("\xc3\xa4\xc3\xa4"));
    jq_table_text(&table, jq_view_str("a\nb"));
    jq_table_number(&table, 1000);
    jq_table_text(&table, jq_view_str("abcde"));
    jq_table_text(&table, jq_view_str("the last column is cut to the terminal"));
    assert_true(jq_table_print(&table, out, false, 40));
    fclose(out);
    assert_string_equal(text, "   N  TEXT   END\n"
                              "   7  \xc3\xa4\xc3\xa4     a\\nb\n"
                              "1000  abcde  the last column is cut to t\n");
    free(text);
    jq_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(a_command_is_quoted_where_a_shell_would_need_it),
        cmocka_unit_test(a_long_command_is_cut_between_characters),
        cmocka_unit_test(a_megabyte_of_arguments_makes_a_short_title),
        cmocka_unit_test(durations_times_and_sizes_are_short),
        cmocka_unit_test(columns_are_as_wide_as_their_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
