/* SPDX-License-Identifier: MIT
 *
 * test_output.c - head and tail of a stream are what a plain copy says they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/rng.h"
#include "worker/output.h"

enum { STREAM_MAX = 1 << 16 };

static unsigned char stream[STREAM_MAX];

static void assert_is(struct jq_view view, const unsigned char *bytes, size_t size)
{
    assert_int_equal(view.size, size);
    if (size > 0)
        assert_memory_equal(view.data, bytes, size);
}

/* Against the model: the head is a prefix, the tail the last bytes behind it. */
static void assert_model(struct jq_output *output, size_t keep, size_t total)
{
    const size_t head_max = keep - keep / 2;
    const size_t head = total < head_max ? total : head_max;
    const size_t rest = total - head;
    const size_t tail = rest < keep / 2 ? rest : keep / 2;
    assert_int_equal(output->total, total);
    assert_is(jq_buf_view(&output->head), stream, head);
    assert_is(jq_output_tail(output), stream + total - tail, tail);
}

static void any_cuts_keep_the_same_bytes(void **state)
{
    (void)state;
    struct jq_rng rng;
    jq_rng_init(&rng, 42);
    for (size_t i = 0; i < STREAM_MAX; i++)
        stream[i] = (unsigned char)jq_rng_next(&rng);
    for (int round = 0; round < 2000; round++) {
        struct jq_output output;
        const size_t keep = jq_rng_below(&rng, round % 2 != 0 ? 40 : 20000);
        size_t total = 0;
        jq_output_init(&output, keep);
        for (int i = 0; i < 30; i++) {
            size_t size = jq_rng_below(&rng, round % 3 != 0 ? 50 : 4000);
            if (size > STREAM_MAX - total)
                size = STREAM_MAX - total;
            jq_output_append(&output, stream + total, size);
            total += size;
            if (jq_rng_below(&rng, 4) == 0) /* looking must change nothing */
                assert_model(&output, keep, total);
        }
        assert_model(&output, keep, total);
        jq_output_fini(&output);
    }
}

static void memory_grows_with_what_is_written(void **state)
{
    (void)state;
    struct jq_output output;
    jq_output_init(&output, 8 << 20);
    assert_int_equal(output.head.capacity + output.ring_capacity, 0);
    jq_output_append(&output, "hello\n", 6);
    assert_true(output.head.capacity + output.ring_capacity <= 4096);
    jq_output_fini(&output);
}

static void without_memory_less_is_kept_but_all_is_counted(void **state)
{
    (void)state;
    for (int countdown = 0; countdown < 6; countdown++) {
        struct jq_output output;
        jq_output_init(&output, 20000);
        (void)jq_alloc_fail_after(countdown, 1);
        for (size_t i = 0; i < STREAM_MAX; i += 512)
            jq_output_append(&output, stream + i, 512);
        (void)jq_alloc_fail_after(-1, 0);
        assert_int_equal(output.total, STREAM_MAX);
        const struct jq_view tail = jq_output_tail(&output);
        assert_is(jq_buf_view(&output.head), stream, output.head.size);
        assert_is(tail, stream + STREAM_MAX - tail.size, tail.size);
        jq_output_fini(&output);
    }
}

static void a_reader_skips_what_was_dropped(void **state)
{
    (void)state;
    struct jq_output output;
    jq_output_init(&output, 20);
    jq_output_append(&output, "0123456789abcdefghijklmnopqrstuvwxyz", 36);
    const struct jq_view head = jq_buf_view(&output.head);
    const struct jq_view tail = jq_output_tail(&output);
    const struct {
        uint64_t asked;
        size_t limit;
        uint64_t offset;
        const char *bytes;
        bool last;
    } cases[] = {
        { 0, 4, 0, "0123", false },        { 8, 100, 8, "89", false },
        { 10, 4, 26, "qrst", false },      { 25, 100, 26, "qrstuvwxyz", true },
        { 30, 100, 30, "uvwxyz", true },   { 36, 100, 36, "", true },
        { UINT64_MAX, 100, 36, "", true }, { 26, 0, 26, "", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct jq_output_slice slice =
            jq_output_slice(output.total, head, tail, cases[i].asked, cases[i].limit);
        assert_int_equal(slice.offset, cases[i].offset);
        assert_int_equal(slice.bytes.size, strlen(cases[i].bytes));
        if (slice.bytes.size > 0)
            assert_memory_equal(slice.bytes.data, cases[i].bytes, slice.bytes.size);
        assert_int_equal(slice.last, cases[i].last);
    }
    jq_output_fini(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cuts_keep_the_same_bytes),
        cmocka_unit_test(memory_grows_with_what_is_written),
        cmocka_unit_test(without_memory_less_is_kept_but_all_is_counted),
        cmocka_unit_test(a_reader_skips_what_was_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
