/* SPDX-License-Identifier: MIT
 *
 * main.c - jobq_bench: jobs per second for submit, drain and end to end with the no-op handler, and
 * the latency of one job, one item and one join at a time, beside this machine's limits measured in
 * the same run.
 *
 *     jobq_bench [--jobqd PATH] [--worker PATH] [--jobs N] [--runs N] [--slots N] [--dir DIR]
 *                [--memory] [--json] [--only WORKLOAD]
 *
 * Figures are medians over the runs; limits are measured in every run, in between. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/include/jobq/jobq.h"
#include "client/request.h"
#include "tests/bench/bench.h"

struct settings {
    struct deployment_conf deployment;
    size_t jobs;
    int runs;
    bool json;
    const char *only; /* NULL: all */
};

static struct deployment deployed; /* of the workload that runs; stopped whatever happens */

void bench_fail(const char *format, ...)
{
    va_list args;

    fputs("jobq_bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    deployment_stop(&deployed);
    exit(1);
}

void bench_check(int error, const char *what, struct jobq_client *client)
{
    if (error < 0)
        bench_fail("%s: %s (%s)", what, jobq_strerror(error), client ? jobq_errdetail(client) : "");
}

struct jobq_client *bench_connect(const struct deployment *d)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client;

    options.url = d->url;
    options.timeout_ms = 10000;
    bench_check(jobq_open(&options, &client), "connect", NULL);
    return client;
}

/* ---- what the broker says ---- */

struct totals {
    uint64_t unfinished, workers;
};

static struct totals ask_totals(struct jobq_client *client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_STATS };
    struct jq_answer answer;
    struct jq_queue_info queue;
    struct totals totals = { 0 };

    bench_check(jq_request(client, &msg, 10000, &answer), "stats", client);
    for (struct jq_reader r = jq_records_reader(answer.msg.u.statistics.queues);
         jq_queue_info_next(&r, &queue);)
        totals.unfinished += queue.unfinished;
    totals.workers = answer.msg.u.statistics.workers.count;
    jq_answer_fini(&answer);
    return totals;
}

static void pause_briefly(void)
{
    const struct timespec two_ms = { .tv_nsec = 2000000 };
    nanosleep(&two_ms, NULL);
}

static void await_drained(struct jobq_client *client)
{
    while (ask_totals(client).unfinished > 0)
        pause_briefly();
}

static void start_worker(struct jobq_client *client, const struct settings *settings)
{
    deployment_start_worker(&deployed, &settings->deployment);
    while (ask_totals(client).workers == 0)
        pause_briefly();
}

/* ---- workloads ---- */

static struct jobq_job *make_jobs(size_t count, uint64_t flags)
{
    static char payload[100];
    struct jobq_job *jobs = calloc(count, sizeof *jobs);

    if (!jobs)
        bench_fail("out of memory");
    memset(payload, 'p', sizeof payload);
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (struct jobq_job)JOBQ_JOB_INIT;
        jobs[i].handler = "noop";
        jobs[i].payload = payload;
        jobs[i].payload_size = sizeof payload;
        jobs[i].flags = flags;
    }
    return jobs;
}

static double rate(size_t jobs, uint64_t start)
{
    return (double)jobs / ((double)(bench_now_ns() - start) / 1e9);
}

/* Filling a queue without a worker, then a worker that drains it. */
static void submit_and_drain(struct bench_results *results, const struct settings *settings)
{
    struct jobq_job *jobs = make_jobs(settings->jobs, JOBQ_JOB_DISCARD);

    deployment_start(&deployed, &settings->deployment);
    struct jobq_client *client = bench_connect(&deployed);
    uint64_t start = bench_now_ns();
    bench_check(jobq_submit_many(client, jobs, settings->jobs, NULL), "submit", client);
    bench_check(jobq_flush(client, -1), "flush", client);
    bench_add(results, "submit", "submit, until durable", "jobs/s", rate(settings->jobs, start));
    start = bench_now_ns();
    deployment_start_worker(&deployed, &settings->deployment);
    await_drained(client);
    bench_add(results, "drain", "drain of a filled queue", "jobs/s", rate(settings->jobs, start));
    jobq_close(&client);
    deployment_stop(&deployed);
    free(jobs);
}

