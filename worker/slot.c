/* SPDX-License-Identifier: MIT
 *
 * slot.c - see slot.h. */
#include "worker/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"

enum { CODE_NO_HANDLER = 127, CODE_TIMED_OUT = 124 };

/* --- life --- */

static bool begin(struct jq_slot *slot, const struct jq_slot_conf *conf, uint32_t number,
                  struct jq_detail *detail)
{
    const struct jq_handler *handler = &slot->handlers->list[slot->begun];
    struct jobq_slot offered = {
        .size = sizeof offered,
        .executor = conf->executor,
        .number = number,
        .user = handler->offered.user,
        .state = handler->offered.user,
    };
    const int failed = handler->offered.init != NULL ? handler->offered.init(&offered) : 0;
    offered.why[sizeof offered.why - 1] = '\0';
    if (failed != 0) {
        jq_detail_set(detail, "%s: init of handler \"%s\" has failed with %d%s%s", handler->from,
                      handler->offered.name, failed, offered.why[0] != '\0' ? ": " : "",
                      offered.why);
        return false;
    }
    slot->states[slot->begun++] = offered.state;
    return true;
}

enum jq_err jq_slot_init(struct jq_slot *slot, const struct jq_slot_conf *conf, uint32_t number,
                         struct jq_detail *ret_detail)
{
    memset(slot, 0, sizeof *slot);
    atomic_init(&slot->cancelled, false);
    atomic_init(&slot->cancel_fd, -1);
    slot->handlers = conf->handlers;
    slot->tools.output_bytes = conf->output_bytes;
    slot->tools.depth_max = conf->depth_max;
    slot->states = jq_alloc_zero(conf->handlers->count, sizeof *slot->states);
    if (slot->states == NULL)
        return JQ_ENOMEM;
    while (slot->begun < slot->handlers->count) {
        if (!begin(slot, conf, number, ret_detail)) {
            jq_slot_fini(slot);
            return JQ_EINVAL;
        }
    }
    return JQ_OK;
}

void jq_slot_fini(struct jq_slot *slot)
{
    while (slot->begun > 0) {
        const struct jobq_handler *handler = &slot->handlers->list[--slot->begun].offered;
        if (handler->fini != NULL)
            handler->fini(slot->states[slot->begun]);
    }
    const int fd = atomic_load(&slot->cancel_fd);
    if (slot->states != NULL && fd >= 0)
        (void)close(fd);
    jq_free(slot->states);
    slot->states = NULL;
    jq_call_tools_fini(&slot->tools);
    jq_buf_fini(&slot->scratch);
}

/* --- cancelling ---
 *
 * The descriptor is a timer: of the job's time limit, or at once when it is cancelled. Who cancels
 * sets the flag, then the timer; who sets the timer to the limit looks at the flag after that: so
 * the cancel has the last word. */

static void set_timer(int fd, int flags, struct timespec at)
{
    const struct itimerspec when = { .it_value = at };
    JQ_CHECK(timerfd_settime(fd, flags, &when, NULL) == 0);
}

static void raise_fd(int fd)
{
    set_timer(fd, 0, (struct timespec){ .tv_nsec = 1 });
}

void jq_slot_cancel(struct jq_slot *slot)
{
    atomic_store(&slot->cancelled, true);
    const int fd = atomic_load(&slot->cancel_fd);
    if (fd >= 0)
        raise_fd(fd);
}

void jq_slot_reset(struct jq_slot *slot)
{
    atomic_store(&slot->cancelled, false);
}

/* Also forgets that it has expired. */
static void arm(struct jq_slot *slot, int fd)
{
    const jq_ms at = slot->call.deadline_at;
    struct timespec when = { 0 }; /* disarmed */
    if (at != JQ_NEVER)
        when = (struct timespec){ .tv_sec = at / 1000, .tv_nsec = (long)(at % 1000) * 1000000 };
    set_timer(fd, TFD_TIMER_ABSTIME, when);
    if (atomic_load(&slot->cancelled))
        raise_fd(fd);
}

