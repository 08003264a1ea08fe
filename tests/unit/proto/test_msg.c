/* SPDX-License-Identifier: MIT
 *
 * test_msg.c - every message survives the wire, and nothing else gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/msg.h"

static void test_random_messages_survive_a_round_trip(void **state)
{
    (void)state;
    struct jq_rng rng;
    struct jq_buf arena = { 0 }, frame = { 0 };
    jq_rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        struct jq_msg sent, received;
        jq_buf_clear(&arena);
        jq_buf_clear(&frame);
        assert_int_equal(jq_msg_random(&rng, &arena, &sent), JQ_OK);
        assert_int_equal(jq_msg_encode(&sent, &frame), JQ_OK);
        assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &received), JQ_OK);
        assert_true(jq_msg_equal(&sent, &received));
    }
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
}

/* Decoding is exact: a frame that was cut anywhere is no message, and reads nothing past its end.
 */
static void test_a_cut_frame_is_refused(void **state)
{
    (void)state;
    struct jq_rng rng;
    struct jq_buf arena = { 0 }, frame = { 0 };
    jq_rng_init(&rng, 2);
    for (int i = 0; i < 500; i++) {
        struct jq_msg sent, received;
        jq_buf_clear(&arena);
        jq_buf_clear(&frame);
        assert_int_equal(jq_msg_random(&rng, &arena, &sent), JQ_OK);
        assert_int_equal(jq_msg_encode(&sent, &frame), JQ_OK);
        for (size_t size = 0; size < frame.size; size++) {
            uint8_t *cut = jq_alloc(size); /* its own block, so that a sanitizer sees an overread */
            memcpy(cut, frame.data, size);
            assert_int_equal(jq_msg_decode(jq_view(cut, size), &received), JQ_EPROTO);
            jq_free(cut);
        }
    }
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
}

static void test_random_bytes_never_crash_and_allocate_nothing(void **state)
{
    (void)state;
    struct jq_rng rng;
    uint8_t bytes[64];
    jq_rng_init(&rng, 3);
    (void)jq_alloc_fail_after(-1, 0);
    for (int i = 0; i < 200000; i++) {
        const size_t size = (size_t)jq_rng_below(&rng, sizeof bytes + 1);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)jq_rng_next(&rng);
        struct jq_msg msg;
        if (jq_msg_decode(jq_view(bytes, size), &msg) == JQ_OK)
            assert_non_null(jq_msg_name(msg.tag));
    }
    assert_int_equal(jq_alloc_fail_after(-1, 0), 0);
}

/* Upstream issues 985 and 1013 of msgpack-c: a five-byte header that promises four billion
 * elements. */
static void test_five_hostile_bytes_do_not_allocate(void **state)
{
    (void)state;
    static const uint8_t hostile[][6] = {
        { 0xdd, 0x01, 0x00, 0x00, 0x00 }, { 0xdd, 0xff, 0xff, 0xff, 0xff },
        { 0xdf, 0x7f, 0xff, 0xff, 0xff }, { 0xdc, 0xff, 0xff, 0x00, 0x00 },
        { 0xc6, 0xff, 0xff, 0xff, 0xff }, { 0xdb, 0xff, 0xff, 0xff, 0xff },
        { 0x91, 0x91, 0x91, 0x91, 0x91 }, { 0xc1, 0x00, 0x00, 0x00, 0x00 },
        { 0xc7, 0x00, 0x00, 0x00, 0x00 }, { 0xd4, 0x00, 0x00, 0x00, 0x00 },
    };
    (void)jq_alloc_fail_after(0, 1);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct jq_msg msg;
        assert_int_equal(jq_msg_decode(jq_view(hostile[i], 5), &msg), JQ_EPROTO);
    }
    assert_int_equal(jq_alloc_fail_after(-1, 0), 0);
}

static void test_nesting_past_the_bound_is_refused(void **state)
{
    (void)state;
    uint8_t deep[64];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 0xc0;
    assert_int_equal(jq_wire_check(jq_view(deep, sizeof deep)), JQ_EPROTO);
    const size_t start = sizeof deep - 1 - JQ_DEPTH_MAX;
    assert_int_equal(jq_wire_check(jq_view(deep + start, sizeof deep - start)), JQ_OK);
    assert_int_equal(jq_wire_check(jq_view(deep + start - 1, sizeof deep - start + 1)), JQ_EPROTO);
}

static void test_another_version_is_told_apart_and_keeps_its_correlation(void **state)
{
    (void)state;
    struct jq_buf frame = { 0 };
    struct jq_msg msg = { .tag = JQ_MSG_PING, .version = 99, .correlation = 7 };
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_OK);
    struct jq_msg received;
    assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &received), JQ_EVERSION);
    assert_int_equal(received.correlation, 7);
    assert_int_equal(received.version, 99);
    jq_buf_fini(&frame);
}

