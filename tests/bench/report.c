/* SPDX-License-Identifier: MIT
 *
 * report.c - figures: medians and spread, as a table or JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct bench_result *find(const struct bench_results *results, const char *name)
{
    for (size_t i = 0; i < results->count; i++)
        if (strcmp(results->all[i].name, name) == 0)
            return (struct bench_result *)(uintptr_t)&results->all[i];
    return NULL;
}

void bench_add(struct bench_results *results, const char *name, const char *title, const char *unit,
               double sample)
{
    struct bench_result *result = find(results, name);

    if (!result) {
        if (results->count == RESULTS_MAX)
            bench_fail("too many figures");
        result = &results->all[results->count++];
        *result = (struct bench_result){ .name = name, .title = title, .unit = unit };
    }
    if (result->count < RUNS_MAX)
        result->samples[result->count++] = sample;
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

static void sorted(const struct bench_result *result, double out[RUNS_MAX])
{
    memcpy(out, result->samples, sizeof result->samples);
    bench_sort(out, result->count);
}

double bench_median(const struct bench_results *results, const char *name)
{
    const struct bench_result *result = find(results, name);
    double samples[RUNS_MAX];

    if (!result)
        return 0;
    sorted(result, samples);
    return result->count % 2 ? samples[result->count / 2]
                             : (samples[result->count / 2 - 1] + samples[result->count / 2]) / 2;
}

static void print_ratio(const struct bench_results *results)
{
    const double sum =
        bench_median(results, "fdatasync_overwrite") + 2 * bench_median(results, "zmq_round_trip");
    const double latency = bench_median(results, "latency_p50");

    if (latency > 0 && sum > 0)
        printf("\none job, submit to result: %.2f x (one fdatasync + two ZeroMQ round trips = %.0f "
               "us)\n",
               latency / sum, sum);
}

void bench_print_table(const struct bench_results *results)
{
    printf("%-44s %12s %12s %12s  %s\n", "", "median", "least", "most", "unit");
    for (size_t i = 0; i < results->count; i++) {
        const struct bench_result *result = &results->all[i];
        double samples[RUNS_MAX];
        sorted(result, samples);
        printf("%-44s %12.0f %12.0f %12.0f  %s\n", result->title,
               bench_median(results, result->name), samples[0], samples[result->count - 1],
               result->unit);
    }
    print_ratio(results);
}

void bench_print_json(const struct bench_results *results)
{
    printf("{\n");
    for (size_t i = 0; i < results->count; i++) {
        const struct bench_result *result = &results->all[i];
        printf("  \"%s\": {\"unit\": \"%s\", \"median\": %.3f, \"samples\": [", result->name,
               result->unit, bench_median(results, result->name));
        for (size_t n = 0; n < result->count; n++)
            printf("%s%.3f", n ? ", " : "", result->samples[n]);
        printf("]}%s\n", i + 1 < results->count ? "," : "");
    }
    printf("}\n");
}
