/* SPDX-License-Identifier: MIT
 *
 * main.c - jobq_bench: every run measures the limits of the machine, then every workload. What has
 * gone wrong, and INT or TERM, end it with everything that it started. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

static struct deployment deployed; /* of the workload that runs; stopped whatever happens */

static const struct {
    const char *name;
    void (*run)(struct deployment *d, const struct bench_settings *settings);
} workloads[] = {
#define WORKLOAD(name, help) { #name, bench_##name },
#include "tests/bench/workloads.def"
};

/* ---- what all parts use ---- */

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double bench_us_since(uint64_t start_ns)
{
    return (double)(bench_now_ns() - start_ns) / 1e3;
}

void bench_pause_ms(long ms)
{
    const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    nanosleep(&pause, NULL);
}

void *bench_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory)
        bench_fail("out of memory");
    return memory;
}

/* Any thread. The first one cleans up; others wait here for the end. */
void bench_fail(const char *format, ...)
{
    static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
    va_list args;

    pthread_mutex_lock(&first);
    fputs("jobq_bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    deployment_stop(&deployed);
    fflush(stdout);
    _Exit(1);
}

/* ---- all of it ---- */

static void *signal_main(void *arg)
{
    int number;

    sigwait(arg, &number);
    bench_fail("ended by signal %d", number);
}

static void start_signals(void)
{
    static sigset_t signals;
    pthread_t thread;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, signal_main, &signals) != 0 || pthread_detach(thread) != 0)
        bench_fail("no thread for signals");
}

static void run_workloads(const struct bench_settings *settings)
{
    const bool memory = settings->deployment.memory || settings->durability == JQ_DURABILITY_MEMORY;

    for (long i = 0; i < settings->runs; i++) {
        bench_limits(settings->deployment.directory);
        for (size_t n = 0; n < sizeof workloads / sizeof *workloads; n++)
            if (bench_is_wanted(settings, workloads[n].name))
                workloads[n].run(&deployed, settings);
    }
    if (settings->json) {
        printf("{\n  \"jobq_bench\": 1,\n");
        bench_print_json_settings(settings);
        bench_print_json_figures(memory);
        printf("}\n");
        return;
    }
    printf("%ld jobs, %ld producer%s, queues %s, %s, %ld runs\n\n", settings->jobs,
           settings->producers, settings->producers == 1 ? "" : "s",
           bench_durability_name(settings),
           settings->deployment.memory ? "no store" : "SQLite store", settings->runs);
    bench_print_table(memory);
}

int main(int argc, char **argv)
{
    struct bench_settings settings = {
        .deployment = { .jobqd = BENCH_JOBQD,
                        .worker = BENCH_WORKER,
                        .jobq = BENCH_JOBQ,
                        .directory = "/tmp",
                        .slots = 8 },
        .jobs = 200000,
        .backlog = 1000000,
        .queues = 10000,
        .sessions = 1000,
        .producers = 1,
        .idle_workers = 100,
        .idle_seconds = 10,
        .runs = 5,
    };

    bench_settings_parse(argc, argv, &settings);
    start_signals();
    if (settings.curve)
        bench_curve(&deployed, &settings);
    else
        run_workloads(&settings);
    return fflush(stdout) == 0 ? 0 : 1;
}
