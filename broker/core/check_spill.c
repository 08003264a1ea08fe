/* SPDX-License-Identifier: MIT
 *
 * check_spill.c - the invariants of STATES.md about jobs that are in the store alone. */
#include "broker/core/check.h"
#include "broker/core/parts.h"
#include "proto/base/check.h"

/* C28: before the edge all are in memory and ready, behind it none is ready. C29: counters. C30. */
void jq_check_spill(const struct jq_core *core, const struct jq_lane *lane)
{
    const struct jq_spill *spill = &lane->spill;
    uint64_t loaded = 0, doomed_loaded = 0, count = 0, bytes = 0;

    for (const struct jq_job *job = jq_idmap_first(&core->jobs); job;
         job = jq_idmap_next(&core->jobs, job->id)) {
        if (jq_lane_of(job) != lane)
            continue;
        const bool is_doomed = job->id < job->queue->purge_before;
        loaded += job->is_spilled && !is_doomed;
        doomed_loaded += job->is_spilled && is_doomed;
        if (job->state != JQ_READY)
            continue;
        JQ_CHECK(job->is_beyond == jq_spill_is_behind(lane, job)); /* C28 */
        count += !job->is_beyond;
        bytes += job->is_beyond ? 0 : jq_job_bytes(job);
    }
    JQ_CHECK(loaded == spill->loaded && loaded <= spill->rows); /* C29 */
    JQ_CHECK(doomed_loaded == spill->doomed_loaded && doomed_loaded <= spill->doomed);
    JQ_CHECK(count == lane->count && bytes == lane->bytes);
    JQ_CHECK(spill->is_on || (spill->beyond.count == 0 && spill->rows == spill->loaded));
    JQ_CHECK(!spill->page || spill->is_on);
    JQ_CHECK(lane->sorted.capacity - lane->sorted.count >= spill->beyond.count); /* C30 */
    jq_heap_check(&spill->beyond);
}
