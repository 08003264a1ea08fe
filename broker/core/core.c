/* SPDX-License-Identifier: MIT
 *
 * core.c - the life of a core, and its inputs: who handles which message. */
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

void jq_core_conf_default(struct jq_core_conf *conf)
{
    *conf = (struct jq_core_conf){
        .heartbeat_ms = 3000,
        .lease_ms = 15000,
        .settle_ms = 500,
        .kill_grace_ms = 5000,
        .batch_ms = 5,
        .request_keep_ms = INT64_C(24) * 3600 * 1000,
        .crashes_max = 2,
        .batch_jobs_max = 16384,
        .batch_ops_max = 65536,
        .peers_max = 10000,
        .event_backlog_max = 8192,
        .events_kept = 65536,
        .waits_max = 1 << 18,
        .lookups_max = 1024,
        .log_readers_max = 256,
        .watchers_max = 64,
        .rooms_max = 4096,
        .out_bytes_max = UINT64_C(256) << 20,
        .list_looks_max = 32768,
        .queues_max = JQ_QUEUES_MAX,
        .keep_ms = UINT64_C(7) * 24 * 3600 * 1000,
        .keep_failed_ms = UINT64_C(30) * 24 * 3600 * 1000,
        .keep_bytes = UINT64_C(1) << 30,
        .keep_count = 1000000,
        .sweep_ms = 10000,
        .sweep_rows = 512,
        .resident_jobs_max = 1 << 18,
        .resident_bytes_max = UINT64_C(64) << 20,
        .software = "jobqd " JOBQ_VERSION,
    };
}

/* ---- life ---- */

static bool silent_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_peer *x = JQ_ELEMENT(a, struct jq_peer, in_silent);
    const struct jq_peer *y = JQ_ELEMENT(b, struct jq_peer, in_silent);
    return x->silent_at != y->silent_at ? x->silent_at < y->silent_at : x->id < y->id;
}

static bool lease_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_worker *x = JQ_ELEMENT(a, struct jq_worker, in_leases);
    const struct jq_worker *y = JQ_ELEMENT(b, struct jq_worker, in_leases);
    return x->lease_at != y->lease_at ? x->lease_at < y->lease_at : x->session < y->session;
}

static bool due_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_client *x = JQ_ELEMENT(a, struct jq_client, in_due);
    const struct jq_client *y = JQ_ELEMENT(b, struct jq_client, in_due);
    return x->due_at != y->due_at ? x->due_at < y->due_at : x->session < y->session;
}

static bool timer_before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct jq_extra *x = JQ_ELEMENT(a, struct jq_extra, in_timers);
    const struct jq_extra *y = JQ_ELEMENT(b, struct jq_extra, in_timers);
    return x->timer_at != y->timer_at ? x->timer_at < y->timer_at : x->job->id < y->job->id;
}

struct jq_core *jq_core_new(const struct jq_core_conf *conf, uint64_t seed)
{
    struct jq_core *core = jq_alloc_zero(1, sizeof *core);

    if (!core)
        return NULL;
    core->conf = *conf;
    jq_rng_init(&core->rng, seed);
    core->hash_key = jq_rng_next(&core->rng);
    core->meta.next_id = core->meta.next_queue = 1;
    core->sweep_at = core->spill_retry_at = JQ_NEVER;
    core->spill_at_jobs = conf->resident_jobs_max;
    core->spill_at_bytes = conf->resident_bytes_max;
    jq_heap_init(&core->silent, silent_before);
    jq_heap_init(&core->leases, lease_before);
    jq_heap_init(&core->due, due_before);
    jq_heap_init(&core->timers, timer_before);
    struct jq_dlist *const lists[] = { &core->ended,
                                       &core->ready,
                                       &core->idle,
                                       &core->broken,
                                       &core->workers_in_order,
                                       &core->held,
                                       &core->watchers,
                                       &core->ready_out,
                                       &core->hints,
                                       &core->late,
                                       &core->resolving,
                                       &core->limits_in_order,
                                       &core->limits_open,
                                       &core->deletions,
                                       &core->stuck,
                                       &core->items_ready,
                                       &core->purging,
                                       &core->spills,
                                       &core->hasty,
                                       &core->uneven,
                                       &core->by_receipt.jobs };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        jq_dlist_init(lists[i]);
    if (jq_events_init(core) != JQ_OK) {
        jq_free(core);
        return NULL;
    }
    return core;
}

