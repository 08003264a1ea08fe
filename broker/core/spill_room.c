/* SPDX-License-Identifier: MIT
 *
 * spill_room.c - too many jobs are in memory: those of the longest lanes that will run last leave
 * it. An eighth of all at once, so that the cost for each is small whatever the order. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum { KEEP_MIN = 8 /* of a lane */ };

/* ---- how much each lane keeps ---- */

struct lanes {
    struct jq_lane **all;
    size_t count;
    uint64_t jobs; /* in memory */
};

static enum jq_err gather(const struct jq_core *core, struct lanes *ret)
{
    struct jq_queue *queue;

    *ret = (struct lanes){ .all = jq_alloc((core->queues.count * JQ_SPILL_LANES + 1) *
                                           sizeof(struct jq_lane *)) };
    if (!ret->all)
        return JQ_ENOMEM;
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));) {
        struct jq_lane *const lanes[JQ_SPILL_LANES] = { &queue->plain, &queue->items };
        for (int i = 0; i < JQ_SPILL_LANES && !jq_purge_gates(queue); i++) {
            const uint64_t jobs = lanes[i]->count + lanes[i]->spill.beyond.count;
            if (jobs) /* one that is being purged has fewer soon */
                ret->all[ret->count++] = lanes[i];
            ret->jobs += jobs;
        }
    }
    return JQ_OK;
}

typedef uint64_t size_fn(const struct jq_lane *lane);

static uint64_t jobs_in(const struct jq_lane *lane)
{
    return lane->count;
}

static uint64_t bytes_in(const struct jq_lane *lane)
{
    return lane->bytes;
}

static bool fits(const struct lanes *lanes, size_fn *size_of, uint64_t level, uint64_t target)
{
    uint64_t total = 0;

    for (size_t i = 0; i < lanes->count; i++) {
        const uint64_t size = size_of(lanes->all[i]);
        total += size < level ? size : level;
    }
    return total <= target;
}

