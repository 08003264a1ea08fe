/* SPDX-License-Identifier: MIT
 *
 * peer.c - connections: the first HELLO, who answers for which session, silence, the end. */
#include <stdio.h>

#include "broker/core/parts.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

struct jq_peer *jq_peer_find(const struct jq_core *core, uint64_t id)
{
    return jq_map_find(&core->peers, id);
}

static enum jq_err make(struct jq_core *core, uint64_t id, const struct jq_hello *hello,
                        struct jq_peer **ret_peer)
{
    const enum jq_role role = (enum jq_role)hello->role;
    const bool may_be_silent = role == JQ_ROLE_WORKER; /* its lease speaks for it */
    struct jq_peer *peer;

    JQ_TRY(jq_map_reserve(&core->peers, 1));
    JQ_TRY(jq_heap_reserve(&core->silent, 1));
    peer = jq_alloc_zero(1, sizeof *peer);
    if (!peer)
        return JQ_ENOMEM;
    peer->id = id;
    peer->token = ++core->next_token;
    peer->role = role;
    peer->session = hello->session;
    peer->heard_at = core->now.mono;
    peer->silent_at = jq_ms_add(core->now.mono, core->conf.lease_ms);
    jq_dlist_init(&peer->joins);
    jq_dlist_init(&peer->gets);
    jq_dlist_init(&peer->rooms);
    jq_dlist_init(&peer->readers);
    jq_dlist_init(&peer->watchers);
    JQ_CHECK(jq_map_put(&core->peers, id, peer) == JQ_OK);
    if (!may_be_silent)
        JQ_CHECK(jq_heap_put(&core->silent, &peer->in_silent) == JQ_OK);
    *ret_peer = peer;
    return JQ_OK;
}

void jq_peer_welcome(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                     uint64_t session, struct jq_records lost)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_WELCOME,
        .correlation = correlation,
        .u.welcome = {
            .version = JQ_PROTOCOL_MAX,
            .session = session,
            .incarnation = core->meta.incarnation,
            .heartbeat_ms = (uint64_t)core->conf.heartbeat_ms,
            .lease_ms = (uint64_t)core->conf.lease_ms,
            .software = jq_view_str(core->conf.software),
            .pid = core->conf.pid,
            .store_id = jq_view(core->meta.store_id, sizeof core->meta.store_id),
            .lost = lost,
        },
    };
    jq_tell(core, peer, JQ_AT_ONCE, &msg);
}

static enum jq_err client_hello(struct jq_core *core, struct jq_peer *peer,
                                const struct jq_msg *msg)
{
    struct jq_client *client;
    struct jq_buf lost = { 0 };
    uint32_t lost_count = 0;

    JQ_TRY(jq_client_get(core, peer->session, &client));
    struct jq_peer *old = client->peer;
    client->peer = peer;
    peer->client = client;
    if (old && old != peer) {
        const uint64_t id = old->id;
        jq_peer_drop(core, old);
        jq_close_peer(core, id);
    }
    struct jq_blob *name = jq_blob_new(msg->u.hello.name);
    if (!name)
        return JQ_ENOMEM;
    jq_blob_drop(client->name);
    client->name = name;
    const bool holds = msg->u.hello.held.count > 0 || jq_map_find(&core->holders, peer->session);
    enum jq_err err = holds ? jq_hold_client(core, peer, msg->u.hello.name) : JQ_OK;
    if (err == JQ_OK && holds)
        err = jq_hold_reconcile(core, peer->worker, msg->u.hello.held, &lost, &lost_count);
    if (err == JQ_OK)
        jq_peer_welcome(core, peer, msg->correlation, peer->session,
                        jq_records_of(lost_count, &lost));
    jq_buf_fini(&lost);
    return err;
}

static void refuse(struct jq_core *core, uint64_t id, const struct jq_msg *msg, enum jq_err err,
                   const char *text)
{
    jq_tell_stranger(core, id, msg->correlation, err, text);
    jq_trace(core, JQ_TRACE_WARN, "peer.refused", "peer=%llu error=%s", (unsigned long long)id,
             jq_err_name(err));
    jq_close_peer(core, id);
}

