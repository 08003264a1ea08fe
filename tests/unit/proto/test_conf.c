/* SPDX-License-Identifier: MIT
 *
 * test_conf.c - the settings engine: which source wins, what is refused and in which words, and
 * that whatever is printed can be read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/conf.h"

struct values {
    bool flag;
    int64_t number, size, wait;
    const char *text;
};

#define ROW(field) offsetof(struct values, field)
static const struct jq_setting table[] = {
    { "flag", JQ_SETTING_BOOL, ROW(flag), "no", 0, 0, 'f', "A flag." },
    { "number", JQ_SETTING_INT, ROW(number), "5", -10, 100, 'n', "A number." },
    { "store.size", JQ_SETTING_SIZE, ROW(size), "1M", 0, INT64_C(1) << 40, 0, "A size." },
    { "store.wait", JQ_SETTING_DURATION, ROW(wait), "1500ms", 0, 86400000, 0, "A duration." },
    { "text_line", JQ_SETTING_STRING, ROW(text), "hello", 0, 16, 't', "A text." },
};
enum { ROWS = sizeof table / sizeof *table };

struct fixture {
    struct values values;
    struct jq_conf *conf;
    struct jq_detail detail;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ 0 };
    f.conf = jq_conf_new(table, ROWS, &f.values);
    *state = &f;
    return f.conf ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    jq_conf_free(&f->conf);
    return 0;
}

/* A file with this text that nobody else sees; the path is good until the next call. */
static const char *file_of(const char *text, int *ret_fd)
{
    static char path[64];
    *ret_fd = memfd_create("conf", MFD_CLOEXEC);
    assert_true(*ret_fd >= 0);
    assert_int_equal(write(*ret_fd, text, strlen(text)), strlen(text));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", *ret_fd);
    return path;
}

static enum jq_err read_file(struct fixture *f, const char *text)
{
    int fd = -1;
    const char *path = file_of(text, &fd);
    const enum jq_err err = jq_conf_file(f->conf, path, false, &f->detail);
    (void)close(fd);
    return err;
}

static enum jq_err read_flags(struct fixture *f, int *ret_next, const char *const *words)
{
    char *argv[16] = { (char *)(uintptr_t) "program" };
    int argc = 1;
    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    return jq_conf_flags(f->conf, argc, argv, ret_next, &f->detail);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static enum jq_err read_variable(struct fixture *f, const char *variable)
{
    char *environment[] = { (char *)(uintptr_t)variable, NULL };
    return jq_conf_environment(f->conf, environment, &f->detail);
}

static void defaults_come_from_the_table(void **state)
{
    struct fixture *f = *state;
    assert_false(f->values.flag);
    assert_int_equal(f->values.number, 5);
    assert_int_equal(f->values.size, 1 << 20);
    assert_int_equal(f->values.wait, 1500);
    assert_string_equal(f->values.text, "hello");
}

static void the_stronger_source_wins_in_whatever_order_they_are_read(void **state)
{
    struct fixture *f = *state;
    int next = 0;
    assert_int_equal(read_flags(f, &next, WORDS("--number", "1")), JQ_OK);
    assert_int_equal(read_variable(f, "JOBQ_NUMBER=2"), JQ_OK);
    assert_int_equal(read_file(f, "number = 3\nflag = on\n"), JQ_OK);
    assert_int_equal(f->values.number, 1);
    assert_int_equal(jq_conf_source(f->conf, "number"), JQ_FROM_FLAG);
    assert_true(f->values.flag);
    assert_int_equal(jq_conf_source(f->conf, "flag"), JQ_FROM_FILE);
    assert_int_equal(read_variable(f, "JOBQ_FLAG=no"), JQ_OK);
    assert_false(f->values.flag);
}

static void flags_have_all_their_forms(void **state)
{
    struct fixture *f = *state;
    int next = 0;
    assert_int_equal(
        read_flags(f, &next, WORDS("-f", "-n7", "--store-size=2G", "--text-line", "-x", "rest")),
        JQ_OK);
    assert_true(f->values.flag);
    assert_int_equal(f->values.number, 7);
    assert_int_equal(f->values.size, INT64_C(2) << 30);
    assert_string_equal(f->values.text, "-x");
    assert_int_equal(next, 6);
    assert_int_equal(read_flags(f, &next, WORDS("--flag=no", "--", "--number")), JQ_OK);
    assert_false(f->values.flag);
    assert_int_equal(next, 3);
}

static void a_section_and_a_key_make_a_name(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(read_file(f, "# comment\n[store]\nsize = 64K\nwait = 2m\n"), JQ_OK);
    assert_int_equal(f->values.size, 65536);
    assert_int_equal(f->values.wait, 120000);
}

static void a_bad_value_names_file_line_setting_value_and_bound(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(read_file(f, "flag = yes\nnumber = 101\n"), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, ":2: number: 101 is not between -10 and 100"));
    assert_int_equal(read_variable(f, "JOBQ_STORE_WAIT=soon"), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, "JOBQ_STORE_WAIT: store.wait: 'soon'"));
    assert_int_equal(read_file(f, "[store]\nnumber = 1\n"), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, ":2: unknown setting 'store.number'"));
    assert_int_equal(read_file(f, "text_line = 12345678901234567\n"), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, "longer than 16 bytes"));
    assert_int_equal(read_file(f, "what is this\n"), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, ":1: "));
    assert_int_equal(f->values.number, 5);
    assert_int_equal(f->values.wait, 1500);
    assert_string_equal(f->values.text, "hello");
}

