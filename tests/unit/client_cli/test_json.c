/* SPDX-License-Identifier: MIT
 *
 * test_json.c - the JSON that scripts rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "client/cli/format_json.h"
#include "proto/base/alloc.h"

struct capture {
    char *text;
    size_t size;
    FILE *out;
};

static void open_capture(struct capture *c)
{
    *c = (struct capture){ 0 };
    c->out = open_memstream(&c->text, &c->size);
    assert_non_null(c->out);
}

static json_t *read_capture(struct capture *c)
{
    json_error_t error;

    fclose(c->out);
    json_t *json = json_loads(c->text, 0, &error);
    if (!json)
        fail_msg("%s: %s", error.text, c->text);
    free(c->text);
    return json;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

static struct jq_result sample(void)
{
    return (struct jq_result){
        .id = UINT64_MAX - 1,
        .state = JQ_FAILED,
        .code = 7,
        .reason = jq_view_str("a\xff"),
        .worker = jq_view_str("w1"),
        .created_at = INT64_C(1709251199123456789),
    };
}

static void a_result_is_one_object_of_a_list(void **state)
{
    const struct jq_result result = sample();
    struct jq_json_list list;
    struct capture c;
    (void)state;

    open_capture(&c);
    jq_json_start(&list, c.out, false);
    jq_json_result(&list, &result);
    jq_json_result(&list, &result);
    assert_true(jq_json_end(&list));
    json_t *array = read_capture(&c), *one = json_array_get(array, 1);
    assert_int_equal(json_array_size(array), 2);
    assert_string_equal(text_of(one, "id"), "18446744073709551614");
    assert_string_equal(text_of(one, "state"), "failed");
    assert_string_equal(text_of(one, "outcome"), "failed");
    assert_int_equal(json_integer_value(json_object_get(one, "exit_code")), 7);
    assert_string_equal(text_of(one, "reason"), "a\xef\xbf\xbd");
    assert_string_equal(text_of(one, "created_at"), "2024-02-29T23:59:59.123456Z");
    assert_true(json_integer_value(json_object_get(one, "created_at_ns")) ==
                INT64_C(1709251199123456789));
    assert_true(json_is_null(json_object_get(one, "ended_at")));
    assert_null(json_object_get(one, "error"));
    json_decref(array);
}

static void lines_are_one_object_each(void **state)
{
    const struct jq_result result = sample();
    struct jq_json_list list;
    struct capture c;
    (void)state;

    open_capture(&c);
    jq_json_start(&list, c.out, true);
    jq_json_result(&list, &result);
    jq_json_result(&list, &result);
    assert_true(jq_json_end(&list));
    fclose(c.out);
    char *end = strchr(c.text, '\n');
    assert_non_null(end);
    assert_int_equal((end + 1 - c.text) * 2, c.size);
    assert_int_equal(c.text[0], '{');
    free(c.text);
}

static void an_empty_list_is_an_empty_array(void **state)
{
    struct jq_json_list list;
    struct capture c;
    (void)state;

    open_capture(&c);
    jq_json_start(&list, c.out, false);
    assert_true(jq_json_end(&list));
    json_t *array = read_capture(&c);
    assert_int_equal(json_array_size(array), 0);
    json_decref(array);
}

static void an_unknown_job_has_the_name_of_its_error(void **state)
{
    const struct jq_job_info info = { .id = 5, .error = JQ_ENOENT };
    struct jq_json_list list;
    struct capture c;
    (void)state;

    open_capture(&c);
    jq_json_start(&list, c.out, true);
    jq_json_job_info(&list, &info);
    assert_true(jq_json_end(&list));
    json_t *one = read_capture(&c);
    assert_string_equal(text_of(one, "error"), "ENOENT");
    assert_null(json_object_get(one, "outcome"));
    json_decref(one);
}

static void an_error_is_an_object_in_an_object(void **state)
{
    struct capture c;
    (void)state;

    open_capture(&c);
    assert_true(jq_json_error(c.out, "EUNREACH", "no \"broker\"\n"));
    json_t *object = read_capture(&c), *error = json_object_get(object, "error");
    assert_string_equal(text_of(error, "code"), "EUNREACH");
    assert_string_equal(text_of(error, "message"), "no \"broker\"\n");
    json_decref(object);
}

static void out_of_memory_is_said_at_the_end(void **state)
{
    const struct jq_result result = sample();
    struct jq_json_list list;
    struct capture c;
    (void)state;

    open_capture(&c);
    jq_json_start(&list, c.out, false);
    jq_alloc_fail_after(0, 1);
    jq_json_result(&list, &result);
    assert_false(jq_json_end(&list));
    assert_false(jq_json_close(jq_json_open(), c.out));
    jq_alloc_fail_after(-1, 0);
    fclose(c.out);
    assert_int_equal(c.size, 0);
    free(c.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_one_object_of_a_list),
        cmocka_unit_test(lines_are_one_object_each),
        cmocka_unit_test(an_empty_list_is_an_empty_array),
        cmocka_unit_test(an_unknown_job_has_the_name_of_its_error),
        cmocka_unit_test(an_error_is_an_object_in_an_object),
        cmocka_unit_test(out_of_memory_is_said_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
