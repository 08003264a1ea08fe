/* SPDX-License-Identifier: MIT
 *
 * bench.h - what the parts of the benchmark share: settings, figures, the deployment under test,
 * the load that is put on it, the limits of the machine. BENCHMARKS.md says the method. */
#ifndef JQ_TESTS_BENCH_H
#define JQ_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/states.h"

enum { RUNS_MAX = 64, PRODUCERS_MAX = 64, WORKERS_MAX = 256, QUEUES_MAX = 16384 };

/* ---- settings.c: the command line ---- */

struct deployment_conf {
    const char *jobqd, *worker, *jobq; /* programs */
    const char *directory;             /* where the store lives */
    bool memory;                       /* no store */
    int slots;
};

struct bench_settings {
    struct deployment_conf deployment;
    long jobs, backlog, queues, sessions, producers, idle_workers, idle_seconds, runs;
    enum jq_durability durability; /* of the queues under test */
    bool json;
    const char *only;  /* comma separated; NULL: all */
    const char *curve; /* NULL: none */
};

void bench_settings_parse(int argc, char **argv, struct bench_settings *settings);
const char *bench_durability_name(const struct bench_settings *settings);
/* `name` is in the list, or there is none. */
bool bench_is_wanted(const struct bench_settings *settings, const char *name);

/* ---- report.c: figures, their limits, table and JSON ---- */

/* One quantity, over all runs. */
struct bench_samples {
    double all[RUNS_MAX];
    size_t count;
};
struct bench_summary {
    double median, least, most;
};

void bench_sample(struct bench_samples *samples, double value);
struct bench_summary bench_summarize(const struct bench_samples *samples); /* of none: zeros */
void bench_sort(double *samples, size_t count);                            /* least first */

/* A figure of figures.def, by its name. */
void bench_add(const char *name, double sample);
/* _p50 and _p99 of it; sorts. */
void bench_add_percentiles(const char *name, double *samples, size_t count);
void bench_print_table(bool memory); /* memory: the limits that count are those without a disk */
void bench_print_json_settings(const struct bench_settings *settings);
void bench_print_json_figures(bool memory);
void bench_print_json_samples(const struct bench_samples *samples, const char *unit);
/* A number as people read it, and its column. */
void bench_print_number(double value, int width);

/* ---- main.c ---- */

uint64_t bench_now_ns(void); /* monotonic */
double bench_us_since(uint64_t start_ns);
void bench_pause_ms(long ms);
void *bench_alloc(size_t count, size_t size); /* zeroed, never NULL */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- limits*.c: this machine, in the same run ---- */

void bench_limits(const char *directory); /* all of them */
void bench_limits_zmq(const char *directory);
void bench_limits_sqlite(const char *directory);

/* ---- deployment.c: a jobqd and its jobq-workers, our own ---- */

struct deployment {
    char directory[64];
    char url[128];
    pid_t broker;
    pid_t workers[WORKERS_MAX];
    size_t worker_count;
    double broker_cpu_us, worker_cpu_us; /* user and system, once stopped */
};

void deployment_start(struct deployment *d, const struct deployment_conf *conf);
void deployment_start_worker(struct deployment *d, const struct deployment_conf *conf);
void deployment_kill_broker(struct deployment *d); /* KILL */
/* On what it left. Returns once it serves. */
void deployment_restart_broker(struct deployment *d, const struct deployment_conf *conf);
void deployment_stop(struct deployment *d); /* and removes all files; safe to repeat */
double deployment_store_bytes(const struct deployment *d);
double bench_rss_bytes(pid_t pid);
double bench_cpu_us(pid_t pid); /* user and system, of a process that runs */
pid_t bench_spawn(char *const argv[], const char *log, int keep_fd); /* keep_fd: -1 for none */
char *bench_text(const char *value); /* argv wants char *, and changes nothing */

/* ---- load.c: what is put on it ---- */

struct jobq_client;
struct jobq_client *bench_connect(const struct deployment *d);
/* Fails when `error` is one. */
void bench_check(int error, const char *what, struct jobq_client *client);

struct bench_load {
    size_t jobs, payload, queues, producers;
    const char *handler;
    const void *packed;            /* the payload; NULL: `payload` bytes of no meaning */
    bool with_results;             /* wait for every result, which is kept */
    enum jq_durability durability; /* of the queues */
};

/* The queue that has all, when there is one. */
#define BENCH_QUEUE "bench"
void bench_declare(struct jobq_client *client, const char *queue, enum jq_durability durability);
/* Makes queues that are not as a first submit makes them. */
void bench_declare_all(const struct deployment *d, const struct bench_load *load);
/* From the first submit of any producer until the last has its answers. */
struct bench_span {
    uint64_t start_ns;
    double seconds;
};
struct bench_span bench_produce(const struct deployment *d, const struct bench_load *load);

struct bench_totals {
    uint64_t unfinished, workers;
};
struct bench_totals bench_ask_totals(struct jobq_client *client);
void bench_await_drained(struct jobq_client *client, const struct bench_load *load);
void bench_start_workers(struct deployment *d, const struct deployment_conf *conf,
                         struct jobq_client *client, size_t count); /* until they are there */

/* ---- sessions.c: many workers in one thread, over the wire ---- */

struct bench_sessions;
/* Returns when all have been welcomed. */
struct bench_sessions *bench_sessions_open(const struct deployment *d, size_t count);
/* Until so many jobs were ended by them, durably. */
void bench_sessions_serve(struct bench_sessions *sessions, size_t jobs);
void bench_sessions_close(struct bench_sessions **sessions);

/* ---- point.c: filling queues, then draining them ---- */

struct bench_point {
    struct bench_load load;
    size_t sessions; /* 0: one jobq-worker */
    size_t backlog;  /* jobs that wait before and after */
};
struct bench_rates {
    double submit, drain, join; /* 1/s; sessions that are welcomed */
};
void bench_load_init(struct bench_load *load, const struct bench_settings *settings);
struct bench_rates bench_measure(struct deployment *d, const struct bench_settings *settings,
                                 const struct bench_point *point);

/* ---- the workloads; the deployment is main's, so that it is stopped whatever happens ---- */

#define WORKLOAD(name, help) \
    void bench_##name(struct deployment *d, const struct bench_settings *settings);
#include "tests/bench/workloads.def"
void bench_curve(struct deployment *d, const struct bench_settings *settings);

#endif
