/* SPDX-License-Identifier: MIT
 *
 * states.c - names of the small numbers. */
#include "proto/states.h"

const char *jq_state_name(enum jq_job_state state)
{
    static const char *const names[JQ_JOB_STATES] = {
        [JQ_BLOCKED] = "blocked",     [JQ_DELAYED] = "delayed",     [JQ_READY] = "ready",
        [JQ_RUNNING] = "running",     [JQ_SUCCEEDED] = "succeeded", [JQ_FAILED] = "failed",
        [JQ_CANCELLED] = "cancelled", [JQ_EXPIRED] = "expired",     [JQ_SKIPPED] = "skipped",
    };
    return (unsigned)state < JQ_JOB_STATES ? names[state] : "unknown";
}
