/* SPDX-License-Identifier: MIT
 *
 * test_terms.c - from the flags of a job to its options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/terms.h"
#include "proto/base/alloc.h"

struct values {
    struct jq_terms_flags terms;
};

static const struct jq_flag flags[] = {
#define TERM(member) offsetof(struct values, terms.member)
#include "client/cli/item_flags.def"
#define TERM(member) offsetof(struct values, terms.member)
#include "client/cli/terms_flags.def"
};

struct fixture {
    struct values values;
    struct jq_terms *terms;
    struct jq_detail detail;
};

static void fini(struct fixture *f)
{
    for (size_t i = 0; i < JQ_FLAG_COUNT(flags); i++)
        if (flags[i].kind == JQ_FLAG_LIST)
            jq_words_fini((void *)((char *)&f->values + flags[i].offset));
    jq_terms_free(f->terms);
}

/* `line`: flags and values between blanks. */
static enum jq_err read_line(struct fixture *f, char *line)
{
    const struct jq_flags table = { flags, JQ_FLAG_COUNT(flags), &f->values };
    const struct jq_options options = { &table, 1, JQ_WORDS_MIXED };
    struct jq_words words = { 0 };
    char *argv[64], *rest = line;
    int argc = 0;

    *f = (struct fixture){ .values = { JQ_TERMS_FLAGS_INIT } };
    for (char *word; (word = strtok_r(rest, " ", &rest)) && argc < 64;)
        argv[argc++] = word;
    enum jq_err err = jq_options_parse(&options, argc, argv, &words, &f->detail);
    jq_words_fini(&words);
    if (err == JQ_OK)
        err = jq_terms_read(&f->values.terms, INT64_C(5000000000), &f->terms, &f->detail);
    return err;
}

#define READ(f, text) read_line(f, (char[]){ text })

static void a_job_without_terms_has_no_options(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(READ(&f, "--nowait --delay 0"), JQ_OK);
    assert_true(f.terms->is_plain);
    assert_int_equal(jq_terms_put_timeout(&f.values.terms), 0);
    fini(&f);
    assert_int_equal(READ(&f, "--put-timeout 2s"), JQ_OK);
    assert_true(f.terms->is_plain);
    assert_int_equal(jq_terms_put_timeout(&f.values.terms), 2000);
    fini(&f);
    assert_int_equal(READ(&f, ""), JQ_OK);
    assert_int_equal(jq_terms_put_timeout(&f.values.terms), -1);
    fini(&f);
}

static void times_and_retries_are_numbers(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(READ(&f, "--delay 2s --expires 1m --retries 3 --backoff exp:1s..10m "
                              "--retry-on 1,KILL --retry-on 7 --no-retry-on 2-3"),
                     JQ_OK);
    const struct jobq_job_options *o = &f.terms->options;
    assert_false(f.terms->is_plain);
    assert_int_equal(o->size, sizeof *o);
    assert_int_equal(o->delay_ms, 2000);
    assert_int_equal(o->expires_ms, 60000);
    assert_int_equal(o->attempts_max, 4);
    assert_int_equal(o->backoff_ms, 1000);
    assert_int_equal(o->backoff_max_ms, 600000);
    assert_int_equal(o->backoff_fixed, 0);
    assert_int_equal(o->retry_on_count, 3);
    assert_int_equal(o->retry_on[1].signal, 9);
    assert_int_equal(o->retry_on[2].code, 7);
    assert_int_equal(o->no_retry_on_count, 2);
    fini(&f);
    assert_int_equal(READ(&f, "--at now+1s --retries 0 --backoff fixed:5s"), JQ_OK);
    assert_true(f.terms->options.run_at == INT64_C(6000000000));
    assert_int_equal(f.terms->options.attempts_max, 1);
    assert_int_equal(f.terms->options.backoff_fixed, 1);
    fini(&f);
}

