/* SPDX-License-Identifier: MIT
 *
 * why.c - WHY: the reasons why a job has not started or not ended, outermost first: its queue, what
 * it waits for, its turn. The words of `kind` are listed in PROTOCOL.md. Why one has ended is
 * why_ended.c's. */
#include <stdarg.h>
#include <stdio.h>

#include "broker/core/why.h"
#include "proto/base/alloc.h"

enum {
    AHEAD_MAX = 10000, /* jobs looked at */
    BLOCKERS_MAX = 64, /* as BECAUSE has */
    PARENTS_MAX = 16,  /* of one job, told one by one */
    DEPTH_MAX = 8,     /* jobs that wait for one another, followed */
};

/* ---- saying it ---- */

void jq_reasons_add(struct jq_reasons *b, const char *kind, uint64_t subject, const char *format,
                    ...)
{
    char text[JQ_REASON_MAX];
    va_list args;
    int used = 0;

    if (b->count == BLOCKERS_MAX)
        return;
    if (b->about)
        used = snprintf(text, sizeof text, "job %llu: ", (unsigned long long)b->about);
    va_start(args, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    va_end(args);
    const struct jq_blocker blocker = {
        .kind = jq_view_str(kind),
        .text = jq_view_str(text),
        .subject = subject,
    };
    jq_blocker_write(&b->blockers, &blocker);
    b->count++;
}

struct span {
    char text[32];
};

/* "00:07", "1:00:07", "3 d 1:00:07" */
static struct span span_of(jq_ns ns)
{
    const unsigned long long seconds = ns > 0 ? (unsigned long long)(ns / 1000000000) : 0;
    const unsigned s = (unsigned)(seconds % 60), m = (unsigned)(seconds / 60 % 60);
    const unsigned h = (unsigned)(seconds / 3600 % 24);
    struct span ret;

    if (seconds < 3600)
        snprintf(ret.text, sizeof ret.text, "%02u:%02u", m, s);
    else if (seconds < 86400)
        snprintf(ret.text, sizeof ret.text, "%u:%02u:%02u", h, m, s);
    else
        snprintf(ret.text, sizeof ret.text, "%llu d %u:%02u:%02u", seconds / 86400, h, m, s);
    return ret;
}

static void append(char *text, size_t size, size_t *used, struct jq_view name)
{
    const int more =
        snprintf(text + *used, size - *used, "%s%.*s", *used ? ", " : "", JQ_VIEW_ARG(name));
    *used += more > 0 ? (size_t)more : 0;
    if (*used >= size)
        *used = size - 1;
}

static struct jq_job_options options_of(const struct jq_job *job)
{
    struct jq_job_options options = { 0 };
    struct jq_reader r = jq_reader(jq_job_options(job));

    if (job->extra)
        return *job->extra->options;
    if (job->fixed.options_size && jq_job_options_read(&r, &options) != JQ_OK)
        options = (struct jq_job_options){ 0 };
    return options;
}

/* ---- what it waits for ---- */

/* "job 1042, which has been running for 00:07 on w3" */
static void describe(const struct jq_core *core, const struct jq_job *job, char *text, size_t size)
{
    const int used = snprintf(text, size, "job %llu, which ", (unsigned long long)job->id);

    text += used;
    size -= (size_t)used;
    if (job->state == JQ_RUNNING)
        snprintf(text, size, "has been running for %s on %.*s",
                 span_of(core->now.wall - job->started_at).text,
                 JQ_VIEW_ARG(jq_blob_view(job->ran_on)));
    else if (job->state == JQ_DELAYED)
        snprintf(text, size, "is delayed: %s left",
                 span_of(jq_job_due_at(job) - core->now.wall).text);
    else
        snprintf(text, size, "is %s", jq_state_name(job->state));
}

/* The jobs that it waits for and that have not ended; the first of them is returned. */
static const struct jq_job *why_edges(const struct jq_core *core, const struct jq_job *job,
                                      struct jq_reasons *b)
{
    const struct jq_job_options options = options_of(job);
    const struct jq_job *first = NULL;
    struct jq_dependency edge;
    char text[384];
    uint64_t count = 0;

    for (struct jq_reader r = jq_records_reader(options.after); jq_dependency_next(&r, &edge);) {
        const struct jq_job *parent = jq_job_find(core, edge.id);
        if (!parent || jq_state_is_terminal(parent->state))
            continue;
        first = first ? first : parent;
        if (count++ >= PARENTS_MAX)
            continue;
        describe(core, parent, text, sizeof text);
        jq_reasons_add(b, "dependency", parent->id, "waits for %s", text);
    }
    if (count > PARENTS_MAX)
        jq_reasons_add(b, "dependency", 0, "and for %llu more jobs",
                       (unsigned long long)(count - PARENTS_MAX));
    if (count == 0)
        jq_reasons_add(b, "dependency", 0, "what it waited for has ended: it goes on now");
    return first;
}

/* False: nothing that it names is full. */
static bool why_limit(const struct jq_core *core, const struct jq_job *job, struct jq_reasons *b)
{
    uint64_t used, max, holder;
    struct jq_view name;
    bool is_mutex;
    char text[384];

    if (!jq_limit_blocker(core, job, &name, &is_mutex, &used, &max, &holder))
        return false;
    const struct jq_job *holds = holder ? jq_job_find(core, holder) : NULL;
    if (holds)
        describe(core, holds, text, sizeof text);
    else
        snprintf(text, sizeof text, "another job");
    if (is_mutex)
        jq_reasons_add(b, "mutex", holder, "mutex %.*s is held by %s", JQ_VIEW_ARG(name), text);
    else
        jq_reasons_add(b, "limit", used, "limit %.*s is full: %llu/%llu", JQ_VIEW_ARG(name),
                       (unsigned long long)used, (unsigned long long)max);
    return true;
}

static void why_delay(const struct jq_core *core, const struct jq_job *job, struct jq_reasons *b)
{
    const jq_ns left = jq_job_due_at(job) - core->now.wall;
    const uint64_t left_ms = left > 0 ? (uint64_t)left / 1000000 : 0;

    if (job->failures)
        jq_reasons_add(b, "retry", job->failures, "%u of its attempts failed; the next in %s",
                       job->failures, span_of(left).text);
    else
        jq_reasons_add(b, "delay", left_ms, "delayed: %s left", span_of(left).text);
}

/* Returns the job that has to end first, if that is what it waits for. */
static const struct jq_job *why_blocked(const struct jq_core *core, const struct jq_job *job,
                                        struct jq_reasons *b)
{
    const struct jq_job *parent = NULL;

    if (job->hold == JQ_HOLD_EDGES)
        parent = why_edges(core, job, b);
    else if (job->hold == JQ_HOLD_FULL)
        jq_reasons_add(b, "full", job->queue->maxsize,
                       "it came back while its queue was full: %llu/%llu places taken",
                       (unsigned long long)job->queue->by_state[JQ_READY],
                       (unsigned long long)job->queue->maxsize);
    else if (job->hold == JQ_HOLD_LIMIT && !why_limit(core, job, b))
        jq_reasons_add(b, "limit", 0, "what it waited for is free: it goes on now");
    if (jq_job_due_at(job) > core->now.wall)
        why_delay(core, job, b);
    return parent;
}

/* ---- its turn ---- */

/* Jobs for the same takers that run before it, counted among the first AHEAD_MAX of each container.
 */
static uint64_t ahead_of(const struct jq_job *job, bool *ret_more)
{
    const struct jq_lane *lane = jq_lane_of(job);
    const bool newest_first = job->queue->order == JQ_LIFO;
    struct jq_dlink *at = NULL;
    uint64_t ahead = 0;
    size_t i = 0;

    /* In the order in which they run: the first that does not run before it ends the count. */
    for (; ahead < AHEAD_MAX; ahead++) {
        at = newest_first ? jq_dlist_prev(&lane->fresh, at) : jq_dlist_next(&lane->fresh, at);
        if (!at || !jq_queue_before(JQ_ELEMENT(at, struct jq_job, in_place), job))
            break;
    }
    *ret_more = ahead == AHEAD_MAX;
    for (; i < lane->sorted.count && i < AHEAD_MAX; i++)
        ahead += jq_queue_before(JQ_ELEMENT(lane->sorted.nodes[i], struct jq_job, in_heap), job);
    *ret_more |= i < lane->sorted.count || (job->is_beyond && jq_spilled(lane));
    return ahead;
}

struct staff {
    uint64_t workers, draining;       /* connected */
    uint64_t able, slots, busy, idle; /* of them: not leaving, and with the tags that it needs */
};

static struct staff staff_for(const struct jq_core *core, const struct jq_job *job)
{
    struct staff s = { 0 };

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->workers_in_order, at));) {
        const struct jq_worker *worker = JQ_ELEMENT(at, struct jq_worker, in_all);
        if (!worker->peer)
            continue;
        s.workers++;
        s.draining += worker->draining;
        if (worker->draining || !jq_worker_fits(worker, job))
            continue;
        s.able++;
        s.slots += worker->slots;
        s.busy += worker->busy < worker->slots ? worker->busy : worker->slots;
        s.idle += jq_worker_room(worker) > 0;
    }
    return s;
}

