/* SPDX-License-Identifier: MIT
 *
 * why.c - WHY: the reasons why a job has not started or not ended, outermost first. The words of
 * `kind` are listed in PROTOCOL.md. */
#include <stdarg.h>
#include <stdio.h>

#include "broker/core/state.h"

enum { AHEAD_MAX = 10000 }; /* jobs looked at */

struct because {
    struct jq_buf blockers;
    uint32_t count;
};

static void add(struct because *b, const char *kind, uint64_t subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add(struct because *b, const char *kind, uint64_t subject, const char *format, ...)
{
    char text[JQ_REASON_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct jq_blocker blocker = {
        .kind = jq_view_str(kind),
        .text = jq_view_str(text),
        .subject = subject,
    };
    jq_blocker_write(&b->blockers, &blocker);
    b->count++;
}

static bool is_before(const struct jq_job *a, const struct jq_job *b)
{
    return jq_order_before(a->queue->order, (struct jq_order_key){ a->priority, a->id },
                           (struct jq_order_key){ b->priority, b->id });
}

/* Jobs that run before it, counted among the first AHEAD_MAX of each container. */
static uint64_t ahead_of(const struct jq_job *job, bool *ret_more)
{
    const struct jq_queue *queue = job->queue;
    const bool newest_first = queue->order == JQ_LIFO;
    struct jq_dlink *at = NULL;
    uint64_t ahead = 0;
    size_t i = 0;

    /* In the order in which they run: the first that does not run before it ends the count. */
    for (; ahead < AHEAD_MAX; ahead++) {
        at = newest_first ? jq_dlist_prev(&queue->fresh, at) : jq_dlist_next(&queue->fresh, at);
        if (!at || !is_before(JQ_ELEMENT(at, struct jq_job, in_place), job))
            break;
    }
    *ret_more = ahead == AHEAD_MAX;
    for (; i < queue->sorted.count && i < AHEAD_MAX; i++)
        ahead += is_before(JQ_ELEMENT(queue->sorted.nodes[i], struct jq_job, in_heap), job);
    *ret_more |= i < queue->sorted.count;
    return ahead;
}

static void why_ready(const struct jq_core *core, const struct jq_job *job, struct because *b)
{
    uint64_t slots = 0, busy = 0, workers = 0, draining = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->workers_in_order, at));) {
        const struct jq_worker *worker = JQ_ELEMENT(at, struct jq_worker, in_all);
        if (!worker->peer)
            continue;
        workers++;
        draining += worker->draining;
        slots += worker->slots;
        busy += worker->busy < worker->slots ? worker->busy : worker->slots;
    }
    if (jq_settling(core))
        add(b, "settling", core->ghosts,
            "the broker has just started and waits for %llu workers that may still run jobs",
            (unsigned long long)core->ghosts);
    if (workers == 0)
        add(b, "no_worker", 0, "no worker is connected");
    else if (draining == workers)
        add(b, "no_worker", draining, "all workers are leaving: none takes jobs");
    else if (jq_dlist_empty(&core->idle))
        add(b, "no_slot", slots - busy, "no free slot (%llu/%llu busy)", (unsigned long long)busy,
            (unsigned long long)slots);
    bool more;
    const uint64_t ahead = ahead_of(job, &more);
    if (ahead)
        add(b, "behind", ahead, "%s%llu jobs of queue %.*s run before it", more ? "at least " : "",
            (unsigned long long)ahead, JQ_VIEW_ARG(jq_blob_view(job->queue->name)));
    if (b->count == 0)
        add(b, "no_slot", 0, "it is about to be handed to a worker");
}

static void why_running(const struct jq_core *core, const struct jq_job *job, struct because *b)
{
    const jq_ms silent_ms = core->now.mono - job->worker->renewed_at;

    if (job->cancel_asked)
        add(b, "cancelling", job->attempt, "cancelled; its worker has been told to end it");
    add(b, "running", job->attempt, "attempt %u runs on worker %.*s%s", job->attempt,
        JQ_VIEW_ARG(jq_blob_view(job->ran_on)),
        job->worker->peer ? "" : ", which is not connected now");
    if (silent_ms > 2 * core->conf.heartbeat_ms)
        add(b, "silent", (uint64_t)silent_ms,
            "its worker has not been heard of for %lld s; after %lld s the job goes to another",
            (long long)(silent_ms / 1000), (long long)(core->conf.lease_ms / 1000));
}

static void tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                 enum jq_job_state state, struct because *b)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_BECAUSE,
        .correlation = correlation,
        .u.because = { .state = state, .blockers = jq_records_of(b->count, &b->blockers) },
    };

    if (jq_buf_ok(&b->blockers))
        jq_tell(core, peer, batch, &msg);
    else
        jq_tell_error(core, peer, correlation, JQ_EBUSY, NULL);
    jq_buf_fini(&b->blockers);
}

static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_peer *peer = jq_peer_find(core, lookup->peer);
    struct because b = { .count = 0 };

    if (!peer)
        return;
    if (lookup->err != JQ_OK || lookup->found == 0) {
        jq_tell_error(core, peer, lookup->correlation,
                      lookup->err != JQ_OK ? lookup->err : jq_absent(core, lookup->ids[0]), NULL);
        return;
    }
    const enum jq_job_state state = lookup->jobs[0].job.state;
    add(&b, "ended", state, "it has ended: %s", jq_state_name(state));
    tell(core, peer, lookup->correlation, JQ_AT_ONCE, state, &b);
}

enum jq_err jq_why_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const uint64_t id = msg->u.why.id;
    const struct jq_job *job = jq_job_find(core, id);
    struct because b = { .count = 0 };

    if (!job && jq_absent(core, id) == JQ_ENOENT) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, NULL);
        return JQ_OK;
    }
    if (!job) {
        struct jq_lookup *lookup = jq_lookup_new(core, peer->id, msg->correlation, loaded);
        if (!lookup)
            return JQ_ENOMEM;
        const enum jq_err err = jq_lookup_ids(core, lookup, &id, 1, 0, 0);
        if (err != JQ_OK)
            jq_lookup_free(core, lookup);
        return err;
    }
    if (job->state == JQ_READY)
        why_ready(core, job, &b);
    else if (job->state == JQ_RUNNING)
        why_running(core, job, &b);
    else
        add(&b, "ended", job->state, "it has ended: %s", jq_state_name(job->state));
    tell(core, peer, msg->correlation, job->end_batch, job->state, &b); /* 0: it has not ended */
    return JQ_OK;
}
