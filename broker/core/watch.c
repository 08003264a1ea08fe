/* SPDX-License-Identifier: MIT
 *
 * watch.c - WATCH: state changes as they become true (events are held until their batch is durable,
 * so that what is told has happened, in order). */
#include "broker/core/state.h"
#include "proto/base/alloc.h"

/* Counts those before it. */
static struct jq_watcher *find(const struct jq_peer *peer, uint64_t correlation,
                               uint32_t *ret_count)
{
    *ret_count = 0;
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&peer->watchers, at));) {
        struct jq_watcher *watcher = JQ_ELEMENT(at, struct jq_watcher, in_peer);
        if (watcher->correlation == correlation)
            return watcher;
        ++*ret_count;
    }
    return NULL;
}

enum jq_err jq_watch_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    uint32_t count;
    struct jq_watcher *watcher = find(peer, msg->correlation, &count);

    if (!watcher && count >= core->conf.watchers_max) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY, "too many watches of one connection");
        return JQ_OK;
    }
    if (!watcher) {
        watcher = jq_alloc_zero(1, sizeof *watcher);
        if (!watcher)
            return JQ_ENOMEM;
        watcher->peer = peer;
        watcher->correlation = msg->correlation;
        jq_dlist_append(&peer->watchers, &watcher->in_peer);
        jq_dlist_append(&core->watchers, &watcher->in_core);
    }
    watcher->job = msg->u.watch.id;
    return JQ_OK;
}

void jq_watcher_free(struct jq_core *core, struct jq_watcher *watcher)
{
    jq_outbox_forget(core, watcher);
    jq_dlist_remove(&watcher->in_peer);
    jq_dlist_remove(&watcher->in_core);
    jq_free(watcher);
}

void jq_unwatch_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    uint32_t count;
    struct jq_watcher *watcher = find(peer, msg->correlation, &count);

    if (watcher)
        jq_watcher_free(core, watcher);
}

void jq_watch_moved(struct jq_core *core, const struct jq_job *job)
{
    if (jq_dlist_empty(&core->watchers))
        return;
    const struct jq_event event = {
        .id = job->id,
        .state = job->state,
        .at = core->now.wall,
        .queue = jq_blob_view(job->queue->name),
        .worker = jq_blob_view(job->ran_on),
        .reason = job->result ? job->result->reason : jq_view(NULL, 0),
    };
    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&core->watchers, at));) {
        struct jq_watcher *watcher = JQ_ELEMENT(at, struct jq_watcher, in_core);
        if (watcher->job == 0 || watcher->job == job->id)
            jq_tell_event(core, watcher, &event);
    }
}
