/* SPDX-License-Identifier: MIT
 *
 * embed.c - jobq in a program of yours: submit a command, wait for its end, take its exit code.
 *
 *     cc embed.c $(pkg-config --cflags --libs jobq) -o embed
 *     ./embed sh -c 'exit 7'; echo $?
 *
 * The broker is the one of JOBQ_URL, or the default endpoint's. */
#include <stdio.h>

#include <jobq/jobq.h>

enum { EXIT_JOBQ = 125, EXIT_SIGNAL = 128 };

static int fail(struct jobq_client *client, const char *what, int error)
{
    const char *detail = jobq_errdetail(client);

    (void)fprintf(stderr, "embed: %s: %s%s%s\n", what, jobq_strerror(error), *detail ? ": " : "",
                  detail);
    return EXIT_JOBQ;
}

/* 0 when the broker has the command; its end is the future's. */
static int submit(struct jobq_client *client, char **argv, struct jobq_future **ret_future)
{
    struct jobq_exec exec = { .size = sizeof exec, .argv = (const char *const *)argv };
    struct jobq_job job = JOBQ_JOB_INIT;
    void *payload = NULL;

    const int error = jobq_exec_pack(&exec, &payload, &job.payload_size);
    if (error)
        return error;
    job.payload = payload;
    job.title = argv[0];
    const int submitted = jobq_submit(client, &job, ret_future);
    jobq_payload_free(payload);
    return submitted;
}

/* The exit code to pass on. */
static int report(struct jobq_client *client, struct jobq_future *future)
{
    const struct jobq_result *result = NULL;

    const int error = jobq_future_result(future, -1, &result);
    if (!result)
        return fail(client, "result", error);
    (void)printf("job %llu ended after %llu us: ", (unsigned long long)result->id,
                 (unsigned long long)result->wall_us);
    if (error != 0 && error != JOBQ_EFAILED) {
        (void)printf("%s %s\n", jobq_strerror(error), result->reason);
        return EXIT_JOBQ;
    }
    if (result->signal) {
        (void)printf("signal %d\n", result->signal);
        return EXIT_SIGNAL + result->signal;
    }
    (void)printf("exit code %lld\n", (long long)result->code);
    return (int)result->code;
}

int main(int argc, char **argv)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    struct jobq_future *future = NULL;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: embed PROGRAM [ARGUMENT ...]\n");
        return EXIT_JOBQ;
    }
    options.name = "embed";
    options.timeout_ms = 5000;
    int error = jobq_open(&options, &client);
    if (error)
        return fail(NULL, "open", error);
    error = submit(client, argv + 1, &future);
    const int status = error ? fail(client, "submit", error) : report(client, future);
    jobq_future_free(&future);
    jobq_close(&client);
    return status;
}
