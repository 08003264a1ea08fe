/* SPDX-License-Identifier: MIT
 *
 * limit.c - limits and mutexes by name: at most so many jobs that name one run at a time. A job
 * that has to wait occupies nothing, and takes all that it names at once or nothing.
 *
 * A job is looked at when it is about to be granted. Is one of its limiters full, it waits there,
 * in the line of its queue. Room that comes up is offered to as many waiting jobs as it is for:
 * they are READY again, at their places, and take it when they are granted. When they cannot be
 * granted, though workers are idle (their queue is paused, they need other workers), more are
 * woken, so that none keeps from others what it does not use. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

uint32_t jq_limit_max(const struct jq_limiter *limiter)
{
    if (limiter->mutex)
        return 1;
    const uint32_t max = limiter->set ? limiter->set : limiter->said;
    return max ? max : UINT32_MAX;
}

static bool has_room(const struct jq_limiter *limiter)
{
    return limiter->used < jq_limit_max(limiter);
}

const struct jq_limiter *jq_limit_of(const struct jq_job *job)
{
    return job->extra && job->extra->line ? job->extra->line->limiter : NULL;
}

uint64_t jq_limit_holder(const struct jq_limiter *limiter)
{
    const struct jq_dlink *first = jq_dlist_first(&limiter->holders);
    return first ? JQ_ELEMENT(first, struct jq_use, in_holders)->job->id : 0;
}

/* ---- by name ---- */

static uint64_t hash_of(const struct jq_core *core, struct jq_view name, bool mutex)
{
    const uint64_t hash = jq_name_hash(core, name) ^ (mutex ? UINT64_C(0x5bd1e995) : 0);
    return hash ? hash : 1;
}

struct jq_limiter *jq_limit_find(const struct jq_core *core, struct jq_view name, bool mutex)
{
    struct jq_limiter *at = jq_map_find(&core->limits, hash_of(core, name, mutex));

    while (at && (at->mutex != mutex || !jq_view_equal(jq_blob_view(at->name), name)))
        at = at->same_hash;
    return at;
}

enum jq_err jq_limit_get(struct jq_core *core, struct jq_view name, bool mutex,
                         struct jq_limiter **ret_limiter)
{
    const uint64_t hash = hash_of(core, name, mutex);

    *ret_limiter = jq_limit_find(core, name, mutex);
    if (*ret_limiter)
        return JQ_OK;
    JQ_TRY(jq_map_reserve(&core->limits, 1));
    struct jq_limiter *limiter = jq_alloc_zero(1, sizeof *limiter);
    if (!limiter)
        return JQ_ENOMEM;
    limiter->name = jq_blob_new(name);
    if (!limiter->name) {
        jq_free(limiter);
        return JQ_ENOMEM;
    }
    limiter->core = core;
    limiter->mutex = mutex;
    jq_dlist_init(&limiter->holders);
    jq_dlist_init(&limiter->lines);
    limiter->same_hash = jq_map_remove(&core->limits, hash);
    JQ_CHECK(jq_map_put(&core->limits, hash, limiter) == JQ_OK);
    jq_dlist_append(&core->limits_in_order, &limiter->in_all);
    *ret_limiter = limiter;
    return JQ_OK;
}

static void limiter_free(struct jq_limiter *limiter)
{
    struct jq_core *core = limiter->core;
    const uint64_t hash = hash_of(core, jq_blob_view(limiter->name), limiter->mutex);
    struct jq_limiter *first = jq_map_remove(&core->limits, hash);
    struct jq_limiter **at = &first;

    while (*at != limiter)
        at = &(*at)->same_hash;
    *at = limiter->same_hash;
    if (first)
        JQ_CHECK(jq_map_put(&core->limits, hash, first) == JQ_OK);
    jq_dlist_remove(&limiter->in_open);
    jq_dlist_remove(&limiter->in_all);
    jq_blob_drop(limiter->name);
    jq_free(limiter);
}

void jq_limits_free(struct jq_core *core)
{
    for (struct jq_dlink *link; (link = jq_dlist_first(&core->limits_in_order));)
        limiter_free(JQ_ELEMENT(link, struct jq_limiter, in_all));
    jq_map_fini(&core->limits);
}

/* ---- lines ---- */

static bool before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_job *x = JQ_ELEMENT(a, struct jq_extra, in_line)->job;
    const struct jq_job *y = JQ_ELEMENT(b, struct jq_extra, in_line)->job;

    return jq_queue_before(x, y);
}

