/* SPDX-License-Identifier: MIT
 *
 * retry.c - whether a failed attempt is followed by another, and when. A job's options say so, its
 * queue for those that do not. Workers that are lost are no failures of their jobs: worker.c. */
#include "broker/core/parts.h"

enum {
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 10 * 60 * 1000,
};

static const struct jq_job_options none;

static const struct jq_job_options *options_of(const struct jq_job *job)
{
    return job->extra ? job->extra->options : &none;
}

uint32_t jq_retry_attempts_max(const struct jq_job *job)
{
    const struct jq_job_options *options = options_of(job);
    const uint64_t max = options->attempts_max ? options->attempts_max : job->queue->attempts_max;

    return max ? (uint32_t)max : 1;
}

static bool is_among(struct jq_records list, const struct jq_outcome *outcome)
{
    struct jq_exit_match match;

    for (struct jq_reader r = jq_records_reader(list); jq_exit_match_next(&r, &match);)
        if (outcome->signal ? match.signal == outcome->signal
                            : match.code == outcome->code && match.signal == 0)
            return true;
    return false;
}

bool jq_retry_due(const struct jq_job *job, const struct jq_outcome *outcome)
{
    const struct jq_job_options *options = options_of(job);

    if (outcome->flags & JQ_OUTCOME_NO_RETRY)
        return false;
    if (job->cancel_asked || (uint64_t)job->failures + 1 >= jq_retry_attempts_max(job))
        return false;
    return (options->retry_on.count == 0 || is_among(options->retry_on, outcome)) &&
           !is_among(options->no_retry_on, outcome);
}

/* "Full jitter": anything up to the backoff, which doubles with every failure. So what failed
 * together does not come back together. */
static uint64_t backoff_of(struct jq_core *core, const struct jq_job *job, uint32_t failures)
{
    const struct jq_job_options *options = options_of(job);
    const struct jq_queue *queue = job->queue;
    uint64_t max = options->backoff_max_ms ? options->backoff_max_ms : queue->backoff_max_ms;
    uint64_t ms = options->backoff_ms ? options->backoff_ms : queue->backoff_ms;

    max = max ? max : BACKOFF_MAX_MS;
    ms = ms ? ms : BACKOFF_MS;
    if (options->backoff_kind == JQ_BACKOFF_FIXED)
        return ms;
    for (; failures > 1 && ms < max; failures--)
        ms = ms > max / 2 ? max : 2 * ms;
    return jq_rng_below(&core->rng, (ms < max ? ms : max) + 1);
}

enum jq_err jq_retry(struct jq_core *core, struct jq_job *job, const struct jq_outcome *outcome)
{
    const struct jq_attempt attempt = {
        .attempt = job->attempt,
        .fence = job->fence,
        .code = outcome->code,
        .signal = outcome->signal,
        .reason = outcome->reason.size                   ? outcome->reason
                  : outcome->kind == JQ_OUTCOME_TIMEDOUT ? jq_view_str("timed out")
                                                         : jq_view_str("failed"),
        .worker = jq_blob_view(job->ran_on),
        .started_at = outcome->started_at ? outcome->started_at : job->started_at,
        .ended_at = outcome->ended_at ? outcome->ended_at : core->now.wall,
    };

    JQ_TRY(jq_job_reserve(core, job));
    JQ_TRY(jq_history_add(job, &attempt));
    job->failures++;
    job->fence_done = true;
    job->extra->due_at = jq_timer_after(core, backoff_of(core, job, job->failures));
    jq_job_move(core, job, jq_extra_waits_in(core, job));
    return JQ_OK;
}
