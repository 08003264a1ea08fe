/* SPDX-License-Identifier: MIT
 *
 * bench.h - what the parts of the benchmark share: samples, the deployment under test, the limits
 * of the machine. BENCHMARKS.md says the method. */
#ifndef JQ_TESTS_BENCH_H
#define JQ_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUNS_MAX = 64, RESULTS_MAX = 32 };

/* One figure of one workload, over all runs. */
struct bench_result {
    const char *name;  /* stable, for JSON: "submit" */
    const char *title; /* for people */
    const char *unit;  /* "jobs/s", "us", "1/s" */
    double samples[RUNS_MAX];
    size_t count;
};

struct bench_results {
    struct bench_result all[RESULTS_MAX];
    size_t count;
};

void bench_add(struct bench_results *results, const char *name, const char *title, const char *unit,
               double sample);
double bench_median(const struct bench_results *results, const char *name); /* 0: not measured */
void bench_print_table(const struct bench_results *results);
void bench_print_json(const struct bench_results *results);

void bench_sort(double *samples, size_t count); /* least first */

uint64_t bench_now_ns(void); /* monotonic */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- limits.c: this machine, in the same run ---- */
void bench_limits(struct bench_results *results, const char *directory);

/* ---- deployment.c: a jobqd and a jobq-worker of our own ---- */
struct deployment {
    char directory[64];
    char url[128];
    pid_t broker, worker;
    double broker_cpu_us, worker_cpu_us; /* user and system, once stopped */
};

struct jobq_client;
struct jobq_client *bench_connect(const struct deployment *d);
/* Fails when `error` is one. */
void bench_check(int error, const char *what, struct jobq_client *client);

struct deployment_conf {
    const char *jobqd, *worker; /* programs */
    const char *directory;      /* where the store lives */
    bool memory;                /* no store */
    int slots;
};

void deployment_start(struct deployment *d, const struct deployment_conf *conf);
void deployment_start_worker(struct deployment *d, const struct deployment_conf *conf);
void deployment_stop(struct deployment *d); /* and removes all files; safe to repeat */

/* ---- wakeup.c: how soon those who wait are served ---- */
void bench_wakeups(struct bench_results *results, const struct deployment *d, size_t rounds);

#endif
