/* SPDX-License-Identifier: MIT
 *
 * test_json_read.c - JSON as it is typed, the msgpack that becomes of it, and the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/format_json.h"
#include "proto/wire.h"

static void every_type_becomes_its_own(void **state)
{
    static const struct {
        const char *json;
        struct jq_view msgpack;
    } samples[] = {
        { "null", { "\xc0", 1 } },
        { " true ", { "\xc3", 1 } },
        { "false", { "\xc2", 1 } },
        { "0", { "\0", 1 } },
        { "-1", { "\xff", 1 } },
        { "300", { "\xcd\x01\x2c", 3 } },
        { "9223372036854775807", { "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9 } },
        { "-9223372036854775808", { "\xd3\x80\0\0\0\0\0\0\0", 9 } },
        { "0.5", { "\xcb\x3f\xe0\0\0\0\0\0\0", 9 } },
        { "1e0", { "\xcb\x3f\xf0\0\0\0\0\0\0", 9 } },
        { "\"\"", { "\xa0", 1 } },
        { "\"a\\u0000\\u6536\"",
          { "\xa5"
            "a\0\xe6\x94\xb6",
            6 } },
        { "[]", { "\x90", 1 } },
        { "[1,[2,\"x\"]]", { "\x92\x01\x92\x02\xa1x", 6 } },
        { "{}", { "\x80", 1 } },
        { "{\"a\":{\"b\":null}}",
          { "\x81\xa1"
            "a\x81\xa1"
            "b\xc0",
            7 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct jq_buf out = { 0 };
        struct jq_detail detail = { "" };
        assert_int_equal(jq_json_to_msgpack(samples[i].json, &out, &detail), JQ_OK);
        assert_int_equal(out.size, samples[i].msgpack.size);
        assert_memory_equal(out.data, samples[i].msgpack.data, out.size);
        assert_int_equal(jq_wire_check(jq_buf_view(&out)), JQ_OK);
        jq_buf_fini(&out);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "abc",
        "{",
        "[1,]",
        "1 2",
        "'x'",
        "{\"a\":1,\"a\":2}",
        "9223372036854775808",
        "NaN",
        "1e999",
        "\"\xff\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct jq_buf out = { 0 };
        struct jq_detail detail = { "" };
        assert_int_equal(jq_json_to_msgpack(texts[i], &out, &detail), JQ_EINVAL);
        assert_non_null(strstr(detail.text, "no JSON: "));
        jq_buf_fini(&out);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct jq_buf out = { 0 };
    struct jq_detail detail = { "" };
    assert_int_equal(jq_json_to_msgpack("[[[[[[1]]]]]]", &out, &detail), JQ_OK);
    assert_int_equal(jq_json_to_msgpack("[[[[[[[1]]]]]]]", &out, &detail), JQ_EMSGSIZE);
    assert_string_equal(detail.text, "arrays and objects are more than 6 deep");
    jq_buf_fini(&out);
}

static void assert_printed(const char *bytes, size_t size, const char *expected)
{
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    assert_non_null(out);
    assert_int_equal(jq_json_print_msgpack(jq_view(bytes, size), out), JQ_OK);
    (void)fclose(out);
    assert_string_equal(text, expected);
}
#define ASSERT_PRINTED(bytes, expected) assert_printed(bytes, sizeof bytes - 1, expected "\n")

static void a_value_is_printed_as_json(void **state)
{
    (void)state;
    ASSERT_PRINTED("\xc0", "null");
    ASSERT_PRINTED("\x94\xc3\xff\xcd\x01\x2c\xa1x", "[true,-1,300,\"x\"]");
    ASSERT_PRINTED("\xcb\x40\x28\0\0\0\0\0\0", "12.0");
    ASSERT_PRINTED("\xcb\x7f\xf0\0\0\0\0\0\0", "null"); /* infinity */
    ASSERT_PRINTED("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\"18446744073709551615\"");
    ASSERT_PRINTED("\xc4\x03"
                   "abc",
                   "{\"base64\":\"YWJj\"}");
    ASSERT_PRINTED("\xa1\xff", "{\"base64\":\"/w==\"}");
    ASSERT_PRINTED("\x82\xa1"
                   "a\x90\x05\x80",
                   "{\"a\":[],\"5\":{}}");
}

static void what_is_no_value_is_not_printed(void **state)
{
    (void)state;
    static const char *const values[] = { "", "\x92\x01", "\xc1", "plain text" };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(jq_json_print_msgpack(jq_view_str(values[i]), stdout), JQ_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_becomes_its_own),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_value_is_printed_as_json),
        cmocka_unit_test(what_is_no_value_is_not_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
