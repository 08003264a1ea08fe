/* SPDX-License-Identifier: MIT
 *
 * spill_room.c - too many jobs are in memory: those of the longest lanes that will run last leave
 * it. An eighth of all at once, so that the cost for each is small whatever the order. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

enum {
    KEEP_MIN = 8,      /* of a lane */
    LEAVE_MAX = 16384, /* of a lane at once: the batch has to write them */
    LEVEL_ROUNDS = 8,  /* enough for any mix of lengths to come close */
};

/* ---- how many each lane keeps ---- */

struct lanes {
    struct jq_lane **all;
    size_t count;
};

static enum jq_err gather(const struct jq_core *core, struct lanes *ret)
{
    struct jq_queue *queue;

    *ret = (struct lanes){ .all = jq_alloc((core->queues.count * JQ_SPILL_LANES + 1) *
                                           sizeof(struct jq_lane *)) };
    if (!ret->all)
        return JQ_ENOMEM;
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));) {
        if (queue->purge_before)
            continue; /* it will have fewer soon */
        if (queue->plain.count + queue->plain.spill.beyond.count)
            ret->all[ret->count++] = &queue->plain;
        if (queue->items.count + queue->items.spill.beyond.count)
            ret->all[ret->count++] = &queue->items;
    }
    return JQ_OK;
}

typedef uint64_t size_fn(const struct jq_lane *lane);

static uint64_t jobs_of(const struct jq_lane *lane)
{
    return lane->count;
}

static uint64_t bytes_of(const struct jq_lane *lane)
{
    return lane->bytes;
}

/* The level to which larger lanes are cut, so that about `target` is left in all: what smaller ones
 * leave unused is shared by the others. */
static uint64_t level_for(const struct lanes *lanes, size_fn *size_of, uint64_t target)
{
    uint64_t level = lanes->count ? target / lanes->count : 0;

    for (int round = 0; round < LEVEL_ROUNDS; round++) {
        uint64_t in_smaller = 0, larger = 0;
        for (size_t i = 0; i < lanes->count; i++) {
            const uint64_t size = size_of(lanes->all[i]);
            in_smaller += size > level ? 0 : size;
            larger += size > level;
        }
        const uint64_t next = larger && target > in_smaller ? (target - in_smaller) / larger : 0;
        if (next <= level)
            break;
        level = next;
    }
    return level;
}

/* Jobs that a lane may keep: as their number says, and their bytes at its average. */
static uint64_t share_of(const struct jq_lane *lane, uint64_t jobs, uint64_t bytes)
{
    uint64_t keep = jobs < KEEP_MIN ? KEEP_MIN : jobs;

    if (lane->bytes > bytes) {
        const uint64_t fit = bytes / (lane->bytes / lane->count);
        keep = fit < keep ? fit : keep;
    }
    return keep ? keep : 1;
}

/* ---- the last of a lane ---- */

static void swap(struct jq_job **a, struct jq_job **b)
{
    struct jq_job *other = *a;

    *a = *b;
    *b = other;
}

