/* SPDX-License-Identifier: MIT
 *
 * curve.c - jobs per second against one quantity, all else as it is: the table behind a curve. */
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { POINTS_MAX = 6, BYTES_MAX = 256 << 20 };

struct curve {
    const char *name, *what;
    size_t values[POINTS_MAX]; /* to the first 0 */
};

static const struct curve curves[] = {
    { "queues", "queues", { 1, 10, 100, 1000, 10000 } },
    { "workers", "workers", { 1, 10, 100, 1000 } },
    { "producers", "producers", { 1, 2, 4, 8, 16 } },
    { "payload", "bytes", { 100, 1 << 10, 10 << 10, 100 << 10, 1 << 20 } },
    { "backlog", "jobs queued", { 1000, 10000, 100000, 1000000, 10000000 } },
};

struct measured {
    struct bench_samples submit, drain;
};

static const struct curve *find(const char *name)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(curves[i].name, name) == 0)
            return &curves[i];
    bench_fail("no curve is called %s", name);
}

static struct bench_point point_at(const struct curve *curve, const struct bench_settings *settings,
                                   size_t value)
{
    struct bench_point point = { .sessions = 0 };

    bench_load_init(&point.load, settings);
    if (strcmp(curve->name, "queues") == 0)
        point.load.queues = value;
    else if (strcmp(curve->name, "workers") == 0)
        point.sessions = value;
    else if (strcmp(curve->name, "producers") == 0)
        point.load.producers = value;
    else if (strcmp(curve->name, "payload") == 0)
        point.load.payload = value;
    else
        point.backlog = value;
    if (point.load.jobs > BYTES_MAX / point.load.payload)
        point.load.jobs = BYTES_MAX / point.load.payload;
    return point;
}

/* A curve of queues, sessions or the backlog ends where the settings say. */
static size_t count_points(const struct curve *curve, const struct bench_settings *settings)
{
    size_t most = SIZE_MAX, count = 0;

    if (strcmp(curve->name, "queues") == 0)
        most = (size_t)settings->queues;
    else if (strcmp(curve->name, "workers") == 0)
        most = (size_t)settings->sessions;
    else if (strcmp(curve->name, "backlog") == 0)
        most = (size_t)settings->backlog;
    while (count < POINTS_MAX && curve->values[count] && curve->values[count] <= most)
        count++;
    return count;
}

/* ---- printing ---- */

static void print_rate(const struct bench_samples *samples)
{
    const struct bench_summary s = bench_summarize(samples);

    bench_print_number(s.median, 11);
    bench_print_number(s.least, 11);
    bench_print_number(s.most, 11);
}

static void print_table(const struct curve *curve, const struct bench_settings *settings,
                        const struct measured *measured, size_t count)
{
    printf("%ld jobs, queues %s, %ld runs; jobs/s\n\n%12s %11s %11s %11s %11s %11s %11s\n",
           settings->jobs, bench_durability_name(settings), settings->runs, curve->what, "submit",
           "least", "most", "drain", "least", "most");
    for (size_t i = 0; i < count; i++) {
        printf("%12zu", curve->values[i]);
        print_rate(&measured[i].submit);
        print_rate(&measured[i].drain);
        putchar('\n');
    }
    fputs("\nlimits of the machine, in the same runs:\n", stdout);
    bench_print_table(false);
}

static void print_json(const struct curve *curve, const struct bench_settings *settings,
                       const struct measured *measured, size_t count)
{
    printf("{\n  \"jobq_bench\": 1,\n");
    bench_print_json_settings(settings);
    printf("  \"curve\": \"%s\",\n  \"points\": [", curve->name);
    for (size_t i = 0; i < count; i++) {
        printf("%s\n    {\"value\": %zu, \"submit\": ", i ? "," : "", curve->values[i]);
        bench_print_json_samples(&measured[i].submit, "jobs/s");
        fputs("}, \"drain\": ", stdout);
        bench_print_json_samples(&measured[i].drain, "jobs/s");
        fputs("}}", stdout);
    }
    printf("\n  ],\n");
    bench_print_json_figures(false);
    printf("}\n");
}

void bench_curve(struct deployment *d, const struct bench_settings *settings)
{
    const struct curve *curve = find(settings->curve);
    const size_t count = count_points(curve, settings);
    static struct measured measured[POINTS_MAX];

    for (long run = 0; run < settings->runs; run++) {
        bench_limits(settings->deployment.directory);
        for (size_t i = 0; i < count; i++) {
            const struct bench_point point = point_at(curve, settings, curve->values[i]);
            const struct bench_rates rates = bench_measure(d, settings, &point);
            bench_sample(&measured[i].submit, rates.submit);
            bench_sample(&measured[i].drain, rates.drain);
        }
    }
    if (settings->json)
        print_json(curve, settings, measured, count);
    else
        print_table(curve, settings, measured, count);
}