/* False: it was refused. */
static bool acceptable(struct jq_core *core, uint64_t id, const struct jq_msg *msg)
{
    const struct jq_hello *hello = &msg->u.hello;
    char text[160];

    if (hello->version_min > JQ_PROTOCOL_MAX || hello->version_max < JQ_PROTOCOL_MIN ||
        hello->version_min > hello->version_max) {
        snprintf(text, sizeof text,
                 "no common protocol version: the broker speaks %d to %d, the peer %llu to %llu",
                 JQ_PROTOCOL_MIN, JQ_PROTOCOL_MAX, (unsigned long long)hello->version_min,
                 (unsigned long long)hello->version_max);
        refuse(core, id, msg, JQ_EVERSION, text);
        return false;
    }
    if (hello->session == 0 || hello->role < JQ_ROLE_CLIENT || hello->role > JQ_ROLE_BEAT) {
        refuse(core, id, msg, JQ_EINVAL, "HELLO needs a session that is not 0 and a known role");
        return false;
    }
    /* Workers, and clients with items, that have lost their connection stay until their lease ends.
     */
    const struct jq_map *holders = hello->role == JQ_ROLE_CLIENT ? &core->holders : &core->workers;
    if (core->peers.count >= core->conf.peers_max ||
        (hello->role != JQ_ROLE_BEAT && holders->count / 2 >= core->conf.peers_max &&
         !jq_map_find(holders, hello->session))) {
        refuse(core, id, msg, JQ_EBUSY, "too many connections: try again later");
        return false;
    }
    return true;
}

static enum jq_err hello(struct jq_core *core, uint64_t id, const struct jq_msg *msg)
{
    struct jq_peer *peer = jq_peer_find(core, id);
    enum jq_err err;

    if (peer && (peer->session != msg->u.hello.session || peer->role != msg->u.hello.role)) {
        jq_peer_drop(core, peer);
        peer = NULL;
    }
    if (!peer) {
        if (!acceptable(core, id, msg))
            return JQ_OK;
        JQ_TRY(make(core, id, &msg->u.hello, &peer));
    }
    peer->heard_at = core->now.mono;
    if (peer->role == JQ_ROLE_CLIENT) {
        err = client_hello(core, peer, msg);
    } else if (peer->role == JQ_ROLE_WORKER) {
        err = jq_worker_hello(core, peer, msg);
    } else {
        jq_peer_welcome(core, peer, msg->correlation, peer->session, (struct jq_records){ 0 });
        err = JQ_OK;
    }
    if (err != JQ_OK)
        jq_peer_drop(core, peer);
    return err;
}

/* ---- HELLO of who may hold what is in the store alone ---- */

/* So many wait for the store at a time; others try again. */
enum { HELLOS_MAX = 256 };

static void held_loaded(struct jq_core *core, struct jq_lookup *lookup);

static enum jq_err look_up(struct jq_core *core, uint64_t id, const struct jq_msg *msg,
                           const uint64_t *ids, uint32_t count)
{
    struct jq_lookup *lookup = jq_lookup_new(core, 0, msg->correlation, held_loaded);

    if (!lookup)
        return JQ_ENOMEM;
    lookup->number[0] = id;
    enum jq_err err = jq_msg_encode(msg, &lookup->kept);
    if (err == JQ_OK)
        err = jq_lookup_ids(core, lookup, ids, count, JQ_READ_LIVE, 0);
    if (err != JQ_OK)
        jq_lookup_free(core, lookup);
    else
        core->hellos++;
    return err;
}

/* A holder that comes back after a restart may hold what the store has as waiting, far back in its
 * queue: then that is read before the two are compared. `answered`: what has been read; NULL:
 * nothing yet. Others may have left memory meanwhile. */
static enum jq_err hello_known(struct jq_core *core, uint64_t id, const struct jq_msg *msg,
                               const struct jq_lookup *answered)
{
    uint64_t *ids = NULL;
    uint32_t count = 0;
    enum jq_err err = JQ_OK;

    JQ_TRY(jq_hold_absent(core, msg->u.hello.held, &ids, &count));
    if (answered ? jq_lookup_covers(answered, ids, count) : count == 0)
        err = hello(core, id, msg);
    else if (core->hellos < HELLOS_MAX)
        err = look_up(core, id, msg, ids, count);
    else
        refuse(core, id, msg, JQ_EBUSY, "too many come back at once: try again later");
    jq_free(ids);
    return err;
}

