/* SPDX-License-Identifier: MIT
 *
 * test_args.c - arguments of a handler's job, and payloads that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/args.h"
#include "proto/limits.h"

static enum jq_err read_text(const char *bytes, size_t size, struct jq_args *args)
{
    /* On the heap, so that a byte past the end shows. */
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    const enum jq_err err = jq_args_read(jq_view(copy, size), args);
    free(copy);
    return err;
}

static const char sample[] = "\x93\x92\x01\xa1x\x82\xa1"
                             "a\x90\xa1"
                             "b\x81\xa1"
                             "c\xc0\x05";

static void positional_and_named_arguments_are_found(void **state)
{
    (void)state;
    struct jq_args args;
    const struct jq_view payload = jq_view(sample, sizeof sample - 1);
    assert_int_equal(jq_args_read(payload, &args), JQ_OK);
    assert_int_equal(args.positional_count, 2);
    assert_int_equal(args.named_count, 2);
    assert_int_equal(args.depth, 5);
    assert_int_equal(args.positional.size, 4);
    assert_int_equal(args.named.size, 10);
    struct jq_reader r = jq_args_positional(&args);
    uint64_t number = 0;
    assert_int_equal(jq_read_u64(&r, &number), JQ_OK);
    assert_int_equal(number, 1);
    r = jq_args_named(&args);
    struct jq_view name;
    assert_int_equal(jq_read_str(&r, &name), JQ_OK);
    assert_true(jq_view_equal(name, jq_view_str("a")));
}

static void what_is_cut_off_anywhere_is_no_arguments(void **state)
{
    (void)state;
    struct jq_args args;
    for (size_t size = 0; size < sizeof sample - 1; size++)
        assert_int_equal(read_text(sample, size, &args), JQ_EPROTO);
    assert_int_equal(read_text(sample, sizeof sample, &args), JQ_EPROTO); /* a byte too many */
}

static void depth_may_be_missing_and_what_follows_it_is_of_a_later_version(void **state)
{
    (void)state;
    struct jq_args args;
    assert_int_equal(read_text("\x92\x90\x80", 3, &args), JQ_OK);
    assert_int_equal(args.depth, 0);
    assert_int_equal(args.timeout_ms, 0);
    assert_int_equal(read_text("\x94\x90\x80\x01\xcd\x01\x00", 7, &args), JQ_OK);
    assert_int_equal(args.timeout_ms, 256);
    assert_int_equal(read_text("\x96\x90\x80\x07\x05\xc0\xa1x", 8, &args), JQ_OK);
    assert_int_equal(args.depth, 7);
    assert_int_equal(args.timeout_ms, 5);
}

static void other_shapes_are_no_arguments(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "\x90",
        "\x91\x90",
        "\x92\x90\x90",
        "\x92\x80\x80",
        "\x92\x90\xc0",
        "\x92\x01\x80",
        "\x92\x90\x81\x01\x01",
        "\x92\x90\x81\xa0\x01",
        "\x93\x90\x80\xff",
        "\x94\x90\x80\x01\xff",
        "\x82\x90\x80",
    };
    struct jq_args args;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        assert_int_equal(read_text(shapes[i], strlen(shapes[i]), &args), JQ_EPROTO);
}

static void bounds_of_names_and_numbers_hold(void **state)
{
    (void)state;
    const uint32_t counts[] = { JQ_NAMED_MAX, JQ_NAMED_MAX + 1 };
    for (size_t i = 0; i < 2; i++) {
        struct jq_buf buf = { 0 };
        struct jq_args args;
        jq_write_array(&buf, 2);
        jq_write_array(&buf, 0);
        jq_write_map(&buf, counts[i]);
        for (uint32_t n = 0; n < counts[i]; n++) {
            jq_write_str(&buf, jq_view_str("n"));
            jq_write_nil(&buf);
        }
        assert_int_equal(jq_args_read(jq_buf_view(&buf), &args), i == 0 ? JQ_OK : JQ_EPROTO);
        jq_buf_fini(&buf);
    }
    const size_t sizes[] = { JQ_NAME_MAX, JQ_NAME_MAX + 1 };
    static const char name[JQ_NAME_MAX + 1] = "n";
    for (size_t i = 0; i < 2; i++) {
        struct jq_buf buf = { 0 };
        struct jq_args args;
        jq_write_array(&buf, 2);
        jq_write_array(&buf, 0);
        jq_write_map(&buf, 1);
        jq_write_str(&buf, jq_view(name, sizes[i]));
        jq_write_nil(&buf);
        assert_int_equal(jq_args_read(jq_buf_view(&buf), &args), i == 0 ? JQ_OK : JQ_EPROTO);
        jq_buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positional_and_named_arguments_are_found),
        cmocka_unit_test(what_is_cut_off_anywhere_is_no_arguments),
        cmocka_unit_test(depth_may_be_missing_and_what_follows_it_is_of_a_later_version),
        cmocka_unit_test(other_shapes_are_no_arguments),
        cmocka_unit_test(bounds_of_names_and_numbers_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