/* The level to which lanes are cut, so that what is left in all of them is at most `target`. */
static uint64_t level_for(const struct lanes *lanes, size_fn *size_of, uint64_t target)
{
    uint64_t low = lanes->count ? target / lanes->count : 0, high = target + 1;

    if (fits(lanes, size_of, UINT64_MAX, target))
        return UINT64_MAX;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (fits(lanes, size_of, middle, target))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- the last of a lane ---- */

/* Looked at again and again: not in the job, which is somewhere else each time. */
struct place {
    struct jq_order_key key;
    struct jq_job *job;
};

static void swap(struct place *a, struct place *b)
{
    const struct place other = *a;

    *a = *b;
    *b = other;
}

/* The first `keep` of them come to the front, in any order (Hoare's selection). */
static void select_first(enum jq_order_kind order, struct place *places, size_t count, size_t keep)
{
    size_t low = 0, high = count; /* the border is among these */

    while (high - low > 1) {
        const struct jq_order_key pivot = places[low + (high - low) / 2].key;
        size_t left = low, right = high; /* right: behind the one that is looked at */
        while (left < right) {
            while (jq_order_before(order, places[left].key, pivot))
                left++;
            while (jq_order_before(order, pivot, places[right - 1].key))
                right--;
            if (left < right) {
                swap(&places[left], &places[right - 1]);
                left++;
                right--;
            }
        }
        if (keep <= right)
            high = right;
        else if (keep >= left)
            low = left;
        else
            return;
    }
}

static void note(struct jq_job *job, struct place *ret)
{
    *ret = (struct place){ .key = jq_queue_key(job), .job = job };
}

/* Of a lane's jobs those among which its `last` last ones are, and the one before them: who has
 * come back stands in a heap, the others in their order. */
static size_t collect(const struct jq_lane *lane, size_t last, struct place *places)
{
    const bool newest_first = lane->queue->order == JQ_LIFO;
    const struct jq_dlist *fresh = &lane->fresh;
    struct jq_dlink *at = newest_first ? jq_dlist_first(fresh) : jq_dlist_last(fresh);
    size_t count = 0;

    for (; at && count <= last; count++) {
        note(JQ_ELEMENT(at, struct jq_job, in_place), &places[count]);
        at = newest_first ? jq_dlist_next(fresh, at) : jq_dlist_prev(fresh, at);
    }
    for (size_t i = 0; i < lane->sorted.count; i++)
        note(JQ_ELEMENT(lane->sorted.nodes[i], struct jq_job, in_heap), &places[count++]);
    return count;
}

static struct jq_order_key last_of(enum jq_order_kind order, const struct place *places,
                                   size_t count)
{
    struct jq_order_key last = places[0].key;

    for (size_t i = 1; i < count; i++)
        if (jq_order_before(order, last, places[i].key))
            last = places[i].key;
    return last;
}

/* Behind the edge from now on; it leaves once it may, and the batch has a place for it. */
static void put_behind(struct jq_core *core, struct jq_job *job)
{
    jq_lane_remove(core, job);
    jq_lane_put(core, job, false);
    jq_spill_offer(job);
}

static enum jq_err cut(struct jq_core *core, struct jq_lane *lane, struct place *places,
                       size_t last)
{
    const size_t count = collect(lane, last, places), keep = count - last;
    const size_t ops_max = core->conf.batch_jobs_max;
    const enum jq_order_kind order = lane->queue->order;

    JQ_TRY(jq_batch_reserve(core, (last < ops_max ? last : ops_max) + 1));
    JQ_TRY(jq_heap_reserve(&lane->spill.beyond, last));
    /* Those that were put last have not been in a heap, and may come back into one. */
    JQ_TRY(jq_heap_reserve(&lane->sorted, last + lane->spill.beyond.count));
    select_first(order, places, count, keep);
    lane->spill.edge = last_of(order, places, keep);
    lane->spill.has_edge = true;
    lane->spill.page = 0;
    jq_spill_turn_on(core, lane);
    for (size_t i = keep; i < count; i++) {
        if (jq_spill_may_leave(core, places[i].job) && jq_spill_may_move(core, places[i].job))
            jq_spill_leave(core, places[i].job);
        else
            put_behind(core, places[i].job);
    }
    return JQ_OK;
}

static enum jq_err cut_to(struct jq_core *core, struct jq_lane *lane, uint64_t keep)
{
    if (keep < KEEP_MIN)
        keep = KEEP_MIN;
    if (lane->count <= keep || lane->queue->durability == JQ_DURABILITY_MEMORY)
        return JQ_OK;
    const size_t last = (size_t)(lane->count - keep);
    struct place *places = jq_alloc((last + 1 + lane->sorted.count) * sizeof *places);
    if (!places)
        return JQ_ENOMEM;
    const enum jq_err err = cut(core, lane, places, last);
    jq_free(places);
    return err;
}

/* What was needed behind the edge and is not any more. */
static enum jq_err sweep_beyond(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_heap *beyond = &lane->spill.beyond;

    JQ_TRY(jq_batch_reserve(core, beyond->count + 1));
    for (size_t i = beyond->count; i > 0;) {
        struct jq_job *job = JQ_ELEMENT(beyond->nodes[i - 1], struct jq_job, in_heap);
        if (lane->spill.has_edge && jq_spill_may_leave(core, job) && jq_spill_may_move(core, job))
            jq_spill_leave(core, job); /* another may be in its place now */
        else
            i--;
        i = i < beyond->count ? i : beyond->count;
    }
    return JQ_OK;
}

/* ---- all of them ---- */

static bool is_over(const struct jq_core *core)
{
    return core->jobs.count > core->spill_at_jobs || core->job_bytes > core->spill_at_bytes;
}

static uint64_t more_by_an_eighth(uint64_t used, uint64_t max)
{
    return used + used / 8 > max ? used + used / 8 : max;
}

/* What of `max` there is for lanes, when jobs that no lane has take some of it; at least half. */
static uint64_t target_of(uint64_t max, uint64_t others)
{
    const uint64_t target = max - max / 8;

    return others < target - max / 2 ? target - others : max / 2;
}

/* As many as are of so many bytes, at their average size. */
static uint64_t jobs_of_bytes(const struct jq_lane *lane, uint64_t bytes)
{
    return lane->bytes > bytes ? bytes / (lane->bytes / lane->count) : lane->count;
}

/* Without memory some stay; they are tried again as more come. */
static void make_room(struct jq_core *core)
{
    const uint64_t jobs_max = core->conf.resident_jobs_max,
                   bytes_max = core->conf.resident_bytes_max;
    struct lanes lanes;

    if (gather(core, &lanes) != JQ_OK)
        return;
    const uint64_t jobs = level_for(&lanes, jobs_in,
                                    target_of(jobs_max, core->jobs.count - lanes.jobs)),
                   bytes = level_for(&lanes, bytes_in, target_of(bytes_max, 0));
    for (size_t i = 0; i < lanes.count; i++) {
        const uint64_t fit = jobs_of_bytes(lanes.all[i], bytes);
        if (sweep_beyond(core, lanes.all[i]) != JQ_OK ||
            cut_to(core, lanes.all[i], fit < jobs ? fit : jobs) != JQ_OK)
            break;
    }
    jq_free(lanes.all);
}

void jq_spill_make_room(struct jq_core *core)
{
    /* What cannot leave must not be looked at again and again: before there are an eighth more. */
    const uint64_t jobs = more_by_an_eighth(core->jobs.count, core->conf.resident_jobs_max),
                   bytes = more_by_an_eighth(core->job_bytes, core->conf.resident_bytes_max);

    core->spill_at_jobs = jobs < core->spill_at_jobs ? jobs : core->spill_at_jobs;
    core->spill_at_bytes = bytes < core->spill_at_bytes ? bytes : core->spill_at_bytes;
    if (!is_over(core) || jq_core_crowded(core) || jq_core_full(core))
        return;
    make_room(core);
    core->spill_at_jobs = more_by_an_eighth(core->jobs.count, core->conf.resident_jobs_max);
    core->spill_at_bytes = more_by_an_eighth(core->job_bytes, core->conf.resident_bytes_max);
}