static int slot_cancel_fd(void *arg)
{
    struct jq_slot *slot = arg;
    int fd = atomic_load(&slot->cancel_fd);
    if (fd >= 0)
        return fd;
    fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return JOBQ_CALL_ENOMEM;
    atomic_store(&slot->cancel_fd, fd);
    arm(slot, fd);
    return fd;
}

/* --- a run --- */

void jq_slot_end_cancelled(struct jq_run *run, struct jq_outcome *outcome, struct jq_buf *scratch)
{
    outcome->kind = JQ_OUTCOME_CANCELLED;
    outcome->code = 0;
    outcome->flags = 0;
    outcome->value = jq_view(NULL, 0);
    outcome->reason = jq_view_str(run->reason != NULL ? run->reason : "cancelled");
    jq_run_end(run, outcome, scratch);
}

static void end_unknown(struct jq_slot *slot, struct jq_run *run)
{
    char text[JQ_NAME_MAX + 64];
    const jq_ns at = jq_clock_now().wall;
    const int size = snprintf(text, sizeof text, "this worker has no handler named \"%.*s\"",
                              JQ_VIEW_ARG(run->handler));
    struct jq_outcome outcome = {
        .kind = JQ_OUTCOME_NOSTART,
        .code = CODE_NO_HANDLER,
        .reason = jq_view(text, (size_t)size),
        .started_at = at,
        .ended_at = at,
    };
    jq_run_end(run, &outcome, &slot->scratch);
}

static void end_late(struct jq_slot *slot, struct jq_run *run, struct jq_outcome *outcome)
{
    char text[64];
    const int size =
        snprintf(text, sizeof text, "timed out after %" PRIu64 " ms", slot->call.args.timeout_ms);
    outcome->kind = JQ_OUTCOME_TIMEDOUT;
    outcome->code = CODE_TIMED_OUT;
    outcome->flags = 0;
    outcome->value = jq_view(NULL, 0);
    outcome->reason = jq_view(text, (size_t)size);
    jq_run_end(run, outcome, &slot->scratch);
}

static void begin_call(struct jq_slot *slot, struct jq_run *run, jq_ms now)
{
    struct jq_call *call = &slot->call;
    call->tools = &slot->tools;
    call->cancelled = &slot->cancelled;
    call->cancel_fd = slot_cancel_fd;
    call->arg = slot;
    jq_call_begin(call, run);
    if (jq_call_args(call) == JQ_OK && call->args.timeout_ms > 0)
        call->deadline_at = jq_ms_add(
            now, call->args.timeout_ms < INT64_MAX ? (jq_ms)call->args.timeout_ms : INT64_MAX);
    const int fd = atomic_load(&slot->cancel_fd);
    if (fd >= 0)
        arm(slot, fd);
}

void jq_slot_run(struct jq_slot *slot, struct jq_run *run)
{
    const struct jq_handler *handler = run->found;
    if (handler == NULL) {
        end_unknown(slot, run);
        return;
    }
    struct jq_call *call = &slot->call;
    const struct jq_now from = jq_clock_now();
    struct jq_outcome outcome = { .started_at = from.wall };
    begin_call(slot, run, from.mono);
    const uint64_t from_ns = jq_clock_mono_ns();
    if (!jq_call_is_too_deep(call, &outcome)) {
        void *state = slot->states[handler - slot->handlers->list];
        const int returned = handler->offered.run(&call->base, state);
        run->wall_us = (jq_clock_mono_ns() - from_ns) / 1000;
        jq_call_end(call, returned, &outcome);
    }
    outcome.wall_us = run->wall_us;
    const struct jq_now to = jq_clock_now();
    outcome.ended_at = to.wall;
    if (atomic_load(&slot->cancelled))
        jq_slot_end_cancelled(run, &outcome, &slot->scratch);
    else if (call->deadline_at != JQ_NEVER && to.mono >= call->deadline_at)
        end_late(slot, run, &outcome);
    else
        jq_run_end(run, &outcome, &slot->scratch);
}
