/* SPDX-License-Identifier: MIT
 *
 * test_args_pack.c - the arguments of a handler's job, as a program builds them and a worker finds
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/include/jobq/jobq.h"
#include "proto/args.h"
#include "proto/base/alloc.h"
#include "proto/limits.h"

static int setup(void **state)
{
    struct jobq_args *args = NULL;
    assert_int_equal(jobq_args_new(&args), 0);
    *state = args;
    return 0;
}

static int teardown(void **state)
{
    struct jobq_args *args = *state;
    jobq_args_free(&args);
    assert_null(args);
    jobq_args_free(&args);
    jobq_args_free(NULL);
    return 0;
}

static void assert_packs(const struct jobq_args *args, const char *bytes, size_t size)
{
    void *payload = NULL;
    size_t payload_size = 0;
    struct jq_args read;

    assert_int_equal(jobq_args_pack(args, &payload, &payload_size), 0);
    assert_int_equal(payload_size, size);
    assert_memory_equal(payload, bytes, size);
    assert_int_equal(jq_args_read(jq_view(payload, payload_size), &read), JQ_OK);
    jobq_payload_free(payload);
}
#define ASSERT_PACKS(args, text) assert_packs(args, text, sizeof text - 1)

static void assert_refused(struct jobq_args *args, int expected)
{
    void *payload = NULL;
    size_t size = 7;

    assert_int_equal(jobq_args_pack(args, &payload, &size), expected);
    assert_null(payload);
    assert_int_equal(size, 7);
}

static void no_arguments_are_a_payload(void **state)
{
    ASSERT_PACKS(*state, "\x93\x90\x80\x01");
    ASSERT_PACKS(*state, "\x93\x90\x80\x01"); /* packing changes nothing */
}

static void S03_values_of_every_type_stand_where_they_were_put(void **state)
{
    struct jobq_args *args = *state;

    assert_int_equal(jobq_args_int(args, NULL, -1), 0);
    assert_int_equal(jobq_args_str(args, "name", "text", 4), 0);
    assert_int_equal(jobq_args_uint(args, NULL, 200), 0);
    assert_int_equal(jobq_args_bool(args, "b", 5), 0);
    assert_int_equal(jobq_args_double(args, NULL, 0.5), 0);
    assert_int_equal(jobq_args_bytes(args, NULL, "\0", 1), 0);
    assert_int_equal(jobq_args_nil(args, NULL), 0);
    assert_int_equal(jobq_args_msgpack(args, NULL, "\x92\x01\x02", 3), 0);
    assert_int_equal(jobq_args_depth(args, 7), 0);
    ASSERT_PACKS(args, "\x93\x96\xff\xcc\xc8\xcb\x3f\xe0\0\0\0\0\0\0\xc4\x01\0\xc0\x92\x01\x02"
                       "\x82\xa4name\xa4text\xa1"
                       "b\xc3\x07");
}

static void a_time_limit_stands_behind_the_depth(void **state)
{
    struct jobq_args *args = *state;

    assert_int_equal(jobq_args_timeout(args, 300), 0);
    ASSERT_PACKS(args, "\x94\x90\x80\x01\xcd\x01\x2c");
    assert_int_equal(jobq_args_timeout(args, 0), 0);
    ASSERT_PACKS(args, "\x93\x90\x80\x01");
    assert_int_equal(jobq_args_timeout(args, -1), JOBQ_EINVAL);
    assert_refused(args, JOBQ_EINVAL);
    assert_int_equal(jobq_args_timeout(NULL, 1), JOBQ_EINVAL);
}

static void arrays_and_maps_take_what_follows(void **state)
{
    struct jobq_args *args = *state;

    assert_int_equal(jobq_args_map(args, "m", 1), 0);
    assert_int_equal(jobq_args_str(args, NULL, "k", 1), 0);
    assert_int_equal(jobq_args_array(args, NULL, 2), 0);
    assert_int_equal(jobq_args_array(args, NULL, 0), 0);
    assert_refused(args, JOBQ_EINVAL); /* not full yet */
    assert_int_equal(jobq_args_int(args, NULL, 1), 0);
    assert_int_equal(jobq_args_int(args, NULL, 2), 0); /* outside again: by position */
    ASSERT_PACKS(args, "\x93\x91\x02\x81\xa1m\x81\xa1k\x92\x90\x01\x01");
}

static void what_is_nested_has_no_name_and_is_bounded(void **state)
{
    struct jobq_args *args = *state;

    for (int i = 0; i < 6; i++)
        assert_int_equal(jobq_args_array(args, NULL, 1), 0);
    assert_int_equal(jobq_args_int(args, NULL, 1), 0);
    ASSERT_PACKS(args, "\x93\x91\x91\x91\x91\x91\x91\x91\x01\x80\x01");
    for (int i = 0; i < 6; i++)
        assert_int_equal(jobq_args_array(args, NULL, 1), 0);
    assert_int_equal(jobq_args_array(args, NULL, 1), JOBQ_EINVAL);
    assert_refused(args, JOBQ_EINVAL);
}

static void a_name_inside_an_array_is_an_error_that_stays(void **state)
{
    struct jobq_args *args = *state;

    assert_int_equal(jobq_args_array(args, NULL, 1), 0);
    assert_int_equal(jobq_args_int(args, "n", 1), JOBQ_EINVAL);
    assert_int_equal(jobq_args_int(args, NULL, 1), JOBQ_EINVAL);
    assert_int_equal(jobq_args_depth(args, 2), JOBQ_EINVAL);
    assert_refused(args, JOBQ_EINVAL);
}