/* The first `keep` of them come to the front, in any order (Hoare's selection). */
static void select_first(struct jq_job **jobs, size_t count, size_t keep)
{
    size_t low = 0, high = count; /* the border is among these */

    while (high - low > 1) {
        const struct jq_job *pivot = jobs[low + (high - low) / 2];
        size_t left = low, right = high; /* right: behind the one that is looked at */
        while (left < right) {
            while (jq_queue_before(jobs[left], pivot))
                left++;
            while (jq_queue_before(pivot, jobs[right - 1]))
                right--;
            if (left < right) {
                swap(&jobs[left], &jobs[right - 1]);
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

static size_t collect(const struct jq_lane *lane, struct jq_job **jobs)
{
    size_t count = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&lane->fresh, at));)
        jobs[count++] = JQ_ELEMENT(at, struct jq_job, in_place);
    for (size_t i = 0; i < lane->sorted.count; i++)
        jobs[count++] = JQ_ELEMENT(lane->sorted.nodes[i], struct jq_job, in_heap);
    return count;
}

static struct jq_order_key last_of(struct jq_job *const *jobs, size_t count)
{
    const struct jq_job *last = jobs[0];

    for (size_t i = 1; i < count; i++)
        if (jq_queue_before(last, jobs[i]))
            last = jobs[i];
    return jq_queue_key(last);
}

static enum jq_err cut(struct jq_core *core, struct jq_lane *lane, struct jq_job **jobs,
                       size_t keep)
{
    const size_t count = collect(lane, jobs);

    JQ_TRY(jq_batch_reserve(core, count - keep + 1));
    JQ_TRY(jq_heap_reserve(&lane->spill.beyond, count - keep));
    JQ_TRY(
        jq_heap_reserve(&lane->sorted, count - keep + lane->spill.beyond.count)); /* to come back */
    select_first(jobs, count, keep);
    lane->spill.edge = last_of(jobs, keep);
    lane->spill.has_edge = true;
    lane->spill.page = 0;
    jq_spill_turn_on(core, lane);
    for (size_t i = keep; i < count; i++) {
        if (jq_spill_may_leave(core, jobs[i])) {
            jq_spill_leave(core, jobs[i]);
        } else {
            jq_lane_remove(core, jobs[i]);
            jq_lane_put(core, jobs[i], false); /* behind the edge now */
            jq_spill_offer(jobs[i]);
        }
    }
    return JQ_OK;
}

static enum jq_err cut_to(struct jq_core *core, struct jq_lane *lane, uint64_t keep)
{
    if (lane->count > LEAVE_MAX && keep < lane->count - LEAVE_MAX)
        keep = lane->count - LEAVE_MAX;
    if (lane->count <= keep || lane->queue->durability == JQ_DURABILITY_MEMORY)
        return JQ_OK;
    struct jq_job **jobs = jq_alloc(lane->count * sizeof(struct jq_job *));
    if (!jobs)
        return JQ_ENOMEM;
    const enum jq_err err = cut(core, lane, jobs, (size_t)keep);
    jq_free(jobs);
    return err;
}

/* What was needed behind the edge and is not any more. */
static enum jq_err sweep_beyond(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_heap *beyond = &lane->spill.beyond;

    JQ_TRY(jq_batch_reserve(core, beyond->count + 1));
    for (size_t i = beyond->count; i > 0;) {
        struct jq_job *job = JQ_ELEMENT(beyond->nodes[i - 1], struct jq_job, in_heap);
        if (lane->spill.has_edge && jq_spill_may_leave(core, job))
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

/* Without memory some stay; they are tried again as more come. */
static void make_room(struct jq_core *core)
{
    const uint64_t jobs_max = core->conf.resident_jobs_max;
    const uint64_t bytes_max = core->conf.resident_bytes_max;
    struct lanes lanes;

    if (gather(core, &lanes) != JQ_OK)
        return;
    const uint64_t jobs = level_for(&lanes, jobs_of, jobs_max - jobs_max / 8);
    const uint64_t bytes = level_for(&lanes, bytes_of, bytes_max - bytes_max / 8);
    for (size_t i = 0; i < lanes.count; i++) {
        struct jq_lane *lane = lanes.all[i];
        if (sweep_beyond(core, lane) != JQ_OK ||
            cut_to(core, lane, share_of(lane, jobs, bytes)) != JQ_OK)
            break;
    }
    jq_free(lanes.all);
}

void jq_spill_make_room(struct jq_core *core)
{
    if (!is_over(core) || jq_core_crowded(core) || jq_core_full(core))
        return;
    make_room(core);
    /* What cannot leave must not be looked at again and again. */
    core->spill_at_jobs = more_by_an_eighth(core->jobs.count, core->conf.resident_jobs_max);
    core->spill_at_bytes = more_by_an_eighth(core->job_bytes, core->conf.resident_bytes_max);
}
