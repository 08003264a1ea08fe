/* SPDX-License-Identifier: MIT
 *
 * test_figures.c - medians, spreads and percentiles of what jobq bench measures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/cli/figures.h"

static struct jq_figure figure_of(const double *samples, size_t count)
{
    struct jq_figure figure = { .name = "f" };

    for (size_t i = 0; i < count; i++)
        jq_figure_add(&figure, samples[i]);
    return figure;
}

static void assert_spread(const struct jq_figure *figure, double median, double least, double most)
{
    const struct jq_spread spread = jq_figure_spread(figure);

    assert_float_equal(spread.median, median, 0);
    assert_float_equal(spread.least, least, 0);
    assert_float_equal(spread.most, most, 0);
}

static void the_median_is_the_middle_or_between_the_two(void **state)
{
    const double samples[] = { 9, 1, 5, 3 };
    (void)state;

    const struct jq_figure none = figure_of(samples, 0), one = figure_of(samples, 1),
                           three = figure_of(samples, 3), four = figure_of(samples, 4);
    assert_spread(&none, 0, 0, 0);
    assert_spread(&one, 9, 9, 9);
    assert_spread(&three, 5, 1, 9);
    assert_spread(&four, 4, 1, 9);
    assert_float_equal(four.samples[0], 9, 0); /* the order of the runs stays */
}

static void more_runs_than_fit_are_left_out(void **state)
{
    struct jq_figure figure = { .name = "f" };
    (void)state;

    for (int i = 0; i < JQ_RUNS_MAX + 5; i++)
        jq_figure_add(&figure, i);
    assert_int_equal(figure.count, JQ_RUNS_MAX);
    assert_spread(&figure, (JQ_RUNS_MAX - 1) / 2.0, 0, JQ_RUNS_MAX - 1);
}

static void a_percentile_is_one_of_the_samples(void **state)
{
    double samples[100], one[] = { 7 };
    (void)state;

    for (int i = 0; i < 100; i++)
        samples[i] = 100 - i;
    assert_float_equal(jq_percentile(samples, 100, 50), 51, 0);
    assert_float_equal(jq_percentile(samples, 100, 99), 100, 0);
    assert_float_equal(jq_percentile(samples, 100, 100), 100, 0);
    assert_float_equal(jq_percentile(one, 1, 99), 7, 0);
    assert_float_equal(jq_percentile(one, 0, 50), 0, 0);
}

static void a_word_of_a_list_is_whole(void **state)
{
    (void)state;

    assert_true(jq_in_list("items,latency", "items"));
    assert_true(jq_in_list("items,latency", "latency"));
    assert_false(jq_in_list("items,latency", "item"));
    assert_false(jq_in_list("item_latency", "latency"));
    assert_false(jq_in_list("items", ""));
    assert_true(jq_in_list("items,", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_is_the_middle_or_between_the_two),
        cmocka_unit_test(more_runs_than_fit_are_left_out),
        cmocka_unit_test(a_percentile_is_one_of_the_samples),
        cmocka_unit_test(a_word_of_a_list_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