/* Each breaks a builder of its own. */
static void what_cannot_be_an_argument_is_refused(void **state)
{
    char name[JQ_NAME_MAX + 2];
    struct jobq_args *args = NULL;
    (void)state;

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
#define REFUSED(expected, expression)          \
    assert_int_equal(jobq_args_new(&args), 0); \
    assert_int_equal(expression, expected);    \
    assert_refused(args, expected);            \
    jobq_args_free(&args)
    REFUSED(JOBQ_EINVAL, jobq_args_int(args, "", 1));
    REFUSED(JOBQ_EINVAL, jobq_args_int(args, name, 1));
    REFUSED(JOBQ_EINVAL, (jobq_args_int(args, "n", 1), jobq_args_int(args, "n", 1)));
    REFUSED(JOBQ_EINVAL, jobq_args_str(args, NULL, NULL, 1));
    REFUSED(JOBQ_EMSGSIZE, jobq_args_bytes(args, NULL, name, JQ_PAYLOAD_MAX + 1));
    REFUSED(JOBQ_EINVAL, jobq_args_msgpack(args, NULL, "\x01\x02", 2));
    REFUSED(JOBQ_EINVAL, jobq_args_msgpack(args, NULL, "\xd4\x01\x02", 3));
    REFUSED(JOBQ_EINVAL, jobq_args_msgpack(args, NULL, "", 0));
    REFUSED(JOBQ_EINVAL, jobq_args_depth(args, 0));
    REFUSED(JOBQ_EINVAL, jobq_args_depth(args, JQ_JOB_DEPTH_MAX + 1)); /* row S24 */
#undef REFUSED
    assert_int_equal(jobq_args_new(NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_args_int(NULL, NULL, 1), JOBQ_EINVAL);
    assert_int_equal(jobq_args_str(NULL, NULL, "", 0), JOBQ_EINVAL);
    assert_int_equal(jobq_args_depth(NULL, 1), JOBQ_EINVAL);
}

static void there_are_so_many_arguments_at_most(void **state)
{
    struct jobq_args *args = *state;
    int error = 0;

    for (int i = 0; i < JQ_ARGUMENTS_MAX; i++)
        error = error ? error : jobq_args_int(args, NULL, i);
    assert_int_equal(error, 0);
    void *payload = NULL;
    size_t size = 0;
    assert_int_equal(jobq_args_pack(args, &payload, &size), 0);
    jobq_payload_free(payload);
    assert_int_equal(jobq_args_int(args, NULL, 1), JOBQ_EMSGSIZE);

    jobq_args_free(&args);
    assert_int_equal(jobq_args_new(&args), 0);
    *state = args;
    for (int i = 0; i < JQ_NAMED_MAX; i++) {
        char name[8] = { (char)('a' + i % 26), (char)('a' + i / 26 % 26), (char)('a' + i / 676) };
        error = error ? error : jobq_args_nil(args, name);
    }
    assert_int_equal(error, 0);
    assert_int_equal(jobq_args_nil(args, "one more"), JOBQ_EMSGSIZE);
}

static void a_payload_over_its_bound_is_refused(void **state)
{
    struct jobq_args *args = *state;
    char *half = calloc(1, JQ_PAYLOAD_MAX / 2);

    assert_non_null(half);
    assert_int_equal(jobq_args_bytes(args, NULL, half, JQ_PAYLOAD_MAX / 2), 0);
    assert_int_equal(jobq_args_bytes(args, "n", half, JQ_PAYLOAD_MAX / 2), 0);
    assert_refused(args, JOBQ_EMSGSIZE);
    free(half);
}

static void without_memory_nothing_is_leaked_and_nothing_half_packed(void **state)
{
    (void)state;
    int error = JOBQ_ENOMEM;
    for (int64_t n = 0; error == JOBQ_ENOMEM; n++) {
        struct jobq_args *args = NULL;
        void *payload = NULL;
        size_t size = 0;
        assert_true(n < 100);
        (void)jq_alloc_fail_after(n, 0);
        error = jobq_args_new(&args);
        if (error == 0) {
            (void)jobq_args_str(args, NULL, "positional", 10);
            (void)jobq_args_str(args, "name", "value", 5);
            error = jobq_args_pack(args, &payload, &size);
        }
        (void)jq_alloc_fail_after(-1, 0);
        if (error == 0)
            assert_memory_equal(payload, "\x93\x91\xaapositional\x81\xa4name\xa5value\x01", size);
        else
            assert_null(payload);
        jobq_payload_free(payload);
        jobq_args_free(&args);
    }
    assert_int_equal(error, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_arguments_are_a_payload),
        TEST(S03_values_of_every_type_stand_where_they_were_put),
        TEST(a_time_limit_stands_behind_the_depth),
        TEST(arrays_and_maps_take_what_follows),
        TEST(what_is_nested_has_no_name_and_is_bounded),
        TEST(a_name_inside_an_array_is_an_error_that_stays),
        cmocka_unit_test(what_cannot_be_an_argument_is_refused),
        TEST(there_are_so_many_arguments_at_most),
        TEST(a_payload_over_its_bound_is_refused),
        cmocka_unit_test(without_memory_nothing_is_leaked_and_nothing_half_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
