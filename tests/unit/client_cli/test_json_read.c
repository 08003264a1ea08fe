/* SPDX-License-Identifier: MIT
 *
 * test_json_read.c - JSON as it is typed, and the msgpack that becomes of it. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_becomes_its_own),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
