/* SPDX-License-Identifier: MIT
 *
 * worker.c - worker sessions: joining and coming back, leases, credit, tags, the end. */
#include <stdio.h>
#include <string.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* Frames for a worker that have not been taken may be this large: payloads are not copied for
 * thousands of slots at once. */
enum { GRANT_BYTES_AHEAD = 4 << 20 };

/* ---- the object ---- */

void jq_worker_free(struct jq_worker *worker)
{
    if (!worker)
        return;
    jq_blob_drop(worker->name);
    jq_blob_drop(worker->config);
    jq_blob_drop(worker->tags);
    jq_free(worker);
}

/* A worker and a client may have the same session. */
static struct jq_map *map_of(struct jq_core *core, bool is_client)
{
    return is_client ? &core->holders : &core->workers;
}

enum jq_err jq_worker_make(struct jq_core *core, bool is_client, uint64_t session,
                           struct jq_view name, struct jq_worker **ret_worker)
{
    struct jq_worker *worker;

    JQ_TRY(jq_map_reserve(map_of(core, is_client), 1));
    JQ_TRY(jq_heap_reserve(&core->leases, 1));
    worker = jq_alloc_zero(1, sizeof *worker);
    if (!worker)
        return JQ_ENOMEM;
    worker->name = jq_blob_new(name);
    if (!worker->name) {
        jq_free(worker);
        return JQ_ENOMEM;
    }
    worker->session = session;
    worker->is_client = is_client;
    worker->renewed_at = core->now.mono;
    worker->lease_at = jq_ms_add(core->now.mono, core->conf.lease_ms);
    jq_dlist_init(&worker->jobs);
    JQ_CHECK(jq_map_put(map_of(core, is_client), session, worker) == JQ_OK);
    JQ_CHECK(jq_heap_put(&core->leases, &worker->in_leases) == JQ_OK);
    if (!is_client)
        jq_dlist_append(&core->workers_in_order, &worker->in_all);
    *ret_worker = worker;
    return JQ_OK;
}

enum jq_err jq_worker_ghost(struct jq_core *core, bool is_client, uint64_t session,
                            struct jq_view name, struct jq_worker **ret_worker)
{
    struct jq_worker *worker = jq_map_find(map_of(core, is_client), session);

    if (!worker) {
        JQ_TRY(jq_worker_make(core, is_client, session, name, &worker));
        worker->ghost = true;
        core->ghosts++;
    }
    *ret_worker = worker;
    return JQ_OK;
}

uint64_t jq_worker_room(const struct jq_worker *worker)
{
    const bool able = worker->peer && !worker->ghost && !worker->draining &&
                      !worker->peer->broken && worker->peer->out_bytes < GRANT_BYTES_AHEAD;
    /* More than one HELLO can list it never holds, whatever it says it has room for. */
    const uint64_t free = worker->busy < JQ_HELD_MAX ? JQ_HELD_MAX - worker->busy : 0;
    const uint64_t left = worker->credit > worker->granted ? worker->credit - worker->granted : 0;
    return !able ? 0 : left < free ? left : free;
}

void jq_worker_idle(struct jq_core *core, struct jq_worker *worker)
{
    const bool has_room = jq_worker_room(worker) > 0;

    if (has_room && !jq_dlink_used(&worker->in_idle)) {
        jq_dlist_append(&core->idle, &worker->in_idle);
        jq_lanes_served(core, worker);
    } else if (!has_room) {
        jq_dlist_remove(&worker->in_idle);
    }
}

void jq_worker_renew(struct jq_core *core, struct jq_worker *worker)
{
    worker->renewed_at = core->now.mono; /* the heap follows when the old end has come */
}

void jq_worker_kill(struct jq_core *core, struct jq_job *job, struct jq_view reason)
{
    const struct jq_kill kill = {
        .id = job->id,
        .fence = job->fence,
        .grace_ms = (uint64_t)core->conf.kill_grace_ms,
        .reason = reason,
    };
    struct jq_buf record = { 0 };

    if (!job->worker->peer)
        return; /* told when it comes back */
    jq_kill_write(&record, &kill);
    const struct jq_msg msg = {
        .tag = JQ_MSG_KILLS,
        .u.kills = { .jobs = jq_records_of(1, &record) },
    };
    if (jq_buf_ok(&record))
        jq_tell(core, job->worker->peer, JQ_AT_ONCE, &msg);
    jq_buf_fini(&record);
}

