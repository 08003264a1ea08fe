/* SPDX-License-Identifier: MIT
 *
 * test_zmtp.c - the guard knows where a message ends, however its bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/zmtp.h"

static const uint8_t greeting[64] = {
    0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1, 'N', 'U', 'L', 'L'
};

static void a_message_costs_nothing_once_its_last_part_has_ended(void **state)
{
    (void)state;
    const uint8_t parts[] = { 1, 2, 'a', 'b', 1, 0, 0, 1, 'c' };
    struct jq_zmtp zmtp = { 0 };

    assert_true(jq_zmtp_feed(&zmtp, greeting, sizeof(greeting)));
    assert_true(jq_zmtp_feed(&zmtp, parts, 6));
    assert_int_equal(zmtp.unfinished, 2 + 2 * JQ_ZMTP_PART_COST);
    assert_true(jq_zmtp_feed(&zmtp, parts + 6, 3));
    assert_int_equal(zmtp.unfinished, 0);
}

static void bytes_cut_anywhere_are_read_alike(void **state)
{
    (void)state;
    uint8_t stream[64 + 9 + 300 + 2 + 5];
    size_t size = 0;
    const uint8_t large[] = { 1 | 2, 0, 0, 0, 0, 0, 0, 300 >> 8, 300 & 255 };

    memcpy(stream, greeting, 64);
    memcpy(stream + 64, large, sizeof(large));
    memset(stream + 73, 7, 300);
    size = 373;
    stream[size++] = 1;
    stream[size++] = 5;
    for (size_t step = 1; step <= size; step++) {
        struct jq_zmtp zmtp = { 0 };
        for (size_t at = 0; at < size; at += step)
            assert_true(jq_zmtp_feed(&zmtp, stream + at, size - at < step ? size - at : step));
        assert_int_equal(zmtp.unfinished, 300 + 2 * JQ_ZMTP_PART_COST);
        assert_true(jq_zmtp_feed(&zmtp, "12345", 5));
        assert_true(jq_zmtp_feed(&zmtp, "\0\0", 2));
        assert_int_equal(zmtp.unfinished, 0);
    }
}

static void a_command_between_parts_is_no_part(void **state)
{
    (void)state;
    const uint8_t parts[] = { 1, 1, 'a', 4, 3, 'p', 'i', 'n' };
    struct jq_zmtp zmtp = { 0 };

    assert_true(jq_zmtp_feed(&zmtp, greeting, sizeof(greeting)));
    assert_true(jq_zmtp_feed(&zmtp, parts, sizeof(parts)));
    assert_int_equal(zmtp.unfinished, 1 + JQ_ZMTP_PART_COST);
}

static void another_protocol_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    uint8_t old[64];
    struct jq_zmtp http = { 0 };
    struct jq_zmtp version_two = { 0 };
    struct jq_zmtp unsigned_one = { 0 };

    memcpy(old, greeting, sizeof(old));
    old[10] = 1;
    assert_false(jq_zmtp_feed(&http, "GET / HTTP/1.1\r\n", 16));
    assert_true(jq_zmtp_feed(&version_two, old, 10));
    assert_false(jq_zmtp_feed(&version_two, old + 10, 1));
    old[9] = 0;
    assert_false(jq_zmtp_feed(&unsigned_one, old, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_costs_nothing_once_its_last_part_has_ended),
        cmocka_unit_test(bytes_cut_anywhere_are_read_alike),
        cmocka_unit_test(a_command_between_parts_is_no_part),
        cmocka_unit_test(another_protocol_is_told_by_its_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
