/* SPDX-License-Identifier: MIT
 *
 * test_wire.c - the msgpack reader against bytes that lie, and the writer's shortest form. Inputs
 * stand in blocks of exactly their size, so that a sanitizer sees a byte read past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/rng.h"
#include "proto/limits.h"
#include "proto/wire.h"

#define BYTES(...) \
    jq_view((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static enum jq_err check_exact(struct jq_view bytes)
{
    uint8_t *copy = jq_alloc(bytes.size);
    assert_non_null(copy);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    const enum jq_err err = jq_wire_check(jq_view(copy, bytes.size));
    jq_free(copy);
    return err;
}

static void exactly_one_object_is_a_frame(void **state)
{
    (void)state;
    assert_int_equal(check_exact(jq_view(NULL, 0)), JQ_EPROTO);
    assert_int_equal(check_exact(BYTES(0xc0)), JQ_OK);
    assert_int_equal(check_exact(BYTES(0xc0, 0xc0)), JQ_EPROTO);
    assert_int_equal(check_exact(BYTES(0x92, 0x01, 0x02)), JQ_OK);
    assert_int_equal(check_exact(BYTES(0x92, 0x01)), JQ_EPROTO);
    assert_int_equal(check_exact(BYTES(0x92, 0x01, 0x02, 0x03)), JQ_EPROTO);
    assert_int_equal(check_exact(BYTES(0x81, 0x01, 0x02)), JQ_OK);
    assert_int_equal(check_exact(BYTES(0x81, 0x01)), JQ_EPROTO);
}

/* Every first byte, followed by nothing, by zeros and by ones: sizes that are 0, cut off, or huge.
 */
static void every_first_byte_is_read_within_its_bytes(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (size_t size = 1; size < 24; size++)
            for (unsigned fill = 0; fill < 256; fill += 255) {
                uint8_t bytes[24];
                memset(bytes, (int)fill, sizeof bytes);
                bytes[0] = (uint8_t)first;
                (void)check_exact(jq_view(bytes, size));
            }
}

static void extension_types_and_the_unused_byte_are_refused(void **state)
{
    (void)state;
    static const uint8_t firsts[] = { 0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8 };
    for (size_t i = 0; i < sizeof firsts; i++) {
        uint8_t bytes[24] = { firsts[i] };
        for (size_t size = 1; size <= sizeof bytes; size++)
            assert_int_equal(jq_wire_check(jq_view(bytes, size)), JQ_EPROTO);
    }
}

static void a_count_past_the_bytes_that_are_left_is_refused_at_once(void **state)
{
    (void)state;
    (void)jq_alloc_fail_after(-1, 0);
    assert_int_equal(jq_wire_check(BYTES(0xdd, 0, 0, 0, 2, 0xc0)), JQ_EPROTO);
    assert_int_equal(jq_wire_check(BYTES(0xdf, 0, 0, 0, 1, 0xc0)), JQ_EPROTO);
    assert_int_equal(jq_wire_check(BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0)), JQ_EPROTO);
    assert_int_equal(jq_wire_check(BYTES(0xc6, 0, 0, 0, 2, 0)), JQ_EPROTO);
    assert_int_equal(jq_wire_check(BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 0)), JQ_EPROTO);
    assert_int_equal(jq_alloc_fail_after(-1, 0), 0);
}

/* Millions of tiny objects in one frame cost their count, and that is bounded. */
static void more_tokens_than_the_bound_are_refused(void **state)
{
    (void)state;
    struct jq_buf frame = { 0 };
    jq_write_array(&frame, JQ_NODES_MAX - 1);
    for (uint32_t i = 0; i < JQ_NODES_MAX - 1; i++)
        jq_write_u64(&frame, 0);
    assert_true(jq_buf_ok(&frame));
    assert_int_equal(jq_wire_check(jq_buf_view(&frame)), JQ_OK);
    jq_buf_clear(&frame);
    jq_write_array(&frame, JQ_NODES_MAX);
    for (uint32_t i = 0; i < JQ_NODES_MAX; i++)
        jq_write_u64(&frame, 0);
    assert_int_equal(jq_wire_check(jq_buf_view(&frame)), JQ_EPROTO);
    jq_buf_fini(&frame);
}