/* Submit and run at the same time, nothing kept. */
static void end_to_end(struct bench_results *results, const struct settings *settings)
{
    struct jobq_job *jobs = make_jobs(settings->jobs, JOBQ_JOB_DISCARD);

    deployment_start(&deployed, &settings->deployment);
    struct jobq_client *client = bench_connect(&deployed);
    start_worker(client, settings);
    const uint64_t start = bench_now_ns();
    bench_check(jobq_submit_many(client, jobs, settings->jobs, NULL), "submit", client);
    bench_check(jobq_flush(client, -1), "flush", client);
    await_drained(client);
    bench_add(results, "end_to_end", "end to end", "jobs/s", rate(settings->jobs, start));
    jobq_close(&client);
    deployment_stop(&deployed);
    bench_add(results, "broker_cpu", "  processor time of the broker", "ns/job",
              deployed.broker_cpu_us * 1e3 / (double)settings->jobs);
    bench_add(results, "worker_cpu", "  processor time of the worker", "ns/job",
              deployed.worker_cpu_us * 1e3 / (double)settings->jobs);
    free(jobs);
}

/* The same with a future for every job, and every result kept in the store. */
static void with_results(struct bench_results *results, const struct settings *settings)
{
    const size_t count = settings->jobs;
    struct jobq_job *jobs = make_jobs(count, 0);
    struct jobq_future **futures = calloc(count, sizeof *futures);
    size_t failed = 0;

    if (!futures)
        bench_fail("out of memory");
    deployment_start(&deployed, &settings->deployment);
    struct jobq_client *client = bench_connect(&deployed);
    start_worker(client, settings);
    const uint64_t start = bench_now_ns();
    bench_check(jobq_submit_many(client, jobs, count, futures), "submit", client);
    bench_check(jobq_wait_all(client, futures, count, -1, &failed), "wait", client);
    bench_add(results, "results", "end to end, futures, results kept", "jobs/s",
              rate(count, start));
    if (failed)
        bench_fail("%zu jobs failed", failed);
    for (size_t i = 0; i < count; i++)
        jobq_future_free(&futures[i]);
    jobq_close(&client);
    deployment_stop(&deployed);
    free(futures);
    free(jobs);
}

/* One at a time: the next is submitted when the result of the last is there. */
static void latency(struct bench_results *results, const struct settings *settings)
{
    enum { JOBS = 1000, WARM = 50 };
    static double us[JOBS];
    struct jobq_job *jobs = make_jobs(1, JOBQ_JOB_DISCARD);
    const struct jobq_result *result;
    struct jobq_future *future;

    deployment_start(&deployed, &settings->deployment);
    struct jobq_client *client = bench_connect(&deployed);
    start_worker(client, settings);
    for (int i = -WARM; i < JOBS; i++) {
        const uint64_t start = bench_now_ns();
        bench_check(jobq_call(client, jobs, &future), "call", client);
        bench_check(jobq_future_result(future, -1, &result), "result", client);
        if (i >= 0)
            us[i] = (double)(bench_now_ns() - start) / 1e3;
        jobq_future_free(&future);
    }
    bench_sort(us, JOBS);
    bench_add(results, "latency_p50", "one job, submit to result, p50", "us", us[JOBS / 2]);
    bench_add(results, "latency_p99", "one job, submit to result, p99", "us", us[JOBS * 99 / 100]);
    jobq_close(&client);
    deployment_stop(&deployed);
    free(jobs);
}

