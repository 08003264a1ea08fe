/* SPDX-License-Identifier: MIT
 *
 * watch.c - WATCH and UNWATCH: who watches what. What they are told is events.c's. */
#include "broker/core/parts.h"
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

static struct jq_watcher *add(struct jq_core *core, struct jq_peer *peer, uint64_t correlation)
{
    struct jq_watcher *watcher = jq_alloc_zero(1, sizeof *watcher);

    if (!watcher)
        return NULL;
    watcher->peer = peer;
    watcher->correlation = correlation;
    jq_dlist_append(&peer->watchers, &watcher->in_peer);
    jq_dlist_append(&core->watchers, &watcher->in_core);
    return watcher;
}

enum jq_err jq_watch_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    const struct jq_watch *watch = &msg->u.watch;
    struct jq_blob *queue = NULL;
    uint32_t count;
    struct jq_watcher *watcher = find(peer, msg->correlation, &count);

    if (!watcher && count >= core->conf.watchers_max) {
        jq_tell_error(core, peer, msg->correlation, JQ_EBUSY, "too many watches of one connection");
        return JQ_OK;
    }
    if (watch->queue.size && !jq_name_valid(watch->queue)) {
        jq_tell_error(core, peer, msg->correlation, JQ_EINVAL,
                      "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -");
        return JQ_OK;
    }
    if (watch->queue.size && !(queue = jq_blob_new(watch->queue)))
        return JQ_ENOMEM;
    if (!watcher && !(watcher = add(core, peer, msg->correlation))) {
        jq_blob_drop(queue);
        return JQ_ENOMEM;
    }
    jq_blob_drop(watcher->queue);
    watcher->queue = queue;
    watcher->job = watch->id;
    jq_events_start(core, watcher, watch->after);
    core->events.due = true; /* in this turn, together with what others ask for */
    return JQ_OK;
}

void jq_watcher_free(struct jq_watcher *watcher)
{
    if (watcher->out)
        watcher->out->watcher = NULL;
    jq_dlist_remove(&watcher->in_peer);
    jq_dlist_remove(&watcher->in_core);
    jq_blob_drop(watcher->queue);
    jq_free(watcher);
}

void jq_unwatch_apply(struct jq_core *core, struct jq_peer *peer, const struct jq_msg *msg)
{
    uint32_t count;
    struct jq_watcher *watcher = find(peer, msg->correlation, &count);

    (void)core;
    if (watcher)
        jq_watcher_free(watcher);
}