static void line_drop(struct jq_limit_line *line)
{
    struct jq_limiter *limiter = line->limiter;

    limiter->references--;
    if (--line->references == 0) {
        jq_dlist_remove(&line->in_limiter);
        jq_heap_fini(&line->waiting);
        jq_free(line);
    }
    if (limiter->references == 0 && !limiter->kept)
        limiter_free(limiter);
}

static struct jq_limit_line *find_line(struct jq_limiter *limiter, const struct jq_queue *queue)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&limiter->lines, at));) {
        struct jq_limit_line *line = JQ_ELEMENT(at, struct jq_limit_line, in_limiter);
        if (line->queue == queue)
            return line;
    }
    return NULL;
}

static struct jq_limit_line *line_of(struct jq_limiter *limiter, struct jq_queue *queue)
{
    struct jq_limit_line *line = find_line(limiter, queue);

    if (line || !(line = jq_alloc_zero(1, sizeof *line)))
        return line;
    line->limiter = limiter;
    line->queue = queue;
    jq_heap_init(&line->waiting, before);
    jq_dlist_append(&limiter->lines, &line->in_limiter);
    return line;
}

/* There is room in the line for every job that may come to wait in it. */
static enum jq_err use(struct jq_core *core, struct jq_job *job, struct jq_view name, bool mutex)
{
    struct jq_extra *extra = job->extra;
    struct jq_limiter *limiter;

    JQ_TRY(jq_limit_get(core, name, mutex, &limiter));
    struct jq_limit_line *line = line_of(limiter, job->queue);
    if (!line) {
        if (limiter->references == 0 && !limiter->kept)
            limiter_free(limiter);
        return JQ_ENOMEM;
    }
    line->references++;
    limiter->references++;
    if (jq_heap_reserve(&line->waiting, line->references - line->waiting.count) != JQ_OK) {
        line_drop(line);
        return JQ_ENOMEM;
    }
    extra->uses[extra->uses_count++] = (struct jq_use){ .job = job, .line = line };
    return JQ_OK;
}

enum jq_err jq_limit_prepare(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;
    const size_t count = (size_t)extra->options->limits.count + extra->options->mutexes.count;
    struct jq_limit limit;
    struct jq_word mutex;

    if (count == 0)
        return JQ_OK;
    extra->uses = jq_alloc_zero(count, sizeof *extra->uses);
    if (!extra->uses)
        return JQ_ENOMEM;
    for (struct jq_reader r = jq_records_reader(extra->options->limits); jq_limit_next(&r, &limit);)
        JQ_TRY(use(core, job, limit.name, false));
    for (struct jq_reader r = jq_records_reader(extra->options->mutexes); jq_word_next(&r, &mutex);)
        JQ_TRY(use(core, job, mutex.name, true));
    return JQ_OK;
}

void jq_limit_unuse(struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    for (uint32_t i = 0; i < extra->uses_count; i++) {
        jq_dlist_remove(&extra->uses[i].in_holders);
        line_drop(extra->uses[i].line);
    }
    jq_free(extra->uses);
    extra->uses = NULL;
    extra->uses_count = 0;
}

/* ---- waiting ---- */

/* Whether it has room for jobs that wait has changed. */
static void note(struct jq_limiter *limiter)
{
    const bool open = limiter->waiting > 0 && has_room(limiter);

    if (open && !jq_dlink_used(&limiter->in_open))
        jq_dlist_append(&limiter->core->limits_open, &limiter->in_open);
    else if (!open)
        jq_dlist_remove(&limiter->in_open);
}

void jq_limit_changed(struct jq_limiter *limiter)
{
    note(limiter);
}

void jq_limit_said(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;
    struct jq_limit limit;
    uint32_t i = 0;

    (void)core;
    for (struct jq_reader r = jq_records_reader(extra->options->limits); jq_limit_next(&r, &limit);
         i++) {
        struct jq_limiter *limiter = extra->uses[i].line->limiter;
        if (limit.max == 0)
            continue;
        limiter->said = (uint32_t)limit.max;
        note(limiter);
    }
}

void jq_limit_reorder(struct jq_core *core, const struct jq_queue *queue)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->limits_in_order, at));) {
        struct jq_limiter *limiter = JQ_ELEMENT(at, struct jq_limiter, in_all);
        struct jq_limit_line *line = find_line(limiter, queue);
        if (line)
            jq_heap_rebuild(&line->waiting);
    }
}

bool jq_limit_admit(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;
    uint32_t i = 0;

    while (extra && i < extra->uses_count && has_room(extra->uses[i].line->limiter))
        i++;
    if (!extra || i == extra->uses_count)
        return true;
    struct jq_limit_line *line = extra->uses[i].line;
    job->hold = JQ_HOLD_LIMIT;
    jq_job_move(core, job, JQ_BLOCKED);
    extra->line = line;
    JQ_CHECK(jq_heap_put(&line->waiting, &extra->in_line) == JQ_OK);
    line->limiter->waiting++;
    note(line->limiter);
    return false;
}