static void free_peers(struct jq_core *core)
{
    struct jq_peer *peer;

    for (size_t at = 0; (peer = jq_map_next(&core->peers, &at)); at = 0)
        jq_peer_drop(core, peer);
    jq_map_fini(&core->peers);
    jq_heap_fini(&core->silent);
}

static void free_lookups(struct jq_core *core)
{
    struct jq_lookup *lookup;

    for (size_t at = 0; (lookup = jq_map_next(&core->lookups, &at)); at = 0)
        jq_lookup_free(core, lookup);
    jq_map_fini(&core->lookups);
    jq_map_fini(&core->log_readers);
}

static void free_sessions(struct jq_core *core)
{
    struct jq_client *client;
    struct jq_worker *worker;

    for (size_t at = 0; (client = jq_map_next(&core->clients, &at));)
        jq_client_free(client);
    for (size_t at = 0; (worker = jq_map_next(&core->workers, &at));)
        jq_worker_free(worker);
    for (size_t at = 0; (worker = jq_map_next(&core->holders, &at));)
        jq_worker_free(worker);
    jq_map_fini(&core->holders);
    jq_map_fini(&core->clients);
    jq_map_fini(&core->workers);
    jq_heap_fini(&core->due);
    jq_heap_fini(&core->leases);
    jq_heap_fini(&core->timers);
}

static void free_jobs(struct jq_core *core)
{
    struct jq_queue *queue;
    struct jq_job *job;

    while ((job = jq_idmap_first(&core->jobs))) {
        jq_idmap_remove(&core->jobs, job->id);
        jq_job_free(job);
    }
    for (size_t at = 0; (queue = jq_map_next(&core->queues, &at));)
        jq_queue_free(queue);
    jq_limits_free(core);
    jq_rows_free(core);
    jq_idmap_fini(&core->jobs);
    jq_map_fini(&core->keys);
    jq_map_fini(&core->uniques);
    jq_map_fini(&core->queues);
    jq_map_fini(&core->queue_names);
}

void jq_core_free(struct jq_core **core_ptr)
{
    struct jq_core *core = *core_ptr;

    if (!core)
        return;
    *core_ptr = NULL;
    free_peers(core);
    free_lookups(core);
    free_sessions(core);
    jq_outbox_free(core);
    jq_batch_free(core->batch);
    jq_batch_free(core->spare);
    jq_events_fini(core);
    free_jobs(core);
    jq_free(core);
}

/* ---- time ---- */

jq_ms jq_core_next_at(const struct jq_core *core)
{
    const struct jq_heap_node *silent = jq_heap_first(&core->silent);
    const struct jq_heap_node *lease = jq_heap_first(&core->leases);
    const struct jq_heap_node *due = jq_heap_first(&core->due);
    jq_ms at = JQ_NEVER;

    if (silent)
        at = jq_ms_min(at, JQ_ELEMENT(silent, struct jq_peer, in_silent)->silent_at);
    if (lease)
        at = jq_ms_min(at, JQ_ELEMENT(lease, struct jq_worker, in_leases)->lease_at);
    if (due)
        at = jq_ms_min(at, JQ_ELEMENT(due, struct jq_client, in_due)->due_at);
    const struct jq_heap_node *timer = jq_heap_first(&core->timers);
    if (timer)
        at = jq_ms_min(at, JQ_ELEMENT(timer, struct jq_extra, in_timers)->timer_at);
    if (core->ghosts && core->now.mono < core->settled_at)
        at = jq_ms_min(at, core->settled_at);
    at = jq_ms_min(at, core->sweep_at);
    if (!jq_dlist_empty(&core->resolving) || !jq_dlist_empty(&core->uneven) ||
        jq_limit_pending(core))
        at = jq_ms_min(at, core->now.mono); /* memory ran out */
    at = jq_ms_min(at, core->spill_retry_at);
    at = jq_ms_min(at, jq_late_next_at(core));
    if (jq_purge_due(core))
        at = jq_ms_min(at, core->ghosts ? core->settled_at : core->now.mono);
    if (core->events.due)
        at = jq_ms_min(at, core->now.mono);
    if (core->batch && core->batch->count)
        at = jq_ms_min(at, jq_ms_add(core->batch->opened_at, core->conf.batch_ms));
    return at;
}

