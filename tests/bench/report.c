/* SPDX-License-Identifier: MIT
 *
 * report.c - figures: medians and spread beside their limits, as a table or JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { TERMS_MAX = 4 };

struct figure {
    const char *name, *title, *unit;
    const char *durable, *memory; /* formulas of its limits */
    struct bench_samples samples;
};

static struct figure figures[] = {
#define FIGURE(name, title, unit, durable, memory) \
    { #name, title, unit, durable, memory, { { 0 }, 0 } },
#include "tests/bench/figures.def"
};
enum { FIGURE_COUNT = sizeof figures / sizeof *figures };

static struct figure *find(const char *name, size_t size)
{
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        if (strlen(figures[i].name) == size && memcmp(figures[i].name, name, size) == 0)
            return &figures[i];
    bench_fail("no figure is called %.*s", (int)size, name);
}

/* ---- samples ---- */

void bench_sample(struct bench_samples *samples, double value)
{
    if (samples->count < RUNS_MAX)
        samples->all[samples->count++] = value;
}

void bench_add(const char *name, double sample)
{
    bench_sample(&find(name, strlen(name))->samples, sample);
}

void bench_add_percentiles(const char *name, double *samples, size_t count)
{
    char full[64];

    bench_sort(samples, count);
    snprintf(full, sizeof full, "%s_p50", name);
    bench_add(full, samples[count / 2]);
    snprintf(full, sizeof full, "%s_p99", name);
    bench_add(full, samples[count * 99 / 100]);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, compare);
}

struct bench_summary bench_summarize(const struct bench_samples *samples)
{
    struct bench_samples s = *samples;
    const size_t middle = s.count / 2;

    if (s.count == 0)
        return (struct bench_summary){ 0, 0, 0 };
    bench_sort(s.all, s.count);
    const double median = s.count % 2 ? s.all[middle] : (s.all[middle - 1] + s.all[middle]) / 2;
    return (struct bench_summary){ median, s.all[0], s.all[s.count - 1] };
}

/* ---- limits ---- */

/* In that run; 0: not measured. */
static double evaluate(const char *formula, size_t run)
{
    double sum = 0;

    for (const char *at = formula; *at;) {
        char *name;
        const long factor = strtol(at, &name, 10);
        name += strspn(name, " ");
        const size_t size = strcspn(name, " ");
        const struct figure *figure = find(name, size);
        if (run >= figure->samples.count)
            return 0;
        sum += (double)(factor ? factor : 1) * figure->samples.all[run];
        at = name + size;
        at += strspn(at, " +");
    }
    return sum;
}

/* The median over the runs: what the machine's mood does to both, it does not show. 0: none. */
static double ratio(const struct figure *figure, const char *formula)
{
    struct bench_samples ratios = { .count = 0 };

    for (size_t i = 0; i < figure->samples.count; i++) {
        const double limit = evaluate(formula, i);
        if (limit > 0)
            bench_sample(&ratios, figure->samples.all[i] / limit);
    }
    return bench_summarize(&ratios).median;
}

/* ---- the table ---- */

void bench_print_number(double value, int width)
{
    printf(" %*.*f", width, value != 0 && value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

void bench_print_table(bool memory)
{
    printf("%-42s %11s %11s %11s  %-11s  %s\n", "", "median", "least", "most", "unit", "of limit");
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        const struct figure *figure = &figures[i];
        const struct bench_summary s = bench_summarize(&figure->samples);
        const char *formula = memory ? figure->memory : figure->durable;
        const double part = ratio(figure, formula);
        if (figure->samples.count == 0)
            continue;
        printf("%-42s", figure->title);
        bench_print_number(s.median, 11);
        bench_print_number(s.least, 11);
        bench_print_number(s.most, 11);
        if (part > 0)
            printf("  %-11s  %.2f x %s\n", figure->unit, part, formula);
        else
            printf("  %s\n", figure->unit);
    }
}

/* ---- JSON ---- */

void bench_print_json_samples(const struct bench_samples *samples, const char *unit)
{
    const struct bench_summary s = bench_summarize(samples);

    printf("{\"unit\": \"%s\", \"median\": %.3f, \"least\": %.3f, \"most\": %.3f, \"samples\": [",
           unit, s.median, s.least, s.most);
    for (size_t i = 0; i < samples->count; i++)
        printf("%s%.3f", i ? ", " : "", samples->all[i]);
    fputs("]", stdout);
}

void bench_print_json_settings(const struct bench_settings *s)
{
    printf("  \"settings\": {\"jobs\": %ld, \"runs\": %ld, \"producers\": %ld, \"slots\": %d, "
           "\"durability\": \"%s\", \"store\": \"%s\", \"backlog\": %ld, \"queues\": %ld, "
           "\"sessions\": %ld, \"idle_workers\": %ld, \"idle_seconds\": %ld},\n",
           s->jobs, s->runs, s->producers, s->deployment.slots, bench_durability_name(s),
           s->deployment.memory ? "memory" : "sqlite", s->backlog, s->queues, s->sessions,
           s->idle_workers, s->idle_seconds);
}

void bench_print_json_figures(bool memory)
{
    bool first = true;

    printf("  \"figures\": {");
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        const struct figure *figure = &figures[i];
        const char *formula = memory ? figure->memory : figure->durable;
        const double part = ratio(figure, formula);
        if (figure->samples.count == 0)
            continue;
        printf("%s\n    \"%s\": ", first ? "" : ",", figure->name);
        bench_print_json_samples(&figure->samples, figure->unit);
        if (part > 0)
            printf(", \"limit\": \"%s\", \"ratio\": %.4f", formula, part);
        fputs("}", stdout);
        first = false;
    }
    printf("\n  }\n");
}
