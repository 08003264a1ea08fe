/* SPDX-License-Identifier: MIT
 *
 * handlers.c - the built-in handlers.
 *
 *   noop   succeeds; what a measurement wants
 *   echo   its payload is its result
 *   fail   fails with code 1; its payload is the reason
 *   sleep  its payload is a number of milliseconds
 *
 * They hold no state. */
#include "worker/handlers.h"

#include <stdio.h>
#include <time.h>

static void run_noop(struct jq_call *call)
{
    (void)call;
}

static void run_echo(struct jq_call *call)
{
    jq_buf_append(call->value, call->payload.data, call->payload.size);
}

static void run_fail(struct jq_call *call)
{
    call->code = 1;
    (void)snprintf(call->reason, sizeof call->reason, "%.*s", JQ_VIEW_ARG(call->payload));
}

static void run_sleep(struct jq_call *call)
{
    enum { SLICE_MS = 10 };
    const char *digits = call->payload.data;
    uint64_t left = 0;
    for (size_t i = 0; i < call->payload.size && i < 9 && digits[i] >= '0' && digits[i] <= '9'; i++)
        left = left * 10 + (uint64_t)(digits[i] - '0');
    while (left > 0 && !atomic_load(call->cancelled)) {
        const uint64_t part = left < SLICE_MS ? left : SLICE_MS;
        const struct timespec pause = { .tv_nsec = (long)part * 1000000 };
        (void)nanosleep(&pause, NULL);
        left -= part;
    }
}

static const struct jq_handler handlers[] = {
    { .name = "noop", .quick = true, .run = run_noop },
    { .name = "echo", .run = run_echo },
    { .name = "fail", .run = run_fail },
    { .name = "sleep", .run = run_sleep },
};

const struct jq_handler *jq_handler_find(struct jq_view name)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (jq_view_equal(name, jq_view_str(handlers[i].name)))
            return &handlers[i];
    }
    return NULL;
}