static enum jq_err tick(struct jq_core *core)
{
    jq_peer_tick(core);
    jq_late_tick(core);
    JQ_TRY(jq_worker_tick(core));
    JQ_TRY(jq_timer_tick(core));
    JQ_TRY(jq_client_tick(core));
    JQ_TRY(jq_purge_tick(core));
    jq_sweep_tick(core);
    jq_spill_tick(core);
    if (core->events.due)
        jq_events_tell(core);
    return JQ_OK;
}

enum jq_err jq_core_tick(struct jq_core *core, struct jq_now now)
{
    core->now = now;
    const enum jq_err err = tick(core), resolved = jq_extra_resolve(core);
    jq_spill_settle(core);
    return err != JQ_OK ? err : resolved;
}

/* ---- inputs ---- */

/* The input is done, whether or not memory suffices for what follows from it: then that is tried
 * again with the next, and no batch is closed before. */
static void follow(struct jq_core *core)
{
    const enum jq_err err = jq_extra_resolve(core);
    (void)err;
    jq_spill_settle(core);
}

/* Those that may have to ask the store. */
static bool may_look_up(enum jq_tag tag)
{
    return tag == JQ_MSG_SUBMIT || tag == JQ_MSG_WAIT || tag == JQ_MSG_CANCEL ||
           tag == JQ_MSG_LIST || tag == JQ_MSG_INFO || tag == JQ_MSG_WHY ||
           tag == JQ_MSG_LOG_READ || tag == JQ_MSG_RETRY || tag == JQ_MSG_REMOVE ||
           tag == JQ_MSG_PEEK;
}

static enum jq_err apply_client(struct jq_core *core, struct jq_peer *peer,
                                const struct jq_msg *msg)
{
    if (peer->lookups >= core->conf.lookups_max && may_look_up(msg->tag)) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY,
                      "too many requests of one connection await the store");
        return JQ_OK;
    }
    switch ((int)msg->tag) {
    case JQ_MSG_SUBMIT:
        return jq_submit_apply(core, peer, msg);
    case JQ_MSG_WAIT:
        return jq_wait_apply(core, peer, msg);
    case JQ_MSG_UNWAIT:
        jq_unwait_apply(core, peer, msg);
        return JQ_OK;
    case JQ_MSG_CANCEL:
        return jq_cancel_apply(core, peer, msg);
    case JQ_MSG_LIST:
        return jq_list_apply(core, peer, msg);
    case JQ_MSG_INFO:
        return jq_info_apply(core, peer, msg);
    case JQ_MSG_WHY:
        return jq_why_apply(core, peer, msg);
    case JQ_MSG_STATS:
        jq_stats_apply(core, peer, msg);
        return JQ_OK;
    case JQ_MSG_WATCH:
        return jq_watch_apply(core, peer, msg);
    case JQ_MSG_UNWATCH:
        jq_unwatch_apply(core, peer, msg);
        return JQ_OK;
    case JQ_MSG_LOG_READ:
        return jq_log_apply(core, peer, msg);
    case JQ_MSG_RETRY:
        return jq_retry_apply(core, peer, msg);
    case JQ_MSG_REMOVE:
        return jq_remove_apply(core, peer, msg);
    case JQ_MSG_LIMIT_SET:
        return jq_limit_set_apply(core, peer, msg);
    case JQ_MSG_LIMIT_ASK:
        return jq_limit_ask_apply(core, peer, msg);
    case JQ_MSG_ROOM:
        return jq_room_apply(core, peer, msg);
    case JQ_MSG_GET:
        return jq_get_apply(core, peer, msg);
    case JQ_MSG_PEEK:
        return jq_peek_apply(core, peer, msg);
    case JQ_MSG_SETTLE:
        return jq_settle_apply(core, peer, msg);
    case JQ_MSG_JOIN:
        return jq_join_apply(core, peer, msg);
    case JQ_MSG_QUEUE_SET:
        return jq_queue_set_apply(core, peer, msg);
    case JQ_MSG_QUEUE_DO:
        return jq_queue_do_apply(core, peer, msg);
    case JQ_MSG_QUEUE_ASK:
        return jq_queue_ask_apply(core, peer, msg);
    default:
        break;
    }
    jq_tell_error(core, peer, msg->correlation, JQ_EINVAL, "not a message for a client to send");
    return JQ_OK;
}