static void why_no_tag(const struct jq_job *job, uint64_t workers, struct jq_reasons *b)
{
    const struct jq_job_options options = options_of(job);
    struct jq_word tag;
    char text[256] = "";
    size_t used = 0;

    for (struct jq_reader r = jq_records_reader(options.needs); jq_word_next(&r, &tag);)
        append(text, sizeof text, &used, tag.name);
    jq_reasons_add(b, "no_tag", workers, "no worker has the tag%s %s (%llu worker%s connected)",
                   options.needs.count == 1 ? "" : "s", text, (unsigned long long)workers,
                   workers == 1 ? "" : "s");
}

static void why_no_worker(const struct jq_core *core, const struct jq_job *job,
                          struct jq_reasons *b)
{
    const struct staff s = staff_for(core, job);

    if (jq_settling(core))
        jq_reasons_add(
            b, "settling", core->ghosts,
            "the broker has just started and waits for %llu workers that may still run jobs",
            (unsigned long long)core->ghosts);
    if (s.workers == 0)
        jq_reasons_add(b, "no_worker", 0, "no worker is connected");
    else if (s.draining == s.workers)
        jq_reasons_add(b, "no_worker", s.draining, "all workers are leaving: none takes jobs");
    else if (s.able == 0)
        why_no_tag(job, s.workers, b);
    else if (s.idle == 0)
        jq_reasons_add(b, "no_slot", s.slots - s.busy, "no free slot (%llu/%llu busy)",
                       (unsigned long long)s.busy, (unsigned long long)s.slots);
}

