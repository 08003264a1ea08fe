/* SPDX-License-Identifier: MIT
 *
 * test_lines.c - lines of --batch, however they are cut into reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/batch.h"

/* Feeds `size` bytes in pieces of `piece`; the lines come out with a '|' behind each. */
static enum jq_err feed(const char *text, size_t size, size_t piece, char end, struct jq_buf *out)
{
    struct jq_lines lines = { .end = end };
    struct jq_detail detail = { "" };
    enum jq_err err = JQ_OK;

    for (size_t at = 0; err == JQ_OK && !lines.at_end;) {
        const size_t more = size - at < piece ? size - at : piece;
        char *line;
        jq_lines_drop_taken(&lines);
        jq_buf_append(&lines.bytes, text + at, more);
        at += more;
        lines.at_end = more == 0;
        while ((err = jq_lines_next(&lines, &line, &detail)) == JQ_OK && line) {
            jq_buf_append(out, line, strlen(line));
            jq_buf_append(out, "|", 1);
        }
    }
    jq_buf_fini(&lines.bytes);
    return err;
}

static void assert_lines(const char *text, size_t size, char end, const char *expected)
{
    for (size_t piece = 1; piece <= size + 1; piece++) {
        struct jq_buf out = { 0 };
        assert_int_equal(feed(text, size, piece, end, &out), JQ_OK);
        jq_buf_append(&out, "", 1);
        assert_string_equal((const char *)out.data, expected);
        jq_buf_fini(&out);
    }
}

static void lines_come_out_whole_and_blank_ones_are_left_out(void **state)
{
    static const char text[] = "echo a  b\n\n  \t\r\necho c\\\n last";
    (void)state;

    assert_lines(text, sizeof text - 1, '\n', "echo a  b|echo c\\| last|");
    assert_lines("a\n", 2, '\n', "a|");
    assert_lines("", 0, '\n', "");
}

static void lines_that_end_with_nul_may_have_line_feeds(void **state)
{
    (void)state;

    assert_lines("a\nb\0\0c\n", 7, '\0', "a\nb|c\n|");
}

static void a_nul_within_a_line_is_refused(void **state)
{
    struct jq_buf out = { 0 };
    (void)state;

    assert_int_equal(feed("ok\na\0b\n", 7, 100, '\n', &out), JQ_EINVAL);
    assert_int_equal(out.size, 3);
    jq_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_whole_and_blank_ones_are_left_out),
        cmocka_unit_test(lines_that_end_with_nul_may_have_line_feeds),
        cmocka_unit_test(a_nul_within_a_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
