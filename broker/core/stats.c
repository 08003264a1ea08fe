/* SPDX-License-Identifier: MIT
 *
 * stats.c - STATS: queues, workers and counters of one instant. */
#include <string.h>

#include "broker/core/parts.h"

/* Of workers' settings told in one answer; those after it go without. */
enum { CONFIG_BYTES_MAX = 16 << 20 };

static uint32_t write_queues(const struct jq_core *core, struct jq_buf *out)
{
    uint32_t count = 0;

    for (uint32_t id = 1; id < core->meta.next_queue && count < JQ_JOBS_PER_FRAME; id++) {
        const struct jq_queue *queue = jq_map_find(&core->queues, id);
        if (!queue)
            continue;
        struct jq_queue_info info;
        jq_queue_info_of(queue, &info);
        jq_queue_info_write(out, &info);
        count++;
    }
    return count;
}

static uint32_t write_workers(const struct jq_core *core, struct jq_buf *out)
{
    uint32_t count = 0;

    for (struct jq_dlink *at = NULL;
         count < JQ_JOBS_PER_FRAME && (at = jq_dlist_next(&core->workers_in_order, at));) {
        const struct jq_worker *worker = JQ_ELEMENT(at, struct jq_worker, in_all);
        struct jq_worker_info info = {
            .name = jq_blob_view(worker->name),
            .host = jq_view_str(worker->host),
            .pid = worker->pid,
            .session = worker->session,
            .slots = worker->slots,
            .busy = worker->busy,
            .draining = worker->draining,
            .silent_ms = (uint64_t)(core->now.mono - worker->renewed_at),
            .jobs = worker->ended,
            .config = jq_view(NULL, 0),
            .tags = { .count = worker->tags_count, .bytes = jq_blob_view(worker->tags) },
        };
        if (worker->config && out->size + worker->config->size <= CONFIG_BYTES_MAX)
            info.config = jq_blob_view(worker->config);
        jq_worker_info_write(out, &info);
        count++;
    }
    return count;
}

static uint32_t write_counters(const struct jq_core *core, struct jq_buf *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        { "incarnation", core->meta.incarnation },
        { "commit_sequence", core->durable },
        { "jobs_in_memory", core->jobs.count },
        { "connections", core->peers.count },
        { "submitted", core->count.submitted },
        { "succeeded", core->count.succeeded },
        { "failed", core->count.failed },
        { "cancelled", core->count.cancelled },
        { "granted", core->count.granted },
        { "returned", core->count.returned },
        { "fenced", core->count.fenced },
        { "quarantined", core->count.quarantined },
        { "leases_lost", core->count.leases_lost },
        { "submits_resent", core->count.resent },
        { "requests_refused", core->count.refused },
        { "connections_forgotten", core->count.peers_forgotten },
        { "events", core->events.count },
        { "events_dropped", core->count.events_dropped },
        { "space_low", core->space_low },
    };
    const uint32_t count = sizeof counters / sizeof counters[0];

    for (uint32_t i = 0; i < count; i++) {
        const struct jq_counter counter = {
            .name = jq_view_str(counters[i].name),
            .value = counters[i].value,
        };
        jq_counter_write(out, &counter);
    }
    return count;
}

void jq_stats_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_buf queues = { 0 }, workers = { 0 }, counters = { 0 };
    const uint32_t queue_count = write_queues(core, &queues);
    const uint32_t worker_count = write_workers(core, &workers);
    const uint32_t counter_count = write_counters(core, &counters);
    const struct jq_msg answer = {
        .tag = JQ_MSG_STATISTICS,
        .correlation = msg->correlation,
        .u.statistics = {
            .queues = jq_records_of(queue_count, &queues),
            .workers = jq_records_of(worker_count, &workers),
            .counters = jq_records_of(counter_count, &counters),
        },
    };

    if (jq_buf_ok(&queues) && jq_buf_ok(&workers) && jq_buf_ok(&counters))
        jq_tell(core, peer, JQ_AT_ONCE, &answer);
    else
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY, NULL);
    jq_buf_fini(&queues);
    jq_buf_fini(&workers);
    jq_buf_fini(&counters);
}