void jq_limit_leaves(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    (void)core;
    if (extra->woken_by) {
        extra->woken_by->woken--;
        extra->woken_by = NULL;
    }
    if (extra->line) {
        struct jq_limit_line *line = extra->line;
        jq_heap_remove(&line->waiting, &extra->in_line);
        line->limiter->waiting--;
        extra->line = NULL;
        note(line->limiter);
    }
}

void jq_limit_hold(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    (void)core;
    for (uint32_t i = 0; i < extra->uses_count; i++) {
        struct jq_limiter *limiter = extra->uses[i].line->limiter;
        limiter->used++;
        jq_dlist_append(&limiter->holders, &extra->uses[i].in_holders);
        note(limiter);
    }
}

void jq_limit_release(struct jq_core *core, struct jq_job *job)
{
    struct jq_extra *extra = job->extra;

    (void)core;
    for (uint32_t i = 0; extra && i < extra->uses_count; i++) {
        struct jq_limiter *limiter = extra->uses[i].line->limiter;
        limiter->used--;
        jq_dlist_remove(&extra->uses[i].in_holders);
        note(limiter);
    }
}

/* ---- waking ---- */

/* The best of the queue whose turn it is. */
static enum jq_err wake(struct jq_core *core, struct jq_limiter *limiter)
{
    struct jq_limit_line *line;
    struct jq_dlink *at = jq_dlist_first(&limiter->lines);

    while ((line = JQ_ELEMENT(at, struct jq_limit_line, in_limiter))->waiting.count == 0)
        at = jq_dlist_next(&limiter->lines, at); /* somebody waits */
    struct jq_extra *extra = JQ_ELEMENT(jq_heap_first(&line->waiting), struct jq_extra, in_line);
    JQ_TRY(jq_job_reserve(core, extra->job));
    jq_dlist_remove(&line->in_limiter);
    jq_dlist_append(&limiter->lines, &line->in_limiter);
    jq_job_move(core, extra->job, JQ_READY);
    extra->woken_by = limiter;
    limiter->woken++;
    return JQ_OK;
}

static bool may_wake(const struct jq_limiter *limiter)
{
    return limiter->waiting && limiter->used + limiter->woken < jq_limit_max(limiter);
}

bool jq_limit_pending(const struct jq_core *core)
{
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->limits_open, at));)
        if (may_wake(JQ_ELEMENT(at, struct jq_limiter, in_open)))
            return true;
    return false;
}

enum jq_err jq_limit_resolve(struct jq_core *core)
{
    struct jq_dlink *next;

    for (struct jq_dlink *at = jq_dlist_first(&core->limits_open); at; at = next) {
        struct jq_limiter *limiter = JQ_ELEMENT(at, struct jq_limiter, in_open);
        next = jq_dlist_next(&core->limits_open, at);
        while (may_wake(limiter))
            JQ_TRY(wake(core, limiter));
    }
    return JQ_OK;
}

/* Would a job that is ready now be granted? */
static bool grants_go_on(const struct jq_core *core)
{
    return !jq_dlist_empty(&core->idle) && jq_grants_open(core) && !jq_core_full(core);
}

bool jq_limit_wake_more(struct jq_core *core)
{
    struct jq_dlink *next;
    bool any = false;

    if (!grants_go_on(core))
        return false;
    for (struct jq_dlink *at = jq_dlist_first(&core->limits_open); at; at = next) {
        struct jq_limiter *limiter = JQ_ELEMENT(at, struct jq_limiter, in_open);
        next = jq_dlist_next(&core->limits_open, at);
        /* Twice as many with each attempt: few attempts, and as few too many. */
        for (uint64_t more = limiter->woken + 1; more && limiter->waiting; more--) {
            if (wake(core, limiter) != JQ_OK)
                return false;
            any = true;
        }
    }
    return any;
}

bool jq_limit_blocker(const struct jq_core *core, const struct jq_job *job,
                      struct jq_view *ret_name, bool *ret_mutex, uint64_t *ret_used,
                      uint64_t *ret_max, uint64_t *ret_holder)
{
    const struct jq_limiter *limiter = jq_limit_of(job);

    (void)core;
    if (!limiter)
        return false;
    *ret_name = jq_blob_view(limiter->name);
    *ret_mutex = limiter->mutex;
    *ret_used = limiter->used;
    *ret_max = jq_limit_max(limiter);
    *ret_holder = jq_limit_holder(limiter);
    return true;
}
