/* SPDX-License-Identifier: MIT
 *
 * test_store_pack.c - several fields in one column: they come back, fields may be added behind
 * them, and what is not a pack is refused without reading past its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/store/sqlite_pack.h"
#include "proto/base/alloc.h"
#include "proto/base/crc32c.h"

enum { SEED = 7, NUMBERS = 6, SIZES_AT = 4, PIECES = 2 };

static const uint64_t sample[NUMBERS] = { 0, 255, UINT64_MAX, 1ull << 32, 5, 3 };

static void pack_sample(struct jq_buf *buf)
{
    const struct jq_view bytes[PIECES] = { jq_view("first", 5), jq_view("two", 3) };

    jq_pack(buf, SEED, sample, NUMBERS, bytes, PIECES);
    assert_true(jq_buf_ok(buf));
}

static void test_what_is_packed_comes_back(void **state)
{
    (void)state;
    uint64_t numbers[NUMBERS];
    struct jq_view bytes[PIECES];
    struct jq_buf buf = { 0 };

    pack_sample(&buf);
    assert_int_equal(buf.size, 5 + 3 + (0 + 1 + 8 + 5 + 1 + 1) + 8);
    assert_true(jq_unpack(jq_buf_view(&buf), SEED, numbers, NUMBERS, bytes, SIZES_AT, PIECES));
    assert_memory_equal(numbers, sample, sizeof(sample));
    assert_true(jq_view_equal(bytes[0], jq_view("first", 5)));
    assert_true(jq_view_equal(bytes[1], jq_view("two", 3)));
    assert_false(jq_unpack(jq_buf_view(&buf), SEED + 1, numbers, NUMBERS, bytes, SIZES_AT, PIECES));
    jq_buf_fini(&buf);
}

static void test_zeros_at_the_end_take_no_room(void **state)
{
    (void)state;
    const uint64_t none[NUMBERS] = { 0 };
    uint64_t numbers[NUMBERS];
    struct jq_view bytes[PIECES] = { { 0 } };
    struct jq_buf buf = { 0 };

    jq_pack(&buf, SEED, none, NUMBERS, bytes, PIECES);
    assert_int_equal(buf.size, 5);
    assert_true(jq_unpack(jq_buf_view(&buf), SEED, numbers, NUMBERS, bytes, SIZES_AT, PIECES));
    assert_memory_equal(numbers, none, sizeof(none));
    assert_int_equal(bytes[0].size + bytes[1].size, 0);
    jq_buf_fini(&buf);
}

/* Whoever knows more fields reads 0 for them; whoever knows fewer must not read the row at all. */
static void test_fields_may_be_added(void **state)
{
    (void)state;
    uint64_t numbers[NUMBERS + 2];
    struct jq_view bytes[PIECES + 1];
    struct jq_buf buf = { 0 };

    pack_sample(&buf);
    assert_true(
        jq_unpack(jq_buf_view(&buf), SEED, numbers, NUMBERS + 2, bytes, SIZES_AT, PIECES + 1));
    assert_memory_equal(numbers, sample, sizeof(sample));
    assert_int_equal(numbers[NUMBERS] + numbers[NUMBERS + 1], 0);
    assert_int_equal(bytes[PIECES].size, 0);
    assert_false(jq_unpack(jq_buf_view(&buf), SEED, numbers, NUMBERS - 1, bytes, SIZES_AT, 1));
    jq_buf_fini(&buf);
}

/* In memory that ends where the pack does, so that a sanitizer sees a read behind it. Each has a
 * CRC that fits. */
static bool is_taken(const uint8_t *data, size_t size)
{
    uint64_t numbers[NUMBERS];
    struct jq_view bytes[PIECES];
    uint8_t *copy = malloc(size ? size : 1);

    assert_non_null(copy);
    memcpy(copy, data, size);
    if (size >= 4) {
        const uint32_t crc = jq_crc32c(SEED, copy + 4, size - 4);
        for (int i = 0; i < 4; i++)
            copy[i] = (uint8_t)(crc >> 8 * i);
    }
    const bool taken =
        jq_unpack(jq_view(copy, size), SEED, numbers, NUMBERS, bytes, SIZES_AT, PIECES);
    free(copy);
    return taken;
}

static void test_what_is_no_pack_is_refused(void **state)
{
    (void)state;
    uint8_t other[64];
    struct jq_buf buf = { 0 };

    pack_sample(&buf);
    assert_true(is_taken(buf.data, buf.size));
    for (size_t size = 0; size < buf.size; size++)
        assert_false(is_taken(buf.data, size));
    memcpy(other, buf.data, buf.size);
    other[buf.size] = 0;
    assert_false(is_taken(other, buf.size + 1));
    for (size_t i = 4; i < buf.size; i++)
        for (int value = 0; value < 256; value++) {
            memcpy(other, buf.data, buf.size);
            other[i] = (uint8_t)value;
            (void)is_taken(other, buf.size);
        }
    other[4] = NUMBERS + 1;
    assert_false(is_taken(other, buf.size));
    jq_buf_fini(&buf);
}

static void test_numbers_near_0_are_short(void **state)
{
    (void)state;
    static const int64_t some[] = { 0, 1, -1, -128, 127, INT64_MIN, INT64_MAX };

    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        assert_true(jq_unpack_signed(jq_pack_signed(some[i])) == some[i]);
    assert_int_equal(jq_pack_signed(-128), 255);
}

static void test_without_memory_the_buffer_is_broken(void **state)
{
    (void)state;
    struct jq_buf buf = { 0 };

    jq_alloc_fail_after(0, 1);
    jq_pack(&buf, SEED, sample, SIZES_AT, NULL, 0);
    jq_alloc_fail_after(-1, 0);
    assert_false(jq_buf_ok(&buf));
    jq_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_packed_comes_back),
        cmocka_unit_test(test_zeros_at_the_end_take_no_room),
        cmocka_unit_test(test_fields_may_be_added),
        cmocka_unit_test(test_what_is_no_pack_is_refused),
        cmocka_unit_test(test_numbers_near_0_are_short),
        cmocka_unit_test(test_without_memory_the_buffer_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