static void a_refused_read_leaves_the_cursor(void **state)
{
    (void)state;
    const uint8_t bytes[] = { 0xcd, 0x01 }; /* a number, cut off */
    struct jq_reader r = jq_reader(jq_view(bytes, sizeof bytes));
    uint64_t u = 7;
    int64_t i = 7;
    bool b = true;
    struct jq_view view = { 0 };
    uint32_t count = 7;

    assert_int_equal(jq_read_u64(&r, &u), JQ_EPROTO);
    assert_int_equal(jq_read_i64(&r, &i), JQ_EPROTO);
    assert_int_equal(jq_read_bool(&r, &b), JQ_EPROTO);
    assert_int_equal(jq_read_str(&r, &view), JQ_EPROTO);
    assert_int_equal(jq_read_bin(&r, &view), JQ_EPROTO);
    assert_int_equal(jq_read_array(&r, &count), JQ_EPROTO);
    assert_int_equal(jq_read_map(&r, &count), JQ_EPROTO);
    assert_int_equal(jq_read_nil(&r), JQ_EPROTO);
    assert_int_equal(jq_skip(&r), JQ_EPROTO);
    assert_ptr_equal(r.at, bytes);
    assert_int_equal(u, 7);
    assert_int_equal(i, 7);
    assert_int_equal(count, 7);
}

static void numbers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const uint8_t big[] = { 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0 }; /* 2^63 */
    const uint8_t negative[] = { 0xff };                       /* -1 */
    struct jq_reader r = jq_reader(jq_view(big, sizeof big));
    uint64_t u = 0;
    int64_t i = 0;

    assert_int_equal(jq_read_i64(&r, &i), JQ_EPROTO);
    assert_int_equal(jq_read_u64(&r, &u), JQ_OK);
    assert_true(u == UINT64_C(1) << 63);
    r = jq_reader(jq_view(negative, sizeof negative));
    assert_int_equal(jq_read_u64(&r, &u), JQ_EPROTO);
    assert_int_equal(jq_read_i64(&r, &i), JQ_OK);
    assert_int_equal(i, -1);
}

/* Around every power of two, each number is written in the fewest bytes and read back. */
static void numbers_survive_in_their_shortest_form(void **state)
{
    (void)state;
    struct jq_buf buf = { 0 };
    for (int bit = 0; bit < 64; bit++)
        for (int near = -1; near <= 1; near++) {
            const uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)near;
            const int64_t both[] = { (int64_t)value, -(int64_t)(value & INT64_MAX) };
            uint64_t u = 0;
            jq_buf_clear(&buf);
            jq_write_u64(&buf, value);
            struct jq_reader r = jq_reader(jq_buf_view(&buf));
            assert_int_equal(jq_read_u64(&r, &u), JQ_OK);
            assert_true(u == value && r.at == r.end);
            assert_int_equal(buf.size, value < 128        ? 1
                                       : value < 256      ? 2
                                       : value < 65536    ? 3
                                       : value >> 32 == 0 ? 5
                                                          : 9);
            for (int k = 0; k < 2; k++) {
                int64_t i = 0;
                jq_buf_clear(&buf);
                jq_write_i64(&buf, both[k]);
                r = jq_reader(jq_buf_view(&buf));
                assert_int_equal(jq_read_i64(&r, &i), JQ_OK);
                assert_true(i == both[k] && r.at == r.end);
            }
        }
    jq_buf_fini(&buf);
}

static void strings_of_every_head_survive(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 31, 32, 255, 256, 65535, 65536 };
    struct jq_buf buf = { 0 };
    uint8_t *bytes = jq_alloc(65536);
    assert_non_null(bytes);
    memset(bytes, 0xc1, 65536);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct jq_view str, bin;
        jq_buf_clear(&buf);
        jq_write_str(&buf, jq_view(bytes, sizes[i]));
        jq_write_bin(&buf, jq_view(bytes, sizes[i]));
        struct jq_reader r = jq_reader(jq_buf_view(&buf));
        assert_int_equal(jq_read_str(&r, &str), JQ_OK);
        assert_int_equal(jq_read_bin(&r, &bin), JQ_OK);
        assert_true(r.at == r.end);
        assert_true(jq_view_equal(str, jq_view(bytes, sizes[i])));
        assert_true(jq_view_equal(bin, str));
    }
    jq_free(bytes);
    jq_buf_fini(&buf);
}