static void why_ready(const struct jq_core *core, const struct jq_job *job, struct jq_reasons *b)
{
    const struct jq_queue *queue = job->queue;
    const bool is_item = job->is_item;
    const uint32_t before = b->count;
    bool more;

    if (job->damaged)
        jq_reasons_add(b, "damaged", 0, "its stored bytes are damaged: it is not run");
    if (is_item)
        jq_reasons_add(b, "no_getter", 0, "an item: it waits for a get");
    else
        why_no_worker(core, job, b);
    if (queue->concurrency && queue->by_state[JQ_RUNNING] >= queue->concurrency)
        jq_reasons_add(b, "concurrency", queue->by_state[JQ_RUNNING], "queue concurrency %llu/%u",
                       (unsigned long long)queue->by_state[JQ_RUNNING], queue->concurrency);
    why_limit(core, job, b);
    const uint64_t ahead = ahead_of(job, &more);
    if (ahead)
        jq_reasons_add(b, "behind", ahead, "%s%llu %s of queue %.*s before it",
                       more ? "at least " : "", (unsigned long long)ahead,
                       ahead == 1 ? "job" : "jobs", JQ_VIEW_ARG(jq_blob_view(queue->name)));
    if (b->count == before && !queue->paused)
        jq_reasons_add(b, "no_slot", 0, "it is about to be handed to a worker");
}