static enum jq_err apply_worker(struct jq_core *core, struct jq_peer *peer,
                                const struct jq_msg *msg)
{
    switch ((int)msg->tag) {
    case JQ_MSG_CREDIT:
        return jq_worker_credit(core, peer, msg);
    case JQ_MSG_DONE:
        return jq_done_apply(core, peer, msg);
    case JQ_MSG_RELEASE:
        return jq_worker_release(core, peer, msg);
    case JQ_MSG_LOG_DATA:
        jq_log_data_apply(core, peer, msg);
        return JQ_OK;
    default:
        break;
    }
    jq_tell_error(core, peer, msg->correlation, JQ_EINVAL, "not a message for a worker to send");
    return JQ_OK;
}

static enum jq_err apply_peer(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    peer->heard_at = core->now.mono;
    if (peer->worker)
        jq_worker_renew(core, peer->worker);
    if (msg->tag == JQ_MSG_PING) {
        const struct jq_msg pong = {
            .tag = JQ_MSG_PONG,
            .correlation = msg->correlation,
            .u.pong = { .stamp = msg->u.ping.stamp },
        };
        jq_tell(core, peer, JQ_AT_ONCE, &pong);
        return JQ_OK;
    }
    if (msg->tag == JQ_MSG_BYE)
        return jq_peer_bye(core, peer);
    if (peer->role == JQ_ROLE_BEAT && msg->tag == JQ_MSG_BEAT)
        return jq_worker_beat(core, peer, msg);
    if (peer->client)
        return apply_client(core, peer, msg);
    if (peer->worker)
        return apply_worker(core, peer, msg);
    jq_tell_error(core, peer, msg->correlation, JQ_EINVAL, "not a message for this role to send");
    return JQ_OK;
}

enum jq_err jq_core_apply(struct jq_core *core, struct jq_now now, uint64_t peer_id,
                          const struct jq_msg *msg)
{
    enum jq_err err = JQ_OK;

    core->now = now;
    JQ_CHECK(core->started && peer_id != 0);
    JQ_TRY(jq_extra_resolve(core)); /* what memory did not suffice for */
    struct jq_peer *peer = jq_peer_find(core, peer_id);
    if (msg->tag == JQ_MSG_HELLO)
        err = jq_peer_hello(core, peer_id, msg);
    else if (!peer)
        jq_tell_stranger(core, peer_id, msg->correlation, JQ_ENOHELLO, NULL);
    else
        err = apply_peer(core, peer, msg);
    follow(core);
    return err;
}

enum jq_err jq_core_gone(struct jq_core *core, struct jq_now now, uint64_t peer_id)
{
    struct jq_peer *peer = jq_peer_find(core, peer_id);

    core->now = now;
    if (peer)
        jq_peer_drop(core, peer);
    follow(core);
    return JQ_OK;
}

enum jq_err jq_core_durable(struct jq_core *core, struct jq_now now, uint64_t number,
                            bool space_low)
{
    core->now = now;
    JQ_CHECK(number <= core->meta.commit_sequence);
    if (number > core->durable)
        core->durable = number;
    if (space_low != core->space_low)
        jq_trace(core, JQ_TRACE_WARN, space_low ? "store.low" : "store.roomy", "batch=%llu",
                 (unsigned long long)number);
    core->space_low = space_low;
    if (number >= core->ids_batch)
        core->ids_safe = core->ids_reserved;
    jq_outbox_release(core);
    jq_events_tell(core);
    jq_job_forget_durable(core);
    jq_rows_forget(core);
    jq_spill_settle(core);
    return JQ_OK;
}

uint64_t jq_core_hash(const struct jq_core *core)
{
    return core->hash;
}
