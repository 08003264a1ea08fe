/* SPDX-License-Identifier: MIT
 *
 * cmd_run.c - jobq run: a job as if it ran here. Threads: main waits for the result, one copies
 * each stream, one takes the signals; a cancel has its own, so that a second signal is heard. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/ending.h"
#include "client/cli/keeper.h"
#include "client/cli/spec.h"
#include "client/cli/stream.h"
#include "proto/base/clock.h"

struct values {
    struct jq_spec_flags spec;
};

static const struct jq_flag flags[] = {
#define AT(member) offsetof(struct values, spec.member)
#include "client/cli/spec_flags.def"
    { "tie", 0, JQ_FLAG_BOOL, offsetof(struct values, spec.tie), 0, 0, NULL,
      "cancel the job when this jobq is lost, however" },
};

static const struct values defaults = { .spec = JQ_SPEC_FLAGS_INIT };

struct call {
    struct jq_cli *cli;
    struct jobq_future *future;
    _Atomic uint64_t id; /* 0 until known */
    sigset_t signals;    /* those that cancel */
    pthread_t signal_thread;
    pthread_t cancel_thread;
    atomic_flag is_cancelling; /* by whoever was first */
    const char *reason;        /* theirs */
    atomic_bool has_cancel_thread;
};

/* ---- cancelling ---- */

static void *cancel_main(void *arg)
{
    struct call *call = arg;
    struct jq_buf refs = { 0 };
    struct jq_answer answer;
    const struct jq_job_ref ref = { .id = atomic_load(&call->id) };

    jq_job_ref_write(&refs, &ref);
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .u.cancel = { .reason = jq_view_str(call->reason), .jobs = jq_records_of(1, &refs) },
    };
    if (jq_buf_ok(&refs)) {
        const int error = jq_request(call->cli->client, &msg, -1, &answer);
        if (error == 0)
            jq_answer_fini(&answer);
        else
            jq_cli_fail_call(call->cli, error, "cancel");
    }
    jq_buf_fini(&refs);
    return NULL;
}

/* Any thread; once. */
static void cancel(struct call *call, const char *reason)
{
    if (atomic_flag_test_and_set(&call->is_cancelling))
        return;
    call->reason = reason;
    if (pthread_create(&call->cancel_thread, NULL, cancel_main, call) == 0)
        atomic_store(&call->has_cancel_thread, true);
}

static void output_failed(void *arg)
{
    cancel(arg, "what it wrote could not be passed on by jobq run");
}

static void *signal_main(void *arg)
{
    struct call *call = arg;

    for (int count = 0;; count++) {
        const int number = sigwaitinfo(&call->signals, NULL);
        const uint64_t id = atomic_load(&call->id);
        if (number < 0)
            continue;
        if (count == 0 && id != 0) {
            jq_cli_notice(call->cli, "cancelling job %" PRIu64 " (once more: leave at once)", id);
            cancel(call, "jobq run was interrupted");
            continue;
        }
        if (id == 0)
            jq_cli_notice(call->cli, "left; whether the broker has the job is unknown");
        _exit(128 + number);
    }
    return NULL;
}

/* Signals that our caller ignores (nohup, a background job) stay ignored. */
static int start_signals(struct call *call)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    struct sigaction action;

    sigemptyset(&call->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&call->signals, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &call->signals, NULL);
    const int error = pthread_create(&call->signal_thread, NULL, signal_main, call);
    return error ? jq_cli_fail(call->cli, JQ_EBUSY, "a thread: %s", strerror(error)) : 0;
}

static void stop_signals(struct call *call)
{
    pthread_cancel(call->signal_thread);
    pthread_join(call->signal_thread, NULL);
    if (atomic_load(&call->has_cancel_thread))
        pthread_join(call->cancel_thread, NULL);
}

/* ---- running ---- */

static int64_t left_ms(uint64_t deadline_ns)
{
    const uint64_t now = jq_clock_mono_ns();
    return now < deadline_ns ? (int64_t)((deadline_ns - now + 999999) / 1000000) : 0;
}

/* Nobody else uses the client yet. Returns when the id is known, or the call has ended without. */
static int await_id(struct call *call, int64_t put_timeout_ms)
{
    struct jobq_client *client = call->cli->client;
    const uint64_t patience = (uint64_t)jq_cli_request_ms(call->cli) * 1000000;
    uint64_t deadline = jq_clock_mono_ns() + patience;

    for (;;) {
        const int error = jobq_client_process(client);
        const uint64_t id = jobq_future_id(call->future);
        if (error != 0)
            return jq_cli_fail_call(call->cli, error, "run");
        atomic_store(&call->id, id);
        if (id != 0 || jobq_future_done(call->future) != 0)
            return 0;
        const int64_t left = left_ms(deadline), wish = jobq_client_timeout_ms(client);
        if (left == 0 && call->cli->globals.timeout_ms < 0 && put_timeout_ms != 0 &&
            jobq_ping(client, jq_cli_request_ms(call->cli), NULL) == 0) {
            deadline = jq_clock_mono_ns() + patience; /* its queue is full */
            continue;
        }
        if (left == 0)
            return jq_cli_fail(call->cli, JOBQ_EUNREACH,
                               "the broker has not answered: whether it has the job is unknown");
        struct pollfd poller = { .fd = jobq_client_fd(client), .events = POLLIN };
        poll(&poller, 1, (int)(wish >= 0 && wish < left ? wish : left));
    }
}

