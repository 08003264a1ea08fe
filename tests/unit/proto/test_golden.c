/* SPDX-License-Identifier: MIT
 *
 * test_golden.c - the wire format as it was released. golden.txt has the frame of every message of
 * sample.h, in hex, as first checked in: a change of any byte shows here.
 *
 * A new message, or a new OPT field, adds to the samples on purpose: then `test_golden --print` and
 * read the difference line by line. Lines that are there must stay decodable for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/sample.h"

enum { LINE_MAX_BYTES = 16384 };

struct golden {
    char name[64];
    uint8_t bytes[LINE_MAX_BYTES / 2];
    size_t size;
};

/* False at the end of the file. */
static bool read_golden(FILE *file, struct golden *ret)
{
    static char line[LINE_MAX_BYTES];
    int used = 0;

    do {
        if (!fgets(line, sizeof line, file))
            return false;
    } while (line[0] == '#');
    assert_int_equal(sscanf(line, "%63s %n", ret->name, &used), 1);
    ret->size = 0;
    for (const char *at = line + used; *at && *at != '\n'; at += 2) {
        unsigned byte = 0;
        assert_int_equal(sscanf(at, "%2x", &byte), 1);
        ret->bytes[ret->size++] = (uint8_t)byte;
    }
    return true;
}

static void encode_sample(size_t index, struct jq_buf *arena, struct jq_msg *msg,
                          struct jq_buf *frame)
{
    jq_buf_clear(arena);
    jq_buf_clear(frame);
    assert_int_equal(sample_message(index, arena, msg), JQ_OK);
    assert_int_equal(jq_msg_encode(msg, frame), JQ_OK);
}

static void every_message_has_the_bytes_it_was_released_with(void **state)
{
    (void)state;
    static struct golden golden;
    struct jq_buf arena = { 0 }, frame = { 0 };
    FILE *file = fopen(JOBQ_GOLDEN, "re");

    assert_non_null(file);
    for (size_t i = 0; i < sample_count(); i++) {
        struct jq_msg msg;
        assert_true(read_golden(file, &golden));
        encode_sample(i, &arena, &msg, &frame);
        assert_string_equal(jq_msg_name(msg.tag), golden.name);
        if (frame.size != golden.size || memcmp(frame.data, golden.bytes, golden.size) != 0)
            fail_msg("the frame of %s is not the one it was released with", golden.name);
    }
    assert_false(read_golden(file, &golden));
    (void)fclose(file);
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
}

static void every_released_frame_is_read_and_written_again_byte_for_byte(void **state)
{
    (void)state;
    static struct golden golden;
    struct jq_buf arena = { 0 }, frame = { 0 };
    FILE *file = fopen(JOBQ_GOLDEN, "re");

    assert_non_null(file);
    for (size_t i = 0; read_golden(file, &golden); i++) {
        struct jq_msg expected, read;
        assert_int_equal(jq_msg_decode(jq_view(golden.bytes, golden.size), &read), JQ_OK);
        encode_sample(i, &arena, &expected, &frame);
        assert_true(jq_msg_equal(&read, &expected));
        jq_buf_clear(&frame);
        assert_int_equal(jq_msg_encode(&read, &frame), JQ_OK);
        assert_int_equal(frame.size, golden.size);
        assert_memory_equal(frame.data, golden.bytes, golden.size);
    }
    (void)fclose(file);
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
}

static int print_all(void)
{
    struct jq_buf arena = { 0 }, frame = { 0 };

    printf("# SPDX-License-Identifier: MIT\n"
           "# The frame of every message of tests/support/sample.h; see test_golden.c.\n");
    for (size_t i = 0; i < sample_count(); i++) {
        struct jq_msg msg;
        jq_buf_clear(&arena);
        jq_buf_clear(&frame);
        if (sample_message(i, &arena, &msg) != JQ_OK || jq_msg_encode(&msg, &frame) != JQ_OK)
            return 1;
        printf("%s ", jq_msg_name(msg.tag));
        for (size_t at = 0; at < frame.size; at++)
            printf("%02x", frame.data[at]);
        printf("\n");
    }
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_the_bytes_it_was_released_with),
        cmocka_unit_test(every_released_frame_is_read_and_written_again_byte_for_byte),
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0)
        return print_all();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