/* ---- while it runs ---- */

static void why_running(const struct jq_core *core, const struct jq_job *job, struct jq_reasons *b)
{
    const jq_ms silent_ms = core->now.mono - job->worker->renewed_at;
    const bool is_item = job->is_item;
    const struct span ran = span_of(core->now.wall - job->started_at);
    const struct jq_view name = jq_blob_view(job->ran_on);

    if (job->cancel_asked)
        jq_reasons_add(b, "cancelling", job->attempt,
                       "cancelled; its worker has been told to end it");
    if (is_item && jq_job_due_at(job))
        jq_reasons_add(b, "running", job->attempt,
                       "attempt %u: taken by %.*s for %s; its lease ends in %s", job->attempt,
                       JQ_VIEW_ARG(name), ran.text,
                       span_of(jq_job_due_at(job) - core->now.wall).text);
    else
        jq_reasons_add(b, "running", job->attempt, "attempt %u %s %.*s for %s%s", job->attempt,
                       is_item ? "is held by" : "runs on worker", JQ_VIEW_ARG(name), ran.text,
                       job->worker->peer ? "" : "; its holder is not connected now");
    if (!is_item && silent_ms > 2 * core->conf.heartbeat_ms)
        jq_reasons_add(
            b, "silent", (uint64_t)silent_ms,
            "its worker has not been heard of for %lld s; after %lld s the job goes to another",
            (long long)(silent_ms / 1000), (long long)(core->conf.lease_ms / 1000));
}

/* ---- all of it ---- */

/* Returns the job that has to end first, if that is what it waits for. */
static const struct jq_job *explain(const struct jq_core *core, const struct jq_job *job,
                                    struct jq_reasons *b)
{
    const struct jq_queue *queue = job->queue;
    const bool has_started = job->state >= JQ_RUNNING;
    const struct jq_job *parent = NULL;

    if (jq_purge_dooms(job))
        jq_reasons_add(b, "purged", queue->purge_before,
                       "its queue has been purged: it is about to be cancelled");
    if (!has_started && queue->paused)
        jq_reasons_add(b, "paused", 0, "its queue %.*s is paused",
                       JQ_VIEW_ARG(jq_blob_view(queue->name)));
    if (job->state == JQ_BLOCKED)
        parent = why_blocked(core, job, b);
    else if (job->state == JQ_DELAYED)
        why_delay(core, job, b);
    else if (job->state == JQ_READY)
        why_ready(core, job, b);
    else if (job->state == JQ_RUNNING)
        why_running(core, job, b);
    return parent;
}

void jq_why_tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                 enum jq_job_state state, struct jq_reasons *b)
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

/* A job that waits for another is explained by that one, and so on. */
void jq_why_live(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                 const struct jq_job *job)
{
    struct jq_reasons b = { 0 };
    const struct jq_job *next = explain(core, job, &b);

    for (int depth = 1; next && depth < DEPTH_MAX; depth++) {
        b.about = next->id;
        next = explain(core, next, &b);
    }
    jq_why_tell(core, peer, correlation, JQ_AT_ONCE, job->state, &b);
}

enum jq_err jq_why_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const uint64_t id = msg->u.why.id;
    const struct jq_job *job = jq_job_find(core, id);

    if (!job && jq_absent(core, id) == JQ_ENOENT) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOENT, NULL);
        return JQ_OK;
    }
    if (job && !jq_state_is_terminal(job->state)) {
        jq_why_live(core, peer, msg->correlation, job);
        return JQ_OK;
    }
    return jq_why_ended(core, peer, msg->correlation, id, job ? job->end_batch : 0);
}
