/* SPDX-License-Identifier: MIT
 *
 * history.c - what is remembered of a job's attempts before its last: encoded attempt records,
 * oldest first, bounded. */
#include "broker/core/parts.h"

uint32_t jq_history_count(struct jq_view history)
{
    struct jq_reader r = jq_reader(history);
    struct jq_attempt attempt;
    uint32_t count = 0;

    while (r.at != r.end && jq_attempt_next(&r, &attempt))
        count++;
    return count;
}

enum jq_err jq_history_add(struct jq_job *job, const struct jq_attempt *attempt)
{
    JQ_TRY(jq_extra_need(job));
    struct jq_reader r = jq_reader(jq_blob_view(job->extra->history));
    struct jq_buf records = { 0 };
    struct jq_attempt oldest;

    for (uint32_t count = jq_history_count(jq_blob_view(job->extra->history));
         count >= JQ_HISTORY_MAX; count--)
        jq_attempt_next(&r, &oldest);
    jq_buf_append(&records, r.at, (size_t)(r.end - r.at));
    jq_attempt_write(&records, attempt);
    struct jq_blob *history = jq_buf_ok(&records) ? jq_blob_new(jq_buf_view(&records)) : NULL;
    jq_buf_fini(&records);
    if (!history)
        return JQ_ENOMEM;
    jq_blob_drop(job->extra->history);
    job->extra->history = history;
    return JQ_OK;
}

enum jq_err jq_history_restore(struct jq_job *job, struct jq_view history)
{
    JQ_TRY(jq_extra_need(job));
    job->extra->history = jq_blob_new(history);
    return job->extra->history ? JQ_OK : JQ_ENOMEM;
}

enum jq_err jq_history_lost(const struct jq_core *core, struct jq_job *job, const char *reason)
{
    const struct jq_attempt attempt = {
        .attempt = job->attempt,
        .fence = job->fence,
        .code = -1,
        .reason = jq_view_str(reason),
        .worker = jq_blob_view(job->ran_on),
        .started_at = job->started_at,
        .ended_at = core->now.wall,
    };
    return jq_history_add(job, &attempt);
}
