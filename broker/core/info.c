/* SPDX-License-Identifier: MIT
 *
 * info.c - INFO, and what is told of a job there and in lists. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

enum {
    DETAIL_BYTES_MAX = 16 << 20, /* of an answer: past it options and history are left out */
    HISTORY_MAX = 16384,         /* likewise, attempts: a frame's tokens are bounded */
};

/* ---- what is told of a job ---- */

/* Written by us, one attempt after the other. */
static struct jq_records attempts_of(struct jq_view history)
{
    struct jq_reader r = jq_reader(history);
    struct jq_attempt attempt;
    struct jq_records ret = { .bytes = history };

    if (!history.size)
        return ret;
    while (ret.count < JQ_HISTORY_MAX && jq_attempt_next(&r, &attempt))
        ret.count++;
    ret.bytes.size = (size_t)(r.at - (const uint8_t *)history.data);
    return ret;
}

static jq_ns expires_at(jq_ns created_at, uint64_t expires_ms)
{
    if (expires_ms == 0 || created_at < 0)
        return 0;
    return expires_ms < (uint64_t)(INT64_MAX - created_at) / 1000000
               ? created_at + (jq_ns)expires_ms * 1000000
               : INT64_MAX;
}

/* What the job's options and its queue say together. */
static void tell_options(const struct jq_job_record *job, const struct jq_queue *queue,
                         struct jq_job_info *ret)
{
    struct jq_job_options options = { 0 };
    struct jq_reader r = jq_reader(job->options);
    uint64_t attempts_max = queue ? queue->attempts_max : 0;

    if (job->options.size && jq_job_options_read(&r, &options) == JQ_OK && options.attempts_max)
        attempts_max = options.attempts_max;
    ret->expires_at = expires_at(job->created_at, options.expires_ms);
    ret->attempts_max = attempts_max ? attempts_max : 1;
    ret->options = job->options;
}

static void info_of_record(const struct jq_job_record *job, const struct jq_result_record *result,
                           const struct jq_queue *queue, struct jq_job_info *ret)
{
    *ret = (struct jq_job_info){
        .id = job->id,
        .state = job->state,
        .flags = job->flags & JQ_JOB_FLAGS, /* not what is only stored */
        .priority = job->priority,
        .queue = queue ? jq_blob_view(queue->name) : jq_view(NULL, 0),
        .handler = job->handler,
        .title = job->title,
        .key = job->key,
        .attempt = job->attempt,
        .crashes = job->crashes,
        .worker = job->worker,
        .created_at = job->created_at,
        .started_at = job->started_at,
        .fence = job->state == JQ_RUNNING ? job->fence : 0,
        .due_at = job->state == JQ_DELAYED || job->state == JQ_RUNNING ? job->due_at : 0,
        .failures = job->failures,
        .history = attempts_of(job->history),
    };
    tell_options(job, queue, ret);
    if (!result)
        return;
    ret->ended_at = result->ended_at;
    ret->code = result->code;
    ret->signal = result->signal;
    ret->reason = result->reason;
    ret->wall_us = result->wall_us;
    ret->user_us = result->user_us;
    ret->system_us = result->system_us;
    ret->max_rss_kib = result->max_rss_kib;
    ret->stdout_bytes = result->stdout_bytes;
    ret->stderr_bytes = result->stderr_bytes;
}

void jq_info_of_job(const struct jq_job *job, struct jq_job_info *ret)
{
    struct jq_job_record record;

    jq_job_record(job, &record);
    info_of_record(&record, job->result, job->queue, ret);
    if (job->extra && job->extra->expires_at)
        ret->expires_at = job->extra->expires_at;
}

void jq_info_of_loaded(const struct jq_core *core, const struct jq_loaded_job *loaded,
                       struct jq_job_info *ret)
{
    info_of_record(&loaded->job, loaded->has_result ? &loaded->result : NULL,
                   jq_map_find(&core->queues, loaded->job.queue), ret);
    if (jq_spill_is_doomed(core, &loaded->job))
        ret->state = JQ_CANCELLED;
}

/* ---- INFO ---- */

/* What has been gathered for one answer. */
struct infos {
    struct jq_buf *bytes;
    uint64_t count, batch; /* all are true with */
    uint64_t attempts;
};

