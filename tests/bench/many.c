/* SPDX-License-Identifier: MIT
 *
 * many.c - many queues, filled in turn so that no two jobs of one follow each other; and many
 * workers, each with a few jobs at a time. */
#include "tests/bench/bench.h"

void bench_many(struct deployment *d, const struct bench_settings *settings)
{
    struct bench_point queues = { .sessions = 0 };
    struct bench_point workers = { .sessions = (size_t)settings->sessions };

    bench_load_init(&queues.load, settings);
    queues.load.queues = (size_t)settings->queues;
    const struct bench_rates over_queues = bench_measure(d, settings, &queues);
    bench_add("queues_submit", over_queues.submit);
    bench_add("queues_drain", over_queues.drain);

    bench_load_init(&workers.load, settings);
    const struct bench_rates over_workers = bench_measure(d, settings, &workers);
    bench_add("sessions_join", over_workers.join);
    bench_add("sessions_drain", over_workers.drain);
}
