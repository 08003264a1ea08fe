/* SPDX-License-Identifier: MIT
 *
 * payload.c - jobs and bytes per second, of payloads from 100 bytes to 1 MiB. */
#include <stdio.h>

#include "tests/bench/bench.h"

enum { BYTES_MAX = 256 << 20 }; /* of all jobs of a size */

static const struct {
    const char *name;
    size_t bytes;
} sizes[] = {
    { "100", 100 },        { "1k", 1 << 10 }, { "10k", 10 << 10 },
    { "100k", 100 << 10 }, { "1m", 1 << 20 },
};

static void add(const char *size, const char *what, double rate, size_t bytes)
{
    char name[64];

    snprintf(name, sizeof name, "payload_%s_%s", size, what);
    bench_add(name, rate);
    snprintf(name, sizeof name, "payload_%s_%s_mb", size, what);
    bench_add(name, rate * (double)bytes / 1e6);
}

void bench_payload(struct deployment *d, const struct bench_settings *settings)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct bench_point point = { .sessions = 0 };
        bench_load_init(&point.load, settings);
        point.load.payload = sizes[i].bytes;
        if (point.load.jobs > BYTES_MAX / sizes[i].bytes)
            point.load.jobs = BYTES_MAX / sizes[i].bytes;
        const struct bench_rates rates = bench_measure(d, settings, &point);
        add(sizes[i].name, "submit", rates.submit, sizes[i].bytes);
        add(sizes[i].name, "drain", rates.drain, sizes[i].bytes);
    }
}