/* lookup: `kept` is the HELLO, number[0] who said it. What it holds is in memory now. */
static void held_loaded(struct jq_core *core, struct jq_lookup *lookup)
{
    struct jq_job *job;
    struct jq_msg msg;
    enum jq_err err = lookup->more && !lookup->found ? JQ_EMSGSIZE : lookup->err;

    core->hellos--;
    for (size_t i = 0; err == JQ_OK && i < lookup->found; i++)
        err = jq_spill_need(core, &lookup->jobs[i].job, &job);
    if (err == JQ_OK)
        err = jq_msg_decode(jq_buf_view(&lookup->kept), &msg);
    if (err == JQ_OK)
        err = hello_known(core, lookup->number[0], &msg, lookup);
    if (err != JQ_OK)
        jq_tell_stranger(core, lookup->number[0], lookup->correlation, JQ_EBUSY, NULL);
}

enum jq_err jq_peer_hello(struct jq_core *core, uint64_t id, const struct jq_msg *msg)
{
    if (core->spilled_lanes == 0 || msg->u.hello.held.count == 0)
        return hello(core, id, msg);
    return hello_known(core, id, msg, NULL);
}

enum jq_err jq_peer_bye(struct jq_core *core, struct jq_peer *peer)
{
    const uint64_t id = peer->id;

    if (peer->client) {
        JQ_TRY(jq_hold_bye(core, peer));
        JQ_TRY(jq_client_bye(core, peer->client));
    } else if (peer->worker) {
        JQ_TRY(jq_worker_bye(core, peer->worker));
    }
    peer = jq_peer_find(core, id); /* ending the session may have dropped it */
    if (peer)
        jq_peer_drop(core, peer);
    jq_close_peer(core, id);
    return JQ_OK;
}

void jq_peer_drop(struct jq_core *core, struct jq_peer *peer)
{
    struct jq_dlink *link;

    jq_waiters_free(peer);
    jq_late_flush(core, peer); /* to nobody */
    while ((link = jq_dlist_first(&peer->joins)))
        jq_joiner_free(JQ_ELEMENT(link, struct jq_joiner, in_peer));
    while ((link = jq_dlist_first(&peer->gets)))
        jq_getter_free(core, JQ_ELEMENT(link, struct jq_getter, in_peer));
    jq_map_fini(&peer->gets_asked);
    while ((link = jq_dlist_first(&peer->rooms)))
        jq_putter_free(core, JQ_ELEMENT(link, struct jq_putter, in_peer));
    while ((link = jq_dlist_first(&peer->readers)))
        jq_log_reader_free(core, JQ_ELEMENT(link, struct jq_log_reader, in_peer));
    while ((link = jq_dlist_first(&peer->watchers)))
        jq_watcher_free(JQ_ELEMENT(link, struct jq_watcher, in_peer));
    jq_map_remove(&core->peers, peer->id);
    if (jq_heap_holds(&peer->in_silent))
        jq_heap_remove(&core->silent, &peer->in_silent);
    jq_dlist_remove(&peer->in_broken);
    if (peer->client && peer->client->peer == peer) {
        peer->client->peer = NULL;
        jq_client_detached(core, peer->client);
    }
    if (peer->worker && peer->worker->peer == peer) {
        if (peer->worker->is_client)
            jq_worker_renew(core, peer->worker); /* it has a lease from now to come back */
        peer->worker->peer = NULL;
        peer->worker->credit = peer->worker->granted = 0;
        jq_worker_idle(core, peer->worker);
    }
    jq_free(peer);
}

void jq_peer_tick(struct jq_core *core)
{
    for (struct jq_heap_node *node; (node = jq_heap_first(&core->silent));) {
        struct jq_peer *peer = JQ_ELEMENT(node, struct jq_peer, in_silent);
        jq_ms silent_at = jq_ms_add(peer->heard_at, core->conf.lease_ms);
        if (peer->silent_at > core->now.mono)
            return;
        /* A client that works on its items calls nothing: its connection speaks for it. */
        if (peer->client && peer->worker && peer->worker->busy > 0)
            silent_at = jq_ms_add(core->now.mono, core->conf.lease_ms);
        if (silent_at > core->now.mono) {
            peer->silent_at = silent_at;
            jq_heap_moved(&core->silent, &peer->in_silent);
            continue;
        }
        const uint64_t id = peer->id;
        core->count.peers_forgotten++;
        jq_peer_drop(core, peer);
        jq_close_peer(core, id);
    }
}