/* ---- the end ---- */

enum jq_err jq_worker_end(struct jq_core *core, struct jq_worker *worker, bool charged)
{
    JQ_TRY(jq_batch_reserve(core, 1));
    JQ_TRY(jq_hold_give_up_all(core, worker, charged));
    JQ_TRY(jq_batch_reserve(core, 1));
    jq_batch_worker(core, worker, false);
    core->ghosts -= worker->ghost;
    if (worker->peer) {
        struct jq_peer *peer = worker->peer;
        peer->worker = NULL;
        worker->peer = NULL;
        jq_peer_drop(core, peer); /* its next message is answered NOHELLO */
    }
    jq_dlist_remove(&worker->in_idle);
    jq_dlist_remove(&worker->in_all);
    jq_heap_remove(&core->leases, &worker->in_leases);
    jq_map_remove(map_of(core, worker->is_client), worker->session);
    jq_worker_free(worker);
    return JQ_OK;
}

enum jq_err jq_worker_bye(struct jq_core *core, struct jq_worker *worker)
{
    jq_trace(core, JQ_TRACE_INFO, "worker.left", "worker=%.*s session=%016llx",
             JQ_VIEW_ARG(jq_blob_view(worker->name)), (unsigned long long)worker->session);
    return jq_worker_end(core, worker, false);
}

enum jq_err jq_worker_tick(struct jq_core *core)
{
    for (struct jq_heap_node *node; (node = jq_heap_first(&core->leases));) {
        struct jq_worker *worker = JQ_ELEMENT(node, struct jq_worker, in_leases);
        if (worker->is_client && worker->peer)
            jq_worker_renew(core, worker); /* as long as it is connected */
        const jq_ms lease_at = jq_ms_add(worker->renewed_at, core->conf.lease_ms);
        if (worker->lease_at > core->now.mono)
            return JQ_OK;
        if (lease_at > core->now.mono) {
            worker->lease_at = lease_at;
            jq_heap_moved(&core->leases, &worker->in_leases);
            continue;
        }
        const uint64_t session = worker->session, busy = worker->busy;
        const bool is_client = worker->is_client;
        char name[JQ_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", JQ_VIEW_ARG(jq_blob_view(worker->name)));
        /* One that never came back after a restart was lost together with the broker: to a power
         * cut, or as it ends with the broker. That says nothing about its jobs. */
        JQ_TRY(jq_worker_end(core, worker, !worker->ghost));
        if (is_client && busy == 0)
            continue; /* it had settled all */
        core->count.leases_lost++;
        jq_trace(core, JQ_TRACE_WARN, "lease.expired", "worker=%s session=%016llx jobs=%llu", name,
                 (unsigned long long)session, (unsigned long long)busy);
    }
    return JQ_OK;
}

/* ---- HELLO ---- */

static enum jq_err describe(const struct jq_core *core, struct jq_worker *worker,
                            const struct jq_hello *hello)
{
    struct jq_blob *name = jq_blob_new(hello->name);
    struct jq_blob *config = jq_blob_new(hello->config);
    struct jq_blob *tags = jq_blob_new(hello->tags.bytes);

    if (!name || !config || !tags) {
        jq_blob_drop(name);
        jq_blob_drop(config);
        jq_blob_drop(tags);
        return JQ_ENOMEM;
    }
    jq_blob_drop(worker->name);
    jq_blob_drop(worker->config);
    jq_blob_drop(worker->tags);
    worker->name = name;
    worker->config = config;
    worker->tags = tags;
    worker->tags_count = hello->tags.count;
    worker->pid = hello->pid;
    worker->slots = hello->slots;
    worker->bound = hello->die_with != 0 && hello->die_with == core->conf.pid;
    snprintf(worker->host, sizeof worker->host, "%.*s", JQ_VIEW_ARG(hello->host));
    return JQ_OK;
}

static void arrived(struct jq_core *core, struct jq_worker *worker, bool is_new)
{
    if (worker->ghost) {
        worker->ghost = false;
        core->ghosts--;
    }
    jq_trace(core, JQ_TRACE_INFO, is_new ? "worker.joined" : "worker.returned",
             "worker=%.*s session=%016llx slots=%llu held=%llu",
             JQ_VIEW_ARG(jq_blob_view(worker->name)), (unsigned long long)worker->session,
             (unsigned long long)worker->slots, (unsigned long long)worker->busy);
}

enum jq_err jq_worker_hello(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_worker *worker = jq_map_find(&core->workers, peer->session);
    const bool is_new = !worker;
    struct jq_buf lost = { 0 };
    uint32_t lost_count = 0;

    JQ_TRY(jq_batch_reserve(core, 1));
    if (is_new)
        JQ_TRY(jq_worker_make(core, false, peer->session, msg->u.hello.name, &worker));
    struct jq_peer *old = worker->peer;
    worker->peer = peer;
    peer->worker = worker;
    if (old && old != peer) {
        const uint64_t id = old->id;
        jq_peer_drop(core, old);
        jq_close_peer(core, id);
    }
    jq_worker_renew(core, worker);
    worker->credit = worker->granted = 0;
    worker->draining = false;
    jq_worker_idle(core, worker);
    JQ_TRY(describe(core, worker, &msg->u.hello));
    worker->stuck_seen = 0; /* its tags may be others */
    JQ_TRY(jq_batch_reserve(core, 1));
    jq_batch_worker(core, worker, true);
    enum jq_err err = jq_hold_reconcile(core, worker, msg->u.hello.held, &lost, &lost_count);
    if (err == JQ_OK) {
        arrived(core, worker, is_new);
        jq_peer_welcome(core, peer, msg->correlation, peer->session,
                        jq_records_of(lost_count, &lost));
        for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&worker->jobs, at));)
            jq_log_job_moved(core, JQ_ELEMENT(at, struct jq_job, in_place));
    }
    jq_buf_fini(&lost);
    return err;
}

