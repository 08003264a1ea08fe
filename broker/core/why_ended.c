/* SPDX-License-Identifier: MIT
 *
 * why_ended.c - WHY of a job that has ended: how, and for one that was skipped, for which job. The
 * store is asked for it, and then for the jobs that it waited for. */
#include <stdio.h>

#include "broker/core/why.h"
#include "proto/base/alloc.h"

enum { TEXT_MAX = 64 };

static void add_end(struct jq_reasons *b, const struct jq_loaded_job *job)
{
    const struct jq_result_record *result = &job->result;
    char how[TEXT_MAX] = "", attempts[TEXT_MAX] = "";

    if (job->has_result && result->signal)
        snprintf(how, sizeof how, ", signal %u", result->signal);
    else if (job->has_result && result->code)
        snprintf(how, sizeof how, ", code %lld", (long long)result->code);
    if (job->job.attempt > 1)
        snprintf(attempts, sizeof attempts, ", after %u attempts", job->job.attempt);
    if (job->job.flags & JQ_JOB_STORED_QUARANTINED)
        jq_reasons_add(b, "quarantined", job->job.crashes,
                       "quarantined: %u workers were lost while they ran it", job->job.crashes);
    jq_reasons_add(b, "ended", job->job.state, "it has ended: %s%s%s%s%.*s",
                   jq_state_name(job->job.state), how, attempts,
                   job->has_result && result->reason.size ? ": " : "",
                   JQ_VIEW_ARG(job->has_result ? result->reason : jq_view(NULL, 0)));
}

/* ---- skipped ---- */

static bool fulfils(uint64_t kind, enum jq_job_state state)
{
    return kind == JQ_AFTER_ANY || (kind == JQ_AFTER_OK) == (state == JQ_SUCCEEDED);
}

static uint32_t edges_of(const struct jq_job_record *job, uint64_t *ids, uint64_t *kinds)
{
    struct jq_reader r = jq_reader(job->options);
    struct jq_job_options options;
    struct jq_dependency edge;
    uint32_t count = 0;

    if (!job->options.size || jq_job_options_read(&r, &options) != JQ_OK)
        return 0;
    for (struct jq_reader e = jq_records_reader(options.after);
         count < JQ_AFTER_MAX && jq_dependency_next(&e, &edge); count++) {
        ids[count] = edge.id;
        kinds[count] = edge.kind;
    }
    return count;
}

/* lookup: `kept` is the kind of each edge, and then the blockers, number[0] of them. */
static void parents_loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    const uint8_t *kinds = lookup->kept.data;
    struct jq_reasons b = { 0 };
    size_t cursor = 0;

    if (!peer)
        return;
    for (uint32_t i = 0; i < lookup->count && b.count == 0; i++) {
        const struct jq_loaded_job *parent = jq_lookup_found(lookup, &cursor, lookup->ids[i]);
        if (parent && jq_state_is_terminal(parent->job.state) &&
            !fulfils(kinds[i], parent->job.state))
            jq_reasons_add(&b, "skipped", parent->job.id,
                           "skipped, as job %llu, which it waited for, has ended: %s",
                           (unsigned long long)parent->job.id, jq_state_name(parent->job.state));
    }
    jq_buf_append(&b.blockers, kinds + lookup->count, lookup->kept.size - lookup->count);
    b.count += (uint32_t)lookup->number[0];
    jq_why_tell(core, peer, lookup->correlation, JQ_AT_ONCE, JQ_SKIPPED, &b);
}

/* Asks for them. False: there are none, or no memory: it is told without. */
static bool ask_for_parents(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                            const struct jq_job_record *job, const struct jq_reasons *b)
{
    uint64_t ids[JQ_AFTER_MAX], kinds[JQ_AFTER_MAX];
    const uint32_t count = edges_of(job, ids, kinds);
    struct jq_lookup *lookup =
        count ? jq_lookup_new(core, peer->id, correlation, parents_loaded) : NULL;

    if (!lookup)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t kind = (uint8_t)kinds[i];
        jq_buf_append(&lookup->kept, &kind, 1);
    }
    jq_buf_append(&lookup->kept, b->blockers.data, b->blockers.size);
    lookup->number[0] = b->count;
    if (!jq_buf_ok(&lookup->kept) || !jq_buf_ok(&b->blockers) ||
        jq_lookup_ids(core, lookup, ids, count, 0, 0) != JQ_OK) {
        jq_lookup_free(core, lookup);
        return false;
    }
    return true;
}

/* ---- the job ---- */

static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct jq_job *live = jq_job_find(core, lookup->ids[0]);
    struct jq_reasons b = { 0 };

    if (!peer)
        return;
    if (!live && lookup->found && jq_spill_need(core, &lookup->jobs[0].job, &live) != JQ_OK) {
        jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
        return;
    }
    if (live && !jq_state_is_terminal(live->state)) { /* it has come back to life meanwhile */
        jq_why_live(core, peer, lookup->correlation, live);
        return;
    }
    if (lookup->err != JQ_OK || lookup->found == 0) {
        jq_tell_error(core, peer, lookup->correlation,
                      lookup->err != JQ_OK ? lookup->err : jq_absent(core, lookup->ids[0]), NULL);
        return;
    }
    const struct jq_loaded_job *job = &lookup->jobs[0];
    if (live && !jq_state_is_terminal(job->job.state)) { /* it has ended meanwhile */
        if (jq_why_ended(core, peer, lookup->correlation, live->id, live->end_batch) != JQ_OK)
            jq_tell_error(core, peer, lookup->correlation, JQ_EBUSY, NULL);
        return;
    }
    if (jq_spill_is_doomed(core, &job->job))
        jq_reasons_add(&b, "purged", 0, "its queue has been purged: it is about to be deleted");
    else
        add_end(&b, job);
    if (job->job.state == JQ_SKIPPED &&
        ask_for_parents(core, peer, lookup->correlation, &job->job, &b))
        jq_buf_fini(&b.blockers);
    else
        jq_why_tell(core, peer, lookup->correlation, JQ_AT_ONCE, job->job.state, &b);
}

enum jq_err jq_why_ended(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                         uint64_t id, uint64_t after)
{
    struct jq_lookup *lookup = jq_lookup_new(core, peer->id, correlation, loaded);

    if (!lookup)
        return JQ_ENOMEM;
    const enum jq_err err =
        jq_lookup_ids(core, lookup, &id, 1, JQ_READ_RESULT | JQ_READ_LIVE, after);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    return err;
}
