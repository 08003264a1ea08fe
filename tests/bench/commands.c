/* SPDX-License-Identifier: MIT
 *
 * commands.c - /bin/true as a job of the exec executor, and jobq submit as the process that a shell
 * starts: from its start to its exit. */
#include <stdio.h>
#include <sys/wait.h>

#include "client/include/jobq/jobq.h"
#include "tests/bench/bench.h"

enum { JOBS = 1000, SUBMITS = 60, WARM = 3 };

static void run_commands(struct deployment *d, const struct bench_settings *settings)
{
    const char *const argv[] = { "/bin/true", NULL };
    const struct jobq_exec exec = { .size = sizeof exec, .argv = argv };
    struct bench_load load;
    void *packed;

    bench_load_init(&load, settings);
    bench_check(jobq_exec_pack(&exec, &packed, &load.payload), "pack", NULL);
    load.packed = packed;
    load.handler = "exec";
    if (load.jobs > JOBS)
        load.jobs = JOBS;
    deployment_start(d, &settings->deployment);
    bench_declare_all(d, &load);
    struct jobq_client *client = bench_connect(d);
    bench_start_workers(d, &settings->deployment, client, 1);
    const uint64_t start = bench_produce(d, &load).start_ns;
    bench_await_drained(client, &load);
    bench_add("commands", (double)load.jobs / (bench_us_since(start) / 1e6));
    jobq_close(&client);
    deployment_stop(d);
    jobq_payload_free(packed);
}

static double submit_us(struct deployment *d, const struct bench_settings *settings)
{
    char log[128];
    int status;

    snprintf(log, sizeof log, "%s/submit.log", d->directory);
    char *const argv[] = { bench_text(settings->deployment.jobq),
                           bench_text("--url"),
                           d->url,
                           bench_text("submit"),
                           bench_text("--queue"),
                           bench_text(BENCH_QUEUE),
                           bench_text("--"),
                           bench_text("/bin/true"),
                           NULL };
    const uint64_t start = bench_now_ns();
    const pid_t pid = bench_spawn(argv, log, -1);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        bench_fail("jobq submit: status %d", status);
    return bench_us_since(start);
}

void bench_commands(struct deployment *d, const struct bench_settings *settings)
{
    const int submits = settings->jobs < SUBMITS ? (int)settings->jobs : SUBMITS;
    double us[SUBMITS];

    run_commands(d, settings);
    deployment_start(d, &settings->deployment); /* no worker: only the submit is looked at */
    struct jobq_client *client = bench_connect(d);
    bench_declare(client, BENCH_QUEUE, settings->durability);
    jobq_close(&client);
    for (int i = -WARM; i < submits; i++) {
        const double sample = submit_us(d, settings);
        if (i >= 0)
            us[i] = sample;
    }
    bench_add_percentiles("submit_process", us, (size_t)submits);
    deployment_stop(d);
}