/* Commands: /bin/true by the exec executor. */
static void commands(struct bench_results *results, const struct settings *settings)
{
    enum { JOBS = 1000 };
    const char *const argv[] = { "/bin/true", NULL };
    const struct jobq_exec exec = { .size = sizeof exec, .argv = argv };
    struct jobq_job *jobs = make_jobs(JOBS, JOBQ_JOB_DISCARD);
    void *payload;
    size_t size;

    bench_check(jobq_exec_pack(&exec, &payload, &size), "pack", NULL);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i].handler = "exec";
        jobs[i].payload = payload;
        jobs[i].payload_size = size;
    }
    deployment_start(&deployed, &settings->deployment);
    struct jobq_client *client = bench_connect(&deployed);
    start_worker(client, settings);
    const uint64_t start = bench_now_ns();
    bench_check(jobq_submit_many(client, jobs, JOBS, NULL), "submit", client);
    bench_check(jobq_flush(client, -1), "flush", client);
    await_drained(client);
    bench_add(results, "commands", "commands (/bin/true)", "jobs/s", rate(JOBS, start));
    jobq_close(&client);
    deployment_stop(&deployed);
    jobq_payload_free(payload);
    free(jobs);
}

/* Somebody waits; how soon it is served. */
static void wakeups(struct bench_results *results, const struct settings *settings)
{
    enum { ROUNDS = 1000 };

    deployment_start(&deployed, &settings->deployment);
    bench_wakeups(results, &deployed, settings->jobs < ROUNDS ? settings->jobs : ROUNDS);
    deployment_stop(&deployed);
}

static const struct {
    const char *name;
    void (*run)(struct bench_results *results, const struct settings *settings);
} workloads[] = {
    { "submit", submit_and_drain }, { "end_to_end", end_to_end }, { "results", with_results },
    { "latency", latency },         { "commands", commands },     { "wakeups", wakeups },
};

/* ---- the command line ---- */

static long number(const char *text, long least, long most)
{
    char *end;
    const long value = strtol(text, &end, 10);

    if (*end || end == text || value < least || value > most)
        bench_fail("\"%s\" is not a number from %ld to %ld", text, least, most);
    return value;
}

static void parse(int argc, char **argv, struct settings *settings)
{
    static const struct option options[] = {
        { "jobqd", required_argument, NULL, 'd' }, { "worker", required_argument, NULL, 'w' },
        { "jobs", required_argument, NULL, 'j' },  { "runs", required_argument, NULL, 'r' },
        { "slots", required_argument, NULL, 's' }, { "dir", required_argument, NULL, 'D' },
        { "memory", no_argument, NULL, 'm' },      { "json", no_argument, NULL, 'J' },
        { "only", required_argument, NULL, 'o' },  { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            settings->deployment.jobqd = optarg;
            break;
        case 'w':
            settings->deployment.worker = optarg;
            break;
        case 'D':
            settings->deployment.directory = optarg;
            break;
        case 'j':
            settings->jobs = (size_t)number(optarg, 1, 100000000);
            break;
        case 'r':
            settings->runs = (int)number(optarg, 1, RUNS_MAX);
            break;
        case 's':
            settings->deployment.slots = (int)number(optarg, 1, 8192);
            break;
        case 'm':
            settings->deployment.memory = true;
            break;
        case 'J':
            settings->json = true;
            break;
        case 'o':
            settings->only = optarg;
            break;
        default:
            exit(64);
        }
    }
    if (optind < argc || strlen(settings->deployment.directory) > 40)
        bench_fail("%s", optind < argc ? "it takes flags only" : "--dir: at most 40 bytes");
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .deployment = { .jobqd = BENCH_JOBQD,
                        .worker = BENCH_WORKER,
                        .directory = "/tmp",
                        .slots = 8 },
        .jobs = 200000,
        .runs = 5,
    };
    static struct bench_results results;

    parse(argc, argv, &settings);
    for (int i = 0; i < settings.runs; i++) {
        bench_limits(&results, settings.deployment.directory);
        for (size_t n = 0; n < sizeof workloads / sizeof workloads[0]; n++)
            if (!settings.only || strcmp(settings.only, workloads[n].name) == 0)
                workloads[n].run(&results, &settings);
    }
    if (settings.json) {
        bench_print_json(&results);
    } else {
        printf("%zu jobs of 100 bytes, %d runs, %s\n\n", settings.jobs, settings.runs,
               settings.deployment.memory ? "memory store" : "durable");
        bench_print_table(&results);
    }
    return 0;
}
