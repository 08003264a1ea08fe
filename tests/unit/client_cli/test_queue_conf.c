/* SPDX-License-Identifier: MIT
 *
 * test_queue_conf.c - the settings of a queue: every flag has its bit and its member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/options.h"
#include "client/cli/queue_conf.h"

static const struct jq_flag flags[] = {
#define AT(member) offsetof(struct jq_queue_flags, member)
#include "client/cli/queue_flags.def"
};

static const struct jq_queue_flags none = {
#define WORD(member, name, FIELD, words, help) .member = NULL,
#define TEXT WORD
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) .member = -1,
#include "client/cli/queue_settings.def"
};

static enum jq_err read_words(const char *name, const char *value, struct jq_queue_conf *conf,
                              uint64_t *fields, struct jq_detail *detail)
{
    struct jq_queue_flags values = none;
    const struct jq_flags table = { flags, sizeof flags / sizeof *flags, &values };
    const struct jq_options options = { &table, 1, JQ_WORDS_MIXED };
    struct jq_words words = { 0 };
    char *argv[] = { (char *)(uintptr_t)name, (char *)(uintptr_t)value };

    enum jq_err err = jq_options_parse(&options, name ? 2 : 0, argv, &words, detail);
    jq_words_fini(&words);
    return err ? err : jq_queue_flags_read(&values, conf, fields, detail);
}

static void each_flag_sets_its_field_alone(void **state)
{
    static const struct {
        const char *name, *value;
        uint64_t field;
        size_t offset; /* of a number in queue_conf */
        uint64_t number;
    } table[] = {
#define ROW(name, value, FIELD, member, number) \
    { name, value, JQ_QUEUE_##FIELD, offsetof(struct jq_queue_conf, member), number }
        ROW("--maxsize", "7", MAXSIZE, maxsize, 7),
        ROW("--maxsize", "0", MAXSIZE, maxsize, 0),
        ROW("--durability", "full", DURABILITY, durability, JQ_DURABILITY_FULL),
        ROW("--durability", "memory", DURABILITY, durability, JQ_DURABILITY_MEMORY),
        ROW("--concurrency", "2", CONCURRENCY, concurrency, 2),
        ROW("--retries", "3", ATTEMPTS_MAX, attempts_max, 4),
        ROW("--retries", "0", ATTEMPTS_MAX, attempts_max, 1),
        ROW("--backoff", "1s", BACKOFF, backoff_ms, 1000),
        ROW("--backoff-max", "1m", BACKOFF_MAX, backoff_max_ms, 60000),
        ROW("--keep-for", "2h", KEEP, keep_ms, 7200000),
        ROW("--keep-bytes", "1M", KEEP_BYTES, keep_bytes, 1 << 20),
        ROW("--keep-count", "9", KEEP_COUNT, keep_count, 9),
        ROW("--aging", "10s", AGING, aging_ms, 10000),
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct jq_queue_conf conf;
        struct jq_detail detail = { "" };
        uint64_t fields = 0, number;
        assert_int_equal(read_words(table[i].name, table[i].value, &conf, &fields, &detail), JQ_OK);
        memcpy(&number, (char *)&conf + table[i].offset, sizeof number);
        if (fields != table[i].field || number != table[i].number)
            fail_msg("%s: fields 0x%llx, %llu", table[i].name, (unsigned long long)fields,
                     (unsigned long long)number);
    }
}

static void an_order_is_a_word(void **state)
{
    struct jq_queue_conf conf;
    struct jq_detail detail = { "" };
    uint64_t fields = 0;
    (void)state;

    assert_int_equal(read_words("--order", "priority", &conf, &fields, &detail), JQ_OK);
    assert_int_equal(fields, JQ_QUEUE_ORDER);
    assert_true(jq_view_equal(conf.order, jq_view_str("priority")));
    assert_int_equal(read_words("--order", "prio", &conf, &fields, &detail), JQ_EINVAL);
    assert_non_null(strstr(detail.text, "fifo|lifo|priority"));
    assert_int_equal(read_words("--durability", "", &conf, &fields, &detail), JQ_EINVAL);
}

static void nothing_said_sets_nothing(void **state)
{
    struct jq_queue_conf conf;
    struct jq_detail detail = { "" };
    uint64_t fields = 1;
    (void)state;

    assert_int_equal(read_words(NULL, NULL, &conf, &fields, &detail), JQ_OK);
    assert_int_equal(fields, 0);
}

/* The bits are those of the fields of queue_conf, in their order. */
static void every_field_has_a_flag(void **state)
{
    uint64_t all = 0;
    (void)state;

#define WORD(member, name, FIELD, words, help) all |= JQ_QUEUE_##FIELD;
#define TEXT WORD
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) all |= JQ_QUEUE_##FIELD;
#include "client/cli/queue_settings.def"
    assert_true(all == JQ_QUEUE_FIELDS);
}

static void settings_are_told_as_they_are_given(void **state)
{
    const struct jq_queue_conf conf = { .order = jq_view_str("lifo"),
                                        .durability = JQ_DURABILITY_RELAXED,
                                        .attempts_max = 4,
                                        .keep_bytes = 2048 };
    struct jq_buf text = { 0 };
    (void)state;

    jq_queue_conf_describe(&text, &conf);
    jq_buf_append(&text, "", 1);
    const char *said = (const char *)text.data;
    assert_non_null(strstr(said, "order        lifo\n"));
    assert_non_null(strstr(said, "durability   relaxed\n"));
    assert_non_null(strstr(said, "maxsize      unbounded\n"));
    assert_non_null(strstr(said, "retries      3\n"));
    assert_non_null(strstr(said, "keep-bytes   2.0 KiB\n"));
    jq_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flag_sets_its_field_alone),
        cmocka_unit_test(an_order_is_a_word),
        cmocka_unit_test(nothing_said_sets_nothing),
        cmocka_unit_test(every_field_has_a_flag),
        cmocka_unit_test(settings_are_told_as_they_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
