/* SPDX-License-Identifier: MIT
 *
 * test_handlers.c - what may become a handler, and what a worker says to what may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "worker/handlers.h"

static struct jq_handlers *handlers;
static struct jq_detail detail;

static int setup(void **state)
{
    (void)state;
    detail.text[0] = '\0';
    handlers = jq_handlers_new();
    return handlers != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    jq_handlers_free(&handlers);
    return 0;
}

static int run_nothing(struct jobq_call *call, void *state)
{
    (void)call;
    (void)state;
    return 0;
}

static struct jobq_plugin plugin_of(const struct jobq_handler *list, size_t count)
{
    return (struct jobq_plugin){ JOBQ_HANDLER_ABI, sizeof *list, count, list };
}

static void assert_refused(enum jq_err expected, enum jq_err got, const char *text)
{
    const size_t before = handlers->count;
    assert_int_equal(got, expected);
    assert_int_equal(handlers->count, before);
    if (strstr(detail.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, detail.text);
}

static void built_in_handlers_are_found_and_no_others(void **state)
{
    (void)state;
    assert_true(jq_handlers_find(handlers, jq_view_str("noop"))->quick);
    assert_false(jq_handlers_find(handlers, jq_view_str("echo"))->quick);
    assert_null(jq_handlers_find(handlers, jq_view_str("noo")));
    assert_null(jq_handlers_find(handlers, jq_view_str("")));
    assert_null(jq_handlers_find(handlers, jq_view_str("exec")));
}

static void a_plugin_made_with_a_larger_handler_is_read_by_its_own_size(void **state)
{
    (void)state;
    static const struct later {
        struct jobq_handler now;
        uint64_t more[3];
    } list[] = {
        { { "one", NULL, run_nothing, NULL, NULL, 0 }, { 1, 2, 3 } },
        { { "two", NULL, run_nothing, NULL, NULL, 0 }, { 4, 5, 6 } },
    };
    const struct jobq_plugin plugin = { JOBQ_HANDLER_ABI, sizeof list[0], 2, &list[0].now };
    assert_int_equal(jq_handlers_add(handlers, &plugin, "test", &detail), JQ_OK);
    assert_non_null(jq_handlers_find(handlers, jq_view_str("one")));
    assert_non_null(jq_handlers_find(handlers, jq_view_str("two")));
}

static void all_handlers_of_a_plugin_are_taken_or_none(void **state)
{
    (void)state;
    const char *const taken[] = { "one", "noop", "exec", "item", "", "a b" };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        const size_t before = handlers->count;
        const struct jobq_handler list[] = {
            { "one", NULL, run_nothing, NULL, NULL, 0 },
            { taken[i], NULL, run_nothing, NULL, NULL, 0 },
        };
        const struct jobq_plugin plugin = plugin_of(list, 2);
        const enum jq_err err = jq_handlers_add(handlers, &plugin, "test", &detail);
        assert_int_equal(err, i < 4 ? JQ_EEXIST : JQ_EINVAL);
        assert_int_equal(handlers->count, before);
        assert_null(jq_handlers_find(handlers, jq_view_str("one")));
    }
}

static void flags_and_gaps_that_are_not_known_are_refused(void **state)
{
    (void)state;
    const struct jobq_handler list[] = {
        { "one", NULL, run_nothing, NULL, NULL, 1 },
        { "one", NULL, NULL, NULL, NULL, 0 },
        { NULL, NULL, run_nothing, NULL, NULL, 0 },
    };
    for (size_t i = 0; i < 3; i++) {
        const struct jobq_plugin plugin = plugin_of(&list[i], 1);
        assert_refused(JQ_EINVAL, jq_handlers_add(handlers, &plugin, "test", &detail), "test: ");
    }
    const struct jobq_plugin none = plugin_of(list, 0);
    assert_refused(JQ_EINVAL, jq_handlers_add(handlers, &none, "test", &detail), "no handlers");
}

static void there_are_so_many_handlers_at_most(void **state)
{
    (void)state;
    static char names[JQ_HANDLERS_MAX][16];
    enum jq_err err = JQ_OK;
    for (size_t i = 0; i < JQ_HANDLERS_MAX && err == JQ_OK; i++) {
        (void)snprintf(names[i], sizeof names[i], "handler-%zu", i);
        const struct jobq_handler one = { names[i], NULL, run_nothing, NULL, NULL, 0 };
        const struct jobq_plugin plugin = plugin_of(&one, 1);
        err = jq_handlers_add(handlers, &plugin, "test", &detail);
    }
    assert_int_equal(err, JQ_ENOSPC);
    assert_int_equal(handlers->count, JQ_HANDLERS_MAX);
    assert_non_null(strstr(detail.text, "more than 256 handlers"));
}

static void a_plugin_is_loaded_from_its_file(void **state)
{
    (void)state;
    assert_int_equal(jq_handlers_load(handlers, JQ_TEST_THINGS, &detail), JQ_OK);
    assert_string_equal(jq_handlers_find(handlers, jq_view_str("area"))->from, JQ_TEST_THINGS);
    assert_refused(JQ_EEXIST, jq_handlers_load(handlers, JQ_TEST_THINGS, &detail),
                   "there is a handler \"area\" already: " JQ_TEST_THINGS);
}

static void what_is_no_plugin_is_told_from_what_is_none_of_ours(void **state)
{
    (void)state;
    assert_refused(JQ_ENOENT, jq_handlers_load(handlers, "./no-such-file.so", &detail),
                   "plug-in not loaded: ./no-such-file.so: cannot open");
    assert_refused(JQ_ENOENT, jq_handlers_load(handlers, JQ_TEST_TEXT, &detail), JQ_TEST_TEXT);
    assert_refused(JQ_EINVAL, jq_handlers_load(handlers, JQ_TEST_NO_SYMBOL, &detail),
                   "not a plug-in: it has no symbol jobq_plugin");
    assert_refused(JQ_EVERSION, jq_handlers_load(handlers, JQ_TEST_ABI, &detail),
                   "version 99 of the handlers' ABI; this worker has 1");
    assert_refused(JQ_EEXIST, jq_handlers_load(handlers, JQ_TEST_TAKEN, &detail),
                   "there is a handler \"sleep\" already: built in");
    assert_refused(JQ_EINVAL, jq_handlers_load(handlers, JQ_TEST_NAME, &detail), "\"o d d\"");
}

static void without_memory_there_are_no_handlers(void **state)
{
    (void)state;
    (void)jq_alloc_fail_after(0, 0);
    struct jq_handlers *none = jq_handlers_new();
    (void)jq_alloc_fail_after(-1, 0);
    assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(built_in_handlers_are_found_and_no_others),
        TEST(a_plugin_made_with_a_larger_handler_is_read_by_its_own_size),
        TEST(all_handlers_of_a_plugin_are_taken_or_none),
        TEST(flags_and_gaps_that_are_not_known_are_refused),
        TEST(there_are_so_many_handlers_at_most),
        TEST(a_plugin_is_loaded_from_its_file),
        TEST(what_is_no_plugin_is_told_from_what_is_none_of_ours),
        TEST(without_memory_there_are_no_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
