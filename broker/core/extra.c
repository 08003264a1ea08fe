/* SPDX-License-Identifier: MIT
 *
 * extra.c - the options of a job: decoded once, and what they say of the state in which it waits.
 * Most jobs have none, and then no extra. */
#include "broker/core/state.h"
#include "proto/base/alloc.h"

enum jq_err jq_extra_make(struct jq_core *core, struct jq_job *job)
{
    (void)core;
    (void)job;
    return JQ_OK;
}

void jq_extra_free(struct jq_job *job)
{
    jq_free(job->extra);
    job->extra = NULL;
}

enum jq_job_state jq_extra_waits_in(const struct jq_core *core, struct jq_job *job)
{
    return job->due_at > core->now.wall ? JQ_DELAYED : JQ_READY;
}
