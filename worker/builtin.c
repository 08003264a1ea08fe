/* SPDX-License-Identifier: MIT
 *
 * builtin.c - the built-in handlers, by the same calls as anybody's.
 *
 *   noop   succeeds; what a measurement wants
 *   echo   its payload is its result
 *   fail   fails with code 1; its payload is the reason
 *   sleep  its payload is a number of milliseconds
 *
 * They hold no state. */
#include "worker/builtin.h"

#include <poll.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/limits.h"

static int run_noop(struct jobq_call *call, void *state)
{
    (void)call;
    (void)state;
    return 0;
}

static int run_echo(struct jobq_call *call, void *state)
{
    size_t size = 0;
    const void *payload = jobq_payload(call, &size);
    (void)state;
    return jobq_result_write(call, payload, size);
}

static int run_fail(struct jobq_call *call, void *state)
{
    size_t size = 0;
    const char *payload = jobq_payload(call, &size);
    (void)state;
    return jobq_fail(call, 1, JOBQ_FAIL_RETRY, "%.*s",
                     (int)(size < JQ_REASON_MAX ? size : JQ_REASON_MAX),
                     payload != NULL ? payload : "");
}

/* Without a descriptor to wait for: in slices. */
static void doze(int64_t left)
{
    const int64_t slice = left < 10 ? left : 10;
    const struct timespec pause = { .tv_nsec = (long)slice * 1000000 };
    (void)nanosleep(&pause, NULL);
}

static int run_sleep(struct jobq_call *call, void *state)
{
    size_t size = 0;
    const char *digits = jobq_payload(call, &size);
    int64_t ms = 0;
    (void)state;
    for (size_t i = 0; i < size && i < 9 && digits[i] >= '0' && digits[i] <= '9'; i++)
        ms = ms * 10 + (digits[i] - '0');
    const jq_ms end = jq_clock_now().mono + ms;
    struct pollfd cancel = { .fd = ms > 0 ? jobq_cancel_fd(call) : -1, .events = POLLIN };
    for (int64_t left = ms; left > 0 && !jobq_cancelled(call); left = end - jq_clock_now().mono) {
        if (cancel.fd >= 0)
            (void)poll(&cancel, 1, (int)left);
        else
            doze(left);
    }
    return 0;
}

const struct jq_builtin jq_builtins[] = {
    { .handler = { .name = "noop", .run = run_noop }, .quick = true },
    { .handler = { .name = "echo", .run = run_echo } },
    { .handler = { .name = "fail", .run = run_fail } },
    { .handler = { .name = "sleep", .run = run_sleep } },
    { .handler = { .name = NULL } },
};