/* ---- while it is here ---- */

enum jq_err jq_worker_beat(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_worker *worker = jq_map_find(&core->workers, peer->session);

    if (!worker) {
        jq_tell_error(core, peer, msg->correlation, JQ_ENOHELLO, NULL);
        return JQ_OK;
    }
    jq_worker_renew(core, worker);
    const struct jq_msg answer = {
        .tag = JQ_MSG_BEATEN,
        .correlation = msg->correlation,
        .u.beaten = { .number = msg->u.beat.number },
    };
    jq_tell(core, peer, JQ_AT_ONCE, &answer);
    return JQ_OK;
}

enum jq_err jq_worker_credit(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_worker *worker = peer->worker;

    if (msg->u.credit.total > worker->credit)
        worker->credit = msg->u.credit.total;
    worker->draining = msg->u.credit.draining != 0;
    if (worker->draining)
        jq_late_flush(core, peer); /* it waits for them alone */
    jq_worker_idle(core, worker);
    return JQ_OK;
}

enum jq_err jq_worker_release(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    struct jq_held held;

    for (struct jq_reader r = jq_records_reader(msg->u.release.jobs); jq_held_next(&r, &held);) {
        struct jq_job *job = jq_job_find(core, held.id);
        if (job && job->state == JQ_RUNNING && job->worker == peer->worker &&
            job->fence == held.fence)
            JQ_TRY(jq_hold_give_up(core, job, false));
        else
            core->count.fenced++;
    }
    return JQ_OK;
}

/* ---- tags ---- */

static bool has_tag(const struct jq_worker *worker, struct jq_view name)
{
    const struct jq_records tags = { .count = worker->tags_count,
                                     .bytes = jq_blob_view(worker->tags) };
    struct jq_word tag;

    for (struct jq_reader r = jq_records_reader(tags); jq_word_next(&r, &tag);)
        if (jq_view_equal(tag.name, name))
            return true;
    return false;
}

bool jq_worker_has_tags(const struct jq_worker *worker, struct jq_records needs)
{
    struct jq_word tag;

    for (struct jq_reader r = jq_records_reader(needs); jq_word_next(&r, &tag);)
        if (!has_tag(worker, tag.name))
            return false;
    return true;
}

bool jq_worker_fits(const struct jq_worker *worker, const struct jq_job *job)
{
    return !job->extra || jq_worker_has_tags(worker, job->extra->options->needs);
}