static void add(struct infos *infos, struct jq_job_info *info)
{
    if (infos->bytes->size > DETAIL_BYTES_MAX)
        info->options = jq_view(NULL, 0);
    if (infos->bytes->size > DETAIL_BYTES_MAX ||
        infos->attempts + info->history.count > HISTORY_MAX)
        info->history = (struct jq_records){ 0 };
    jq_job_info_write(infos->bytes, info);
    infos->attempts += info->history.count;
    infos->count++;
}

static void add_job(struct infos *infos, const struct jq_job *job)
{
    struct jq_job_info info;

    jq_info_of_job(job, &info);
    add(infos, &info);
    infos->batch = job->end_batch > infos->batch ? job->end_batch : infos->batch;
}

static void tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                 const struct infos *infos)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_INFOS,
        .correlation = correlation,
        .u.infos = { .jobs = jq_records_of((uint32_t)infos->count, infos->bytes) },
    };

    if (jq_buf_ok(infos->bytes))
        jq_tell(core, peer, infos->batch, &msg);
    else
        jq_tell_error(core, peer, correlation, JQ_EBUSY, NULL);
}

static enum jq_err look_up(struct jq_core *core, uint64_t peer, uint64_t correlation,
                           const uint64_t *ids, uint32_t count, struct infos *infos);

/* lookup: `kept` has number[0] infos, true with batch number[1], with number[2] attempts. */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct infos infos = {
        .bytes = &lookup->kept,
        .count = lookup->number[0],
        .batch = lookup->number[1],
        .attempts = lookup->number[2],
    };
    size_t cursor = 0;
    uint32_t i = 0;

    if (!peer)
        return;
    for (; i < lookup->count && !(lookup->more && cursor == lookup->found); i++) {
        const struct jq_loaded_job *job = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        const struct jq_job *live = jq_job_find(core, lookup->ids[i]);
        struct jq_job_info info = { .id = lookup->ids[i] };
        if (live) { /* it has come back to life meanwhile */
            add_job(&infos, live);
            continue;
        }
        if (job)
            jq_info_of_loaded(core, job, &info);
        else
            info.error = lookup->err != JQ_OK ? lookup->err : jq_absent(core, info.id);
        add(&infos, &info);
    }
    if (i == lookup->count)
        tell(core, peer, lookup->correlation, &infos);
    else if (i == 0 || look_up(core, peer->id, lookup->correlation, lookup->ids + i,
                               lookup->count - i, &infos) != JQ_OK)
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
}

/* Takes the bytes of `infos` when it returns OK. */
static enum jq_err look_up(struct jq_core *core, uint64_t peer, uint64_t correlation,
                           const uint64_t *ids, uint32_t count, struct infos *infos)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer, correlation, loaded);

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = infos->count;
    lookup->number[1] = infos->batch;
    lookup->number[2] = infos->attempts;
    const enum jq_err err = jq_lookup_ids(core, lookup, ids, count, JQ_READ_RESULT, 0);
    if (err != JQ_OK) {
        jq_lookup_free(core, lookup);
        return err;
    }
    lookup->kept = *infos->bytes;
    *infos->bytes = (struct jq_buf){ 0 };
    return JQ_OK;
}

/* Those that are in memory, or nowhere; the other ids to `absent`. Returns how many. */
static uint32_t gather(const struct jq_core *core, struct jq_records jobs, struct infos *infos,
                       uint64_t *absent)
{
    struct jq_job_ref ref;
    uint32_t count = 0;

    for (struct jq_reader r = jq_records_reader(jobs); jq_job_ref_next(&r, &ref);) {
        const struct jq_job *job = jq_job_find(core, ref.id);
        struct jq_job_info info = { .id = ref.id, .error = JQ_ENOENT };
        if (job)
            add_job(infos, job);
        else if (jq_absent(core, ref.id) == JQ_EGONE)
            absent[count++] = ref.id;
        else
            add(infos, &info);
    }
    return count;
}

enum jq_err jq_info_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_records jobs = msg->u.info.jobs;
    uint64_t *absent = jq_alloc(((size_t)jobs.count + 1) * sizeof *absent);
    struct jq_buf bytes = { 0 };
    struct infos infos = { .bytes = &bytes };
    enum jq_err err = JQ_OK;

    if (!absent)
        return JQ_ENOMEM;
    const uint32_t count = gather(core, jobs, &infos, absent);
    if (count)
        err = look_up(core, peer->id, msg->correlation, absent, count, &infos);
    else
        tell(core, peer, msg->correlation, &infos);
    jq_buf_fini(&bytes);
    jq_free(absent);
    return err;
}