static void test_missing_optional_fields_are_zero_and_extra_ones_ignored(void **state)
{
    (void)state;
    struct jq_buf frame = { 0 };
    struct jq_msg msg;
    jq_write_array(&frame, 4); /* a CREDIT of a peer that knows no `draining` */
    jq_write_u64(&frame, 1);
    jq_write_u64(&frame, JQ_MSG_CREDIT);
    jq_write_u64(&frame, 0);
    jq_write_u64(&frame, 12);
    assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &msg), JQ_OK);
    assert_int_equal(msg.u.credit.total, 12);
    assert_int_equal(msg.u.credit.draining, 0);

    jq_buf_clear(&frame);
    jq_write_array(&frame, 6); /* a PING of a peer that knows two more */
    jq_write_u64(&frame, 1);
    jq_write_u64(&frame, JQ_MSG_PING);
    jq_write_u64(&frame, 0);
    jq_write_u64(&frame, 34);
    jq_write_array(&frame, 1);
    jq_write_nil(&frame);
    jq_write_str(&frame, jq_view_str("new"));
    assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &msg), JQ_OK);
    assert_int_equal(msg.u.ping.stamp, 34);
    jq_buf_fini(&frame);
}

static void test_bounds_hold_on_both_sides(void **state)
{
    (void)state;
    struct jq_buf frame = { 0 };
    char name[JQ_NAME_MAX + 1];
    memset(name, 'q', sizeof name);
    struct jq_msg msg = { .tag = JQ_MSG_SUBMIT };
    msg.u.submit.queue = jq_view(name, JQ_NAME_MAX);
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_OK);
    const size_t size = frame.size;
    msg.u.submit.queue = jq_view(name, JQ_NAME_MAX + 1);
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_EMSGSIZE);
    assert_int_equal(frame.size, size); /* unchanged */

    jq_buf_clear(&frame);
    jq_write_array(&frame, 7);
    jq_write_u64(&frame, 1);
    jq_write_u64(&frame, JQ_MSG_SUBMIT);
    jq_write_u64(&frame, 0);
    jq_write_u64(&frame, 0);
    jq_write_str(&frame, jq_view(name, JQ_NAME_MAX + 1));
    jq_write_u64(&frame, 0);
    jq_write_array(&frame, 0);
    assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &msg), JQ_EPROTO);
    jq_buf_fini(&frame);
}

static void test_encoding_without_memory_leaves_the_buffer_alone(void **state)
{
    (void)state;
    struct jq_rng rng;
    struct jq_buf arena = { 0 };
    struct jq_msg msg;
    jq_rng_init(&rng, 4);
    assert_int_equal(jq_msg_random(&rng, &arena, &msg), JQ_OK);
    for (int64_t n = 0;; n++) {
        struct jq_buf frame = { 0 };
        (void)jq_alloc_fail_after(n, 0);
        const enum jq_err err = jq_msg_encode(&msg, &frame);
        (void)jq_alloc_fail_after(-1, 0);
        assert_true(jq_buf_ok(&frame));
        const size_t size = frame.size;
        jq_buf_fini(&frame);
        if (err == JQ_OK)
            break;
        assert_int_equal(err, JQ_ENOMEM);
        assert_int_equal(size, 0);
    }
    jq_buf_fini(&arena);
}

static void test_lists_are_walked_without_failing(void **state)
{
    (void)state;
    struct jq_buf records = { 0 }, frame = { 0 };
    for (uint64_t i = 1; i <= JQ_JOBS_PER_FRAME; i++)
        jq_held_write(&records, &(struct jq_held){ .id = i, .fence = i << 32 });
    struct jq_msg msg = { .tag = JQ_MSG_RELEASE };
    msg.u.release.jobs = jq_records_of(JQ_JOBS_PER_FRAME, &records);
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_OK);
    assert_int_equal(jq_msg_decode(jq_buf_view(&frame), &msg), JQ_OK);
    struct jq_held held;
    uint64_t expected = 0;
    for (struct jq_reader r = jq_records_reader(msg.u.release.jobs); jq_held_next(&r, &held);)
        assert_int_equal(held.id, ++expected);
    assert_int_equal(expected, JQ_JOBS_PER_FRAME);
    jq_buf_fini(&records);
    jq_buf_fini(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_messages_survive_a_round_trip),
        cmocka_unit_test(test_a_cut_frame_is_refused),
        cmocka_unit_test(test_random_bytes_never_crash_and_allocate_nothing),
        cmocka_unit_test(test_five_hostile_bytes_do_not_allocate),
        cmocka_unit_test(test_nesting_past_the_bound_is_refused),
        cmocka_unit_test(test_another_version_is_told_apart_and_keeps_its_correlation),
        cmocka_unit_test(test_missing_optional_fields_are_zero_and_extra_ones_ignored),
        cmocka_unit_test(test_bounds_hold_on_both_sides),
        cmocka_unit_test(test_encoding_without_memory_leaves_the_buffer_alone),
        cmocka_unit_test(test_lists_are_walked_without_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