static void names_are_cut_out_of_lists(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(READ(&f, "--need gpu,big --need x --mutex a,b --limit api=5 --limit db "
                              "--label k=v=w --label e="),
                     JQ_OK);
    const struct jobq_job_options *o = &f.terms->options;
    assert_int_equal(o->needs_count, 3);
    assert_string_equal(o->needs[1], "big");
    assert_int_equal(o->mutexes_count, 2);
    assert_string_equal(o->mutexes[0], "a");
    assert_int_equal(o->limits_count, 2);
    assert_string_equal(o->limits[0].name, "api");
    assert_int_equal(o->limits[0].max, 5);
    assert_int_equal(o->limits[1].max, 0);
    assert_int_equal(o->labels_count, 2);
    assert_string_equal(o->labels[0].name, "k");
    assert_string_equal(o->labels[0].value, "v=w");
    assert_string_equal(o->labels[1].value, "");
    fini(&f);
}

static void edges_have_the_kind_of_their_flag(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(READ(&f, "--after 3-4,4 --after-any 7 --after-fail last"), JQ_OK);
    const struct jobq_job_options *o = &f.terms->options;
    assert_int_equal(o->after_count, 4);
    assert_int_equal(o->after[1].id, 4);
    assert_int_equal(o->after[1].kind, JOBQ_AFTER_OK);
    assert_int_equal(o->after[2].kind, JOBQ_AFTER_ANY);
    assert_int_equal(o->after[3].kind, JOBQ_AFTER_FAIL);
    assert_true(o->after[3].id == JQ_ID_LAST);
    assert_true(f.terms->has_last);
    fini(&f);
}

static void unique_is_while_queued_running_or_both(void **state)
{
    struct fixture f;
    (void)state;

    assert_int_equal(READ(&f, "--unique n --while running"), JQ_OK);
    assert_string_equal(f.terms->options.unique, "n");
    assert_int_equal(f.terms->options.unique_while, JOBQ_WHILE_RUNNING);
    fini(&f);
    assert_int_equal(READ(&f, "--unique n"), JQ_OK);
    assert_int_equal(f.terms->options.unique_while, 0);
    fini(&f);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    static const struct {
        const char *line, *says;
    } table[] = {
        { "--at now+1s --delay 1s", "exclude" },
        { "--delay 2s --expires 2s", "never start" },
        { "--nowait --put-timeout 1s", "exclude" },
        { "--while both", "needs --unique" },
        { "--unique x --while now", "queued, running or both" },
        { "--at noon", "no time" },
        { "--backoff 5s", "no backoff" },
        { "--retry-on ok", "no way to fail" },
        { "--after x", "names no job" },
        { "--after -", "names no job" },
        { "--label k", "NAME=VALUE" },
        { "--label =v", "NAME=VALUE" },
        { "--need a,,b", "missing" },
        { "--mutex a,", "missing" },
        { "--limit a=0", "no limit" },
        { "--after 1-1025", "more than 1024" },
        { "--mutex a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "more than 16" },
        { "--retries -1", "not within" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fixture f;
        char line[128];
        snprintf(line, sizeof line, "%s", table[i].line);
        if (read_line(&f, line) != JQ_EINVAL || !strstr(f.detail.text, table[i].says))
            fail_msg("%s: %s", table[i].line, f.detail.text);
        fini(&f);
    }
}

static void out_of_memory_is_an_error(void **state)
{
    enum jq_err err = JQ_ENOMEM;
    (void)state;

    for (int after = 0; err != JQ_OK; after++) {
        struct fixture f;
        jq_alloc_fail_after(after, 1);
        err = READ(&f, "--after 1,2 --need gpu --label a=b");
        jq_alloc_fail_after(-1, 0);
        assert_true(err == JQ_OK || err == JQ_ENOMEM);
        fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_without_terms_has_no_options),
        cmocka_unit_test(times_and_retries_are_numbers),
        cmocka_unit_test(names_are_cut_out_of_lists),
        cmocka_unit_test(edges_have_the_kind_of_their_flag),
        cmocka_unit_test(unique_is_while_queued_running_or_both),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