static int finish(struct call *call, const struct jq_spec_flags *spec_flags)
{
    const struct jobq_result *result = NULL;
    const int error = jobq_future_result(call->future, call->cli->globals.timeout_ms, &result);

    if (result)
        return jq_ending_tell(call->cli, result);
    if (error == JOBQ_EEXIST)
        return jq_cli_fail(call->cli, error, "a job with the %s %s exists already",
                           spec_flags->key ? "key" : "name",
                           spec_flags->key ? spec_flags->key : spec_flags->terms.unique);
    if (error != JOBQ_ETIMEDOUT)
        return jq_cli_fail_call(call->cli, error, "run");
    jq_cli_notice(call->cli,
                  "job %" PRIu64 " has not ended yet; it goes on (jobq wait %" PRIu64 ")",
                  atomic_load(&call->id), atomic_load(&call->id));
    fflush(stdout);
    _exit(JQ_EXIT_TIMEDOUT); /* the threads that follow its output would wait for it */
}

static int follow(struct call *call, const struct jq_spec_flags *spec_flags)
{
    struct jq_stream streams[] = {
        { .cli = call->cli, .stream = JQ_STDOUT, .fd = STDOUT_FILENO },
        { .cli = call->cli, .stream = JQ_STDERR, .fd = STDERR_FILENO },
    };
    size_t count = atomic_load(&call->id) ? spec_flags->merge ? 1 : 2 : 0, started = 0;
    int status = 0, copied = 0;

    for (; status == 0 && started < count; started += status == 0) {
        struct jq_stream *stream = &streams[started];
        stream->id = atomic_load(&call->id);
        stream->follow = true;
        stream->failed = output_failed;
        stream->arg = call;
        status = jq_stream_start(stream);
    }
    if (status != 0)
        cancel(call, "jobq run could not follow it");
    const int code = finish(call, spec_flags);
    for (size_t i = 0; i < started; i++) {
        const int one = jq_stream_join(&streams[i]);
        copied = copied ? copied : one;
    }
    /* A job whose output was not seen to its end must not look like one that was. */
    return status ? status : copied ? copied : code;
}

static int call_job(struct jq_cli *cli, const struct jobq_job *job,
                    const struct jq_spec_flags *spec_flags)
{
    struct call call = { .cli = cli, .is_cancelling = ATOMIC_FLAG_INIT };
    int status = start_signals(&call);

    if (status != 0)
        return status;
    const int error = jobq_call(cli->client, job, &call.future);
    if (error != 0)
        status = jq_cli_fail_call(cli, error, "run");
    if (status == 0)
        status = await_id(&call, job->put_timeout_ms);
    if (status == 0)
        status = follow(&call, spec_flags);
    stop_signals(&call);
    jobq_future_free(&call.future);
    return status;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    struct jq_packed packed;
    struct jobq_job job;
    struct jq_spec spec;

    if (!words->count && !v->spec.shell)
        return jq_cli_usage(cli, &jq_cmd_run, "what is to be run?");
    int status = jq_spec_init(cli, &v->spec, &spec);
    if (status != 0)
        return status;
    status = jq_spec_pack(cli, &spec, words->list, words->count, &packed, &job);
    if (status == 0) {
        status = jq_cli_connect(cli);
        if (status == 0)
            jq_keeper_start(cli);
        if (status == 0)
            status = call_job(cli, &job, &v->spec);
        jq_packed_fini(&packed);
    }
    jq_spec_fini(&spec);
    return status;
}

const struct jq_command jq_cmd_run = {
    .name = "run",
    .synopsis = "[flags] [--] COMMAND [ARGUMENT...]",
    .summary = "queue a command, show its output as it comes, exit with its code",
    .notes =
        "As submit, but waits. INT or TERM cancels the job and waits for its end; a second one\n"
        "leaves at once. When standard output takes no more, the job is cancelled. With\n"
        "--timeout it is left to go on after that long: exit code 124.\n"
        "\n"
        "  jobq run --mutex deploy -- ./deploy.sh\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .rule = JQ_WORDS_FIRST,
    .words_max = SIZE_MAX,
    .words_name = "COMMAND",
    .no_format = true,
    .run = run,
};
