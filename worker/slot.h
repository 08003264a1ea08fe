/* SPDX-License-Identifier: MIT
 *
 * slot.h - one place where handlers run one after another: the state that each of them has here,
 * and one call from its run to its outcome. Used by an executor, which brings the thread. */
#ifndef JQ_WORKER_SLOT_H
#define JQ_WORKER_SLOT_H

#include <stdatomic.h>

#include "worker/call.h"
#include "worker/handlers.h"

struct jq_slot_conf {
    const struct jq_handlers *handlers; /* outlive the slot */
    const char *executor;
    size_t output_bytes; /* kept of what a job logs */
    uint64_t depth_max;
};

struct jq_slot {
    const struct jq_handlers *handlers;
    void **states; /* by index of the handler */
    size_t begun;  /* handlers whose init has succeeded, in order */
    atomic_bool cancelled;
    atomic_int cancel_fd; /* a timerfd once a handler has asked for one; -1 */
    struct jq_call_tools tools;
    struct jq_call call;
    struct jq_buf scratch;
};

/* Runs every handler's init. ENOMEM; EINVAL: one has failed, the detail says which and why; what
 * had begun has ended again. */
JQ_MUST_USE enum jq_err jq_slot_init(struct jq_slot *slot, const struct jq_slot_conf *conf,
                                     uint32_t number, struct jq_detail *ret_detail);
/* Runs every fini, in the opposite order. */
void jq_slot_fini(struct jq_slot *slot);

/* Before a run, while nobody can cancel it yet. */
void jq_slot_reset(struct jq_slot *slot);
/* Of the handler `run->found`. The run has ended, with its outcome, when this returns. */
void jq_slot_run(struct jq_slot *slot, struct jq_run *run);
/* From any thread, while the slot is in jq_slot_run: its handler is to end. */
void jq_slot_cancel(struct jq_slot *slot);

/* The outcome of a run that was asked to end. */
void jq_slot_end_cancelled(struct jq_run *run, struct jq_outcome *outcome, struct jq_buf *scratch);

#endif
