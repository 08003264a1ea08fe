/* SPDX-License-Identifier: MIT
 *
 * bench.h - what the files of jobq bench share: the scratch queue, those who put something on it,
 * and what is measured. cmd_bench.c has the command, bench_queue.c the queue, bench_load.c the
 * producers, bench_work.c the workloads.
 *
 * Functions that return int here return 0 or why no more is measured: an exit code, which has been
 * told but for JQ_EXIT_TIMEDOUT and 128 + a signal. */
#ifndef JQ_CLI_BENCH_H
#define JQ_CLI_BENCH_H

#include "client/cli/cli.h"
#include "client/cli/figures.h"
#include "proto/base/time.h"

enum {
    JQ_BENCH_PRODUCERS_MAX = 64,
    JQ_BENCH_SLICE_MS = 100, /* nothing waits longer without a look at signals and the time */
};

enum jq_bench_figure {
#define FIGURE(NAME, name, title, unit) JQ_BENCH_##NAME,
#include "client/cli/bench_figures.def"
    JQ_BENCH_FIGURES
};

struct jq_bench_workload;

struct jq_bench {
    struct jq_cli *cli;
    int64_t jobs, producers, payload_bytes, runs, seconds;
    enum jq_durability durability;
    const char *durability_name;
    const char *only; /* NULL: all */
    char queue_name[24];
    struct jobq_queue *queue; /* of cli->client; NULL: not made yet */
    size_t workers;           /* that take jobs */
    jq_ms end_at;
    void *payload;
    struct jobq_client *clients[JQ_BENCH_PRODUCERS_MAX]; /* a producer's each */
    struct jobq_queue *queues[JQ_BENCH_PRODUCERS_MAX];   /* of the client */
    struct jq_figure figures[JQ_BENCH_FIGURES];
};

/* ---- the time, and signals: cmd_bench.c ---- */

int jq_bench_signal(void); /* that came; 0 */
jq_ms jq_bench_left(const struct jq_bench *b);
/* How long the next wait may be: at most a slice; 0 when all is over. */
jq_ms jq_bench_slice(const struct jq_bench *b);
/* Why nothing more is to be done, or 0. */
int jq_bench_over(const struct jq_bench *b);
/* The same after `error` of a call, which is told unless it is for want of time. */
int jq_bench_failed(const struct jq_bench *b, int error, const char *what);

/* ---- bench_queue.c ---- */

/* Makes the queue and connects the producers. */
int jq_bench_open(struct jq_bench *b);
/* Nothing waits in it any more, and the broker has done with it. */
int jq_bench_purge(struct jq_bench *b);
/* Closes the producers, and removes the queue with all that is in it, by a connection of its own:
 * the others may be broken. */
int jq_bench_close(struct jq_bench *b);

/* ---- bench_load.c ---- */

struct jq_bench_span {
    uint64_t start_ns, end_ns;
};
/* Every producer its share of `count` jobs or items, until all are acknowledged. */
int jq_bench_produce(struct jq_bench *b, const char *handler, size_t count,
                     struct jq_bench_span *ret_span);
/* Every producer takes its share of `count` items: get, then done, of one after the other, or of
 * many together. */
int jq_bench_take(struct jq_bench *b, size_t count, bool many, struct jq_bench_span *ret_span);
double jq_bench_rate(size_t count, const struct jq_bench_span *span); /* 1/s */

/* ---- bench_work.c ---- */

struct jq_bench_workload {
    const char *name, *help;
    bool needs_worker;
    int (*run)(struct jq_bench *b); /* once */
};
extern const struct jq_bench_workload jq_bench_workloads[];
extern const size_t jq_bench_workload_count;
/* What all latencies stand beside. */
int jq_bench_ping(struct jq_bench *b);

#endif
