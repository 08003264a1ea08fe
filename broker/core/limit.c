/* SPDX-License-Identifier: MIT
 *
 * limit.c - limits and mutexes by name: at most so many jobs that name one run at a time. A job
 * that has to wait occupies nothing, and takes all that it names at once or nothing. */
#include "broker/core/state.h"

bool jq_limit_admit(struct jq_core *core, struct jq_job *job)
{
    (void)core;
    (void)job;
    return true;
}

void jq_limit_release(struct jq_core *core, struct jq_job *job)
{
    (void)core;
    (void)job;
}

bool jq_limit_blocker(const struct jq_core *core, const struct jq_job *job,
                      struct jq_view *ret_name, bool *ret_mutex, uint64_t *ret_used,
                      uint64_t *ret_max, uint64_t *ret_holder)
{
    (void)core;
    (void)job;
    *ret_name = jq_view(NULL, 0);
    *ret_mutex = false;
    *ret_used = *ret_max = *ret_holder = 0;
    return false;
}