/* What passes the check can be printed, whatever it is, in bounded space. */
static void anything_that_passes_the_check_can_be_printed(void **state)
{
    (void)state;
    struct jq_rng rng;
    struct jq_buf text = { 0 };
    size_t passed = 0;
    jq_rng_init(&rng, 5);
    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[24];
        const size_t size = (size_t)jq_rng_below(&rng, sizeof bytes) + 1;
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)jq_rng_next(&rng);
        if (jq_wire_check(jq_view(bytes, size)) != JQ_OK)
            continue;
        passed++;
        jq_buf_clear(&text);
        jq_wire_print(jq_view(bytes, size), 8, &text);
        assert_true(jq_buf_ok(&text));
        assert_true(text.size > 0 && text.size < 64 * size);
        for (size_t j = 0; j < text.size; j++)
            assert_true(text.data[j] >= 0x20 && text.data[j] != 0x7f);
    }
    assert_true(passed > 1000);
    jq_buf_fini(&text);
}

static void floats_of_both_widths_are_numbers_and_others_are_not(void **state)
{
    (void)state;
    static const double values[] = { 0, -0.0, 1.5, -1e300, 5e-324 };
    struct jq_buf buf = { 0 };
    double read = 0;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        jq_buf_clear(&buf);
        jq_write_double(&buf, values[i]);
        struct jq_reader r = jq_reader(jq_buf_view(&buf));
        assert_int_equal(jq_read_double(&r, &read), JQ_OK);
        assert_memory_equal(&read, &values[i], sizeof read);
        assert_ptr_equal(r.at, r.end);
    }
    jq_buf_fini(&buf);
    struct jq_reader single = jq_reader(BYTES(0xca, 0xbf, 0xc0, 0, 0));
    assert_int_equal(jq_read_double(&single, &read), JQ_OK);
    assert_true(read == -1.5);
    struct jq_reader whole = jq_reader(BYTES(0x05));
    assert_int_equal(jq_read_double(&whole, &read), JQ_EPROTO);
    struct jq_reader cut = jq_reader(BYTES(0xcb, 0, 0, 0, 0, 0, 0, 0));
    assert_int_equal(jq_read_double(&cut, &read), JQ_EPROTO);
}

static void what_comes_next_is_known_without_reading_it(void **state)
{
    (void)state;
    static const struct {
        struct jq_view bytes;
        enum jq_wire_kind kind;
    } samples[] = {
        { { "\xc0", 1 }, JQ_WIRE_NIL },       { { "\xc2", 1 }, JQ_WIRE_BOOL },
        { { "\x05", 1 }, JQ_WIRE_UINT },      { { "\xd0\x05", 2 }, JQ_WIRE_UINT },
        { { "\xff", 1 }, JQ_WIRE_NEGATIVE },  { { "\xca\0\0\0\0", 5 }, JQ_WIRE_DOUBLE },
        { { "\xa1x", 2 }, JQ_WIRE_STR },      { { "\xc4\0", 2 }, JQ_WIRE_BIN },
        { { "\x91\xc0", 2 }, JQ_WIRE_ARRAY }, { { "\x80", 1 }, JQ_WIRE_MAP },
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const struct jq_reader r = jq_reader(samples[i].bytes);
        enum jq_wire_kind kind = JQ_WIRE_MAP;
        assert_int_equal(jq_peek(&r, &kind), JQ_OK);
        assert_int_equal(kind, samples[i].kind);
    }
    const struct jq_reader none = jq_reader(BYTES(0xc1));
    enum jq_wire_kind kind;
    assert_int_equal(jq_peek(&none, &kind), JQ_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_one_object_is_a_frame),
        cmocka_unit_test(every_first_byte_is_read_within_its_bytes),
        cmocka_unit_test(extension_types_and_the_unused_byte_are_refused),
        cmocka_unit_test(a_count_past_the_bytes_that_are_left_is_refused_at_once),
        cmocka_unit_test(more_tokens_than_the_bound_are_refused),
        cmocka_unit_test(a_refused_read_leaves_the_cursor),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
        cmocka_unit_test(numbers_survive_in_their_shortest_form),
        cmocka_unit_test(strings_of_every_head_survive),
        cmocka_unit_test(floats_of_both_widths_are_numbers_and_others_are_not),
        cmocka_unit_test(what_comes_next_is_known_without_reading_it),
        cmocka_unit_test(anything_that_passes_the_check_can_be_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