static void a_bad_value_is_refused_although_a_stronger_source_hides_it(void **state)
{
    struct fixture *f = *state;
    int next = 0;
    assert_int_equal(read_flags(f, &next, WORDS("--number", "1")), JQ_OK);
    assert_int_equal(read_file(f, "number = many\n"), JQ_EINVAL);
    assert_int_equal(f->values.number, 1);
}

static void an_unknown_flag_names_the_nearest(void **state)
{
    struct fixture *f = *state;
    int next = 0;
    assert_int_equal(read_flags(f, &next, WORDS("--numbr", "1")), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, "did you mean --number?"));
    assert_int_equal(read_flags(f, &next, WORDS("--zzzzzzzzzz")), JQ_EINVAL);
    assert_null(strstr(f->detail.text, "did you mean"));
    assert_int_equal(read_flags(f, &next, WORDS("-z")), JQ_EINVAL);
    assert_int_equal(read_flags(f, &next, WORDS("--number")), JQ_EINVAL);
    assert_non_null(strstr(f->detail.text, "needs a value"));
}

static void a_missing_file_is_an_error_unless_it_is_optional(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(jq_conf_file(f->conf, "/nowhere/at/all", true, &f->detail), JQ_OK);
    assert_int_equal(jq_conf_file(f->conf, "/nowhere/at/all", false, &f->detail), JQ_EINVAL);
    assert_int_equal(jq_conf_file(f->conf, "/", true, &f->detail), JQ_EINVAL); /* a directory */
}

static void the_sample_is_a_file_of_defaults(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    jq_conf_sample(f->conf, out);
    (void)fclose(out);
    for (char *at = text; *at; at++) /* "#key = value", but not "# A sentence." */
        if (*at == '#' && at[1] != ' ' && (at == text || at[-1] == '\n'))
            memmove(at, at + 1, strlen(at));
    assert_int_equal(read_file(f, text), JQ_OK);
    assert_int_equal(jq_conf_source(f->conf, "store.wait"), JQ_FROM_FILE);
    assert_int_equal(f->values.wait, 1500);
    free(text);
}

static void running_out_of_memory_changes_nothing(void **state)
{
    struct fixture *f = *state;
    int next = 0;
    (void)jq_alloc_fail_after(0, 1);
    assert_int_equal(read_flags(f, &next, WORDS("--text-line", "other")), JQ_ENOMEM);
    assert_null(jq_conf_new(table, ROWS, &(struct values){ 0 }));
    (void)jq_alloc_fail_after(-1, 0);
    assert_string_equal(f->values.text, "hello");
    for (int64_t n = 0;; n++) {
        struct values values;
        (void)jq_alloc_fail_after(n, 0);
        struct jq_conf *conf = jq_conf_new(table, ROWS, &values);
        (void)jq_alloc_fail_after(-1, 0);
        if (conf) {
            jq_conf_free(&conf);
            return;
        }
    }
}

static void durations_and_sizes_are_read_as_people_write_them(void **state)
{
    static const struct {
        const char *text;
        int64_t ms, bytes; /* -1: refused */
    } cases[] = {
        { "0", 0, 0 },
        { "10", 10000, 10 },
        { "500ms", 500, -1 },
        { "1.5s", 1500, -1 },
        { "0.0005s", 0, -1 },
        { "2h", 7200000, -1 },
        { "1d", 86400000, -1 },
        { "5m", 300000, 5 << 20 },
        { "64K", -1, 65536 },
        { "1.5M", -1, 3 << 19 },
        { "2G", -1, INT64_C(2) << 30 },
        { "", -1, -1 },
        { "-1", -1, -1 },
        { " 1", -1, -1 },
        { "1 s", -1, -1 },
        { "1x", -1, -1 },
        { "1.", -1, -1 },
        { ".5", -1, -1 },
        { "1e3", -1, -1 },
        { "99999999999999999999", -1, -1 },
        { "9223372036854775807", -1, INT64_MAX },
        { "9223372036854775807d", -1, -1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1, bytes = -1;
        const enum jq_err as_ms = jq_parse_duration(cases[i].text, &ms);
        const enum jq_err as_bytes = jq_parse_size(cases[i].text, &bytes);
        assert_int_equal(as_ms, cases[i].ms < 0 ? JQ_EINVAL : JQ_OK);
        assert_int_equal(as_bytes, cases[i].bytes < 0 ? JQ_EINVAL : JQ_OK);
        assert_int_equal(ms, cases[i].ms);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_come_from_the_table),
        TEST(the_stronger_source_wins_in_whatever_order_they_are_read),
        TEST(flags_have_all_their_forms),
        TEST(a_section_and_a_key_make_a_name),
        TEST(a_bad_value_names_file_line_setting_value_and_bound),
        TEST(a_bad_value_is_refused_although_a_stronger_source_hides_it),
        TEST(an_unknown_flag_names_the_nearest),
        TEST(a_missing_file_is_an_error_unless_it_is_optional),
        TEST(the_sample_is_a_file_of_defaults),
        TEST(running_out_of_memory_changes_nothing),
        TEST(durations_and_sizes_are_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
