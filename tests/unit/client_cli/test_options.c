/* SPDX-License-Identifier: MIT
 *
 * test_options.c - what is a flag, what a word, and where the command of a job begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/options.h"
#include "proto/base/alloc.h"

struct values {
    bool quiet;
    const char *name;
    int64_t number, size, time;
    struct jq_words list;
};

static const struct jq_flag flags[] = {
    { "quiet", 'q', JQ_FLAG_BOOL, offsetof(struct values, quiet), 0, 0, NULL, "" },
    { "name", 'n', JQ_FLAG_STRING, offsetof(struct values, name), 0, 0, "NAME", "" },
    { "number", 'N', JQ_FLAG_INT, offsetof(struct values, number), -5, 5, "N", "" },
    { "size", 0, JQ_FLAG_SIZE, offsetof(struct values, size), 0, 1 << 20, "SIZE", "" },
    { "time", 0, JQ_FLAG_DURATION, offsetof(struct values, time), 0, 100000, "TIME", "" },
    { "env", 'e', JQ_FLAG_LIST, offsetof(struct values, list), 0, 0, "V", "" },
};

struct fixture {
    struct values values;
    struct jq_words words;
    struct jq_detail detail;
};

static enum jq_err parse(struct fixture *f, enum jq_word_rule rule, int argc, char **argv)
{
    const struct jq_flags table = { flags, sizeof flags / sizeof *flags, &f->values };
    const struct jq_options options = { &table, 1, rule };

    memset(f, 0, sizeof *f);
    return jq_options_parse(&options, argc, argv, &f->words, &f->detail);
}

static void fini(struct fixture *f)
{
    jq_words_fini(&f->words);
    jq_words_fini(&f->values.list);
}

#define PARSE(f, rule, ...)                                                         \
    parse(f, rule, (int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), \
          (char **)(uintptr_t)(const char *[]){ __VA_ARGS__ })

static void flags_stand_anywhere_among_words(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(PARSE(&f, JQ_WORDS_MIXED, "3", "--name", "x", "4", "-q", "--", "-n"), JQ_OK);
    assert_true(f.values.quiet);
    assert_string_equal(f.values.name, "x");
    assert_int_equal(f.words.count, 3);
    assert_string_equal(f.words.list[2], "-n");
    fini(&f);
}

static void the_first_word_begins_a_command_and_the_rest_is_its_own(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(PARSE(&f, JQ_WORDS_FIRST, "-q", "ls", "-n", "--", "--name", ""), JQ_OK);
    assert_int_equal(f.words.count, 5);
    assert_string_equal(f.words.list[1], "-n");
    assert_string_equal(f.words.list[2], "--");
    assert_string_equal(f.words.list[4], "");
    assert_null(f.values.name);
    fini(&f);
}

static void two_dashes_begin_a_command_that_looks_like_a_flag(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(PARSE(&f, JQ_WORDS_FIRST, "--", "-q", "--"), JQ_OK);
    assert_int_equal(f.words.count, 2);
    assert_string_equal(f.words.list[0], "-q");
    assert_false(f.values.quiet);
    fini(&f);
}

static void words_are_never_copied(void **state)
{
    char word[] = "\xff\n *";
    char *argv[] = { word };
    struct fixture f;
    (void)state;

    assert_int_equal(parse(&f, JQ_WORDS_FIRST, 1, argv), JQ_OK);
    assert_ptr_equal(f.words.list[0], word);
    fini(&f);
}

static void values_come_attached_or_next(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(PARSE(&f, JQ_WORDS_MIXED, "--name=a=b", "-N-3", "-qe", "x", "-ey", "--size",
                           "64K", "--time=1.5s"),
                     JQ_OK);
    assert_string_equal(f.values.name, "a=b");
    assert_int_equal(f.values.number, -3);
    assert_int_equal(f.values.size, 65536);
    assert_int_equal(f.values.time, 1500);
    assert_int_equal(f.values.list.count, 2);
    assert_string_equal(f.values.list.list[1], "y");
    fini(&f);
}

static void a_single_dash_is_a_word(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(PARSE(&f, JQ_WORDS_MIXED, "-"), JQ_OK);
    assert_int_equal(f.words.count, 1);
    fini(&f);
}

static void bad_flags_are_refused_with_what_is_wrong(void **state)
{
    static const struct {
        const char *argv[2];
        int argc;
        const char *text;
    } cases[] = {
        { { "--nmae", "x" }, 2, "did you mean --name" },
        { { "--zzzzzzzz" }, 1, "unknown flag" },
        { { "-z" }, 1, "unknown flag -z" },
        { { "--name" }, 1, "needs NAME" },
        { { "-n" }, 1, "needs NAME" },
        { { "--quiet=1" }, 1, "takes no value" },
        { { "--number", "6" }, 2, "within -5 and 5" },
        { { "--number", "" }, 2, "whole number" },
        { { "--number", "1x" }, 2, "whole number" },
        { { "--number", " 1" }, 2, "whole" },
        { { "--size", "1Q" }, 2, "not a size" },
        { { "--time", "-1s" }, 2, "not a duration" },
        { { "--number", "99999999999999999999" }, 2, "whole number" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        char **argv = (char **)(uintptr_t)cases[i].argv;
        assert_int_equal(parse(&f, JQ_WORDS_MIXED, cases[i].argc, argv), JQ_EINVAL);
        if (!strstr(f.detail.text, cases[i].text))
            fail_msg("%s: %s", cases[i].text, f.detail.text);
        fini(&f);
    }
}

static void out_of_memory_is_an_error(void **state)
{
    struct fixture f;
    (void)state;

    jq_alloc_fail_after(0, 1);
    const enum jq_err err = PARSE(&f, JQ_WORDS_MIXED, "word");
    jq_alloc_fail_after(-1, 0);
    assert_int_equal(err, JQ_ENOMEM);
    fini(&f);
}

static void the_nearest_name_is_found_when_one_is_near(void **state)
{
    static const char *const names[] = { "submit", "run", "wait", "ls", "logs", "cancel" };
    (void)state;

    assert_string_equal(jq_nearest("sumbit", names, 6), "submit");
    assert_string_equal(jq_nearest("cancle", names, 6), "cancel");
    assert_string_equal(jq_nearest("log", names, 6), "logs");
    assert_string_equal(jq_nearest("wiat", names, 6), "wait");
    assert_null(jq_nearest("frobnicate", names, 6));
    assert_null(jq_nearest("", names, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_anywhere_among_words),
        cmocka_unit_test(the_first_word_begins_a_command_and_the_rest_is_its_own),
        cmocka_unit_test(two_dashes_begin_a_command_that_looks_like_a_flag),
        cmocka_unit_test(words_are_never_copied),
        cmocka_unit_test(values_come_attached_or_next),
        cmocka_unit_test(a_single_dash_is_a_word),
        cmocka_unit_test(bad_flags_are_refused_with_what_is_wrong),
        cmocka_unit_test(out_of_memory_is_an_error),
        cmocka_unit_test(the_nearest_name_is_found_when_one_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
