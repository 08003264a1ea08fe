/* SPDX-License-Identifier: MIT
 *
 * spill_page.c - the next of a lane's spilled jobs, as its edge moves on. A page is asked for while
 * there is still something to take, so that nobody waits for it. */
#include "broker/core/parts.h"
#include "proto/base/check.h"

enum {
    PAGE_JOBS_MAX = 16384, /* some 20 ms of the store's time */
    PAGE_JOBS_MIN = 8,
    RETRY_MS = 1000, /* after a read that failed */
};

/* As many as may be in memory of each lane, so that all of them can have two pages. */
static uint64_t page_jobs(const struct jq_core *core)
{
    const uint64_t share = core->conf.resident_jobs_max / 4 / (core->spilled_lanes + 1);

    return share < PAGE_JOBS_MIN ? PAGE_JOBS_MIN : share > PAGE_JOBS_MAX ? PAGE_JOBS_MAX : share;
}

static uint64_t page_bytes(const struct jq_core *core)
{
    return core->conf.resident_bytes_max / 4 / (core->spilled_lanes + 1) + 1;
}

bool jq_spill_is_low(const struct jq_core *core, const struct jq_lane *lane)
{
    return lane->count < page_jobs(core) && lane->bytes < page_bytes(core);
}

bool jq_spill_wants_page(const struct jq_core *core, const struct jq_lane *lane)
{
    const struct jq_spill *spill = &lane->spill;

    return jq_spilled(lane) > 0 && !spill->page && !spill->doomed &&
           core->now.mono >= spill->retry_at && jq_spill_is_low(core, lane);
}

static void give_up(struct jq_core *core, struct jq_lane *lane, const char *why)
{
    jq_trace(core, JQ_TRACE_WARN, "spill.page", "queue=%.*s why=\"%s\"",
             JQ_VIEW_ARG(jq_blob_view(lane->queue->name)), why);
    lane->spill.retry_at = jq_ms_add(core->now.mono, RETRY_MS);
    core->spill_retry_at = jq_ms_min(core->spill_retry_at, lane->spill.retry_at);
    jq_spill_look(core, lane);
}

/* False: without memory; the page is as good as not there. */
static bool add(struct jq_core *core, const struct jq_job_record *record)
{
    struct jq_job *job = jq_job_find(core, record->id);

    if (job)
        return true; /* behind the edge till now, or it has ended */
    if (jq_spill_load(core, record, &job) != JQ_OK)
        return false;
    jq_lane_put_page(job);
    return true;
}

/* Of what was added, the last is the edge. */
static void move_edge(struct jq_core *core, struct jq_lane *lane, const struct jq_job_record *last)
{
    const struct jq_order_key edge = {
        .rank = jq_queue_rank(lane->queue, last->priority, last->created_at), .id = last->id
    };

    lane->spill.has_edge = true;
    lane->spill.edge = edge;
    jq_spill_release(core, lane);
}

/* lookup->number: the queue, its lane, and which of its pages. */
static void loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_queue *queue = jq_map_find(&core->queues, lookup->number[0]);
    size_t added = 0;

    if (!queue)
        return;
    struct jq_lane *lane = lookup->number[1] ? &queue->items : &queue->plain;
    if (lane->spill.page != lookup->number[2])
        return; /* the edge has moved back meanwhile */
    lane->spill.page = 0;
    jq_spill_look(core, lane);
    while (added < lookup->found && add(core, &lookup->jobs[added].job))
        added++;
    if (added)
        move_edge(core, lane, &lookup->jobs[added - 1].job);
    if (lookup->err != JQ_OK)
        give_up(core, lane, "the store cannot be read");
    else if (added < lookup->found)
        give_up(core, lane, "no memory");
    else if (added == 0 && jq_spilled(lane))
        give_up(core, lane, "the store has fewer of its jobs than it should");
}

struct jq_read jq_spill_read(const struct jq_lane *lane, uint32_t limit)
{
    const struct jq_queue *queue = lane->queue;
    const struct jq_spill *spill = &lane->spill;

    return (struct jq_read){
        .kind = JQ_READ_SPILLED,
        .parts = JQ_READ_PAYLOAD,
        .after = spill->batch,
        .queue = queue->id,
        .limit = limit,
        .range = { .lane = lane == &queue->items,
                   .order = queue->order,
                   .has_after = spill->has_edge,
                   .rank = queue->order == JQ_PRIORITY ? spill->edge.rank : 0,
                   .id = spill->edge.id },
    };
}

static enum jq_err ask(struct jq_core *core, struct jq_lane *lane)
{
    struct jq_spill *spill = &lane->spill;
    struct jq_lookup *lookup = jq_lookup_new(core, 0, 0, loaded);
    struct jq_read read = jq_spill_read(lane, (uint32_t)page_jobs(core));

    if (!lookup)
        return JQ_ENOMEM;
    read.bytes_max = page_bytes(core);
    lookup->number[0] = read.queue;
    lookup->number[1] = read.range.lane;
    lookup->number[2] = spill->pages + 1;
    const enum jq_err err = jq_lookup_list(core, lookup, &read);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    else
        spill->page = ++spill->pages;
    return err;
}

void jq_spill_ask_page(struct jq_core *core, struct jq_lane *lane)
{
    if (ask(core, lane) != JQ_OK)
        give_up(core, lane, "no memory");
}

void jq_spill_tick(struct jq_core *core)
{
    struct jq_queue *queue;

    if (core->now.mono < core->spill_retry_at)
        return;
    core->spill_retry_at = JQ_NEVER;
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));) {
        jq_spill_look(core, &queue->plain);
        jq_spill_look(core, &queue->items);
    }
}
