/* SPDX-License-Identifier: MIT
 *
 * peers.c - see peers.h. Peers that never said HELLO are on `strangers`, oldest heard first; peers
 * with frames that the transport would not take are on `stalled`. */
#include "broker/peers.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/dlist.h"
#include "proto/base/map.h"

enum {
    RETRY_MIN_MS = 2, /* ZeroMQ tells when any peer can be written to, never which */
    RETRY_MAX_MS = 100,
    REFUSALS_PER_SECOND = 10,
    SECOND_MS = 1000,
};

struct waiting {
    struct waiting *next;
    uint8_t *data;
    size_t size;
};

struct peer {
    struct jq_dlink heard; /* in strangers while not greeted, else in greeted; oldest heard first */
    struct jq_dlink stall; /* in stalled while first is set; in gone when gone */
    uint64_t number;
    uint64_t route; /* 0 once gone */
    jq_ms heard_at;
    jq_ms refusals_at; /* start of the second that is counted */
    unsigned refusals;
    bool is_greeted;
    struct waiting *first, **last;
    int64_t waiting_bytes;
    struct jq_in_flight *in_flight;
};

struct jq_peers {
    struct jq_peers_conf conf;
    struct jq_metrics *metrics;
    struct jq_map by_route;  /* peers that can be heard */
    struct jq_map by_number; /* these and the gone */
    struct jq_dlist strangers, greeted, stalled, gone;
    uint64_t last_number;
    int64_t waiting_bytes;
    jq_ms retry_at;
    jq_ms retry_ms;
};

static struct peer *first_heard(const struct jq_dlist *list)
{
    struct jq_dlink *link = jq_dlist_first(list);

    return link ? JQ_ELEMENT(link, struct peer, heard) : NULL;
}

/* ---- life ---- */

struct jq_peers *jq_peers_new(const struct jq_peers_conf *conf, struct jq_metrics *metrics)
{
    struct jq_peers *peers = jq_alloc_zero(1, sizeof(*peers));

    if (!peers)
        return NULL;
    peers->conf = *conf;
    peers->metrics = metrics;
    peers->retry_at = JQ_NEVER;
    peers->retry_ms = RETRY_MIN_MS;
    jq_dlist_init(&peers->strangers);
    jq_dlist_init(&peers->greeted);
    jq_dlist_init(&peers->stalled);
    jq_dlist_init(&peers->gone);
    return peers;
}

static void drop_waiting(struct jq_peers *peers, struct peer *peer)
{
    while (peer->first) {
        struct waiting *waiting = peer->first;
        peer->first = waiting->next;
        jq_free(waiting->data);
        jq_free(waiting);
    }
    peer->last = &peer->first;
    peers->waiting_bytes -= peer->waiting_bytes;
    peer->waiting_bytes = 0;
}

/* Off every list and out of by_route; by_number and the memory are the caller's. */
static void detach(struct jq_peers *peers, struct peer *peer)
{
    drop_waiting(peers, peer);
    jq_dlist_remove(&peer->heard);
    jq_dlist_remove(&peer->stall);
    if (peer->route)
        (void)jq_map_remove(&peers->by_route, peer->route);
    peer->route = 0;
    jq_in_flight_drop(&peer->in_flight);
}

static void forget(struct jq_peers *peers, struct peer *peer)
{
    detach(peers, peer);
    (void)jq_map_remove(&peers->by_number, peer->number);
    jq_free(peer);
}

/* Its number stays until the core has heard of it; its route is free for a new peer at once. */
static void lose(struct jq_peers *peers, struct peer *peer, uint64_t *counter)
{
    (*counter)++;
    detach(peers, peer);
    jq_dlist_append(&peers->gone, &peer->stall);
}

void jq_peers_free(struct jq_peers **peers)
{
    struct peer *peer;

    if (!*peers)
        return;
    for (size_t at = 0; (peer = jq_map_next(&(*peers)->by_number, &at));) {
        drop_waiting(*peers, peer);
        jq_in_flight_drop(&peer->in_flight);
        jq_free(peer);
    }
    jq_map_fini(&(*peers)->by_route);
    jq_map_fini(&(*peers)->by_number);
    jq_free(*peers);
    *peers = NULL;
}

/* ---- in ---- */

/* A full table makes room by the peer that was silent longest: a stranger, else one that the core
 * should have forgotten by now. */
static bool make_room(struct jq_peers *peers, jq_ms now)
{
    struct peer *oldest = first_heard(&peers->strangers);

    if (!oldest || now - oldest->heard_at < SECOND_MS) {
        oldest = first_heard(&peers->greeted);
        if (!oldest || now - oldest->heard_at < peers->conf.silence_ms)
            return false;
    }
    lose(peers, oldest, &peers->metrics->peers_silent);
    return true;
}

static enum jq_err make_peer(struct jq_peers *peers, uint64_t route, struct peer **ret_peer)
{
    JQ_TRY(jq_map_reserve(&peers->by_route, 1));
    JQ_TRY(jq_map_reserve(&peers->by_number, 1));
    struct peer *peer = jq_alloc_zero(1, sizeof(*peer));
    if (!peer)
        return JQ_ENOMEM;
    peer->number = ++peers->last_number;
    peer->route = route;
    peer->last = &peer->first;
    JQ_CHECK(jq_map_put(&peers->by_route, route, peer) == JQ_OK);
    JQ_CHECK(jq_map_put(&peers->by_number, peer->number, peer) == JQ_OK);
    peers->metrics->peers_made++;
    *ret_peer = peer;
    return JQ_OK;
}

enum jq_err jq_peers_hear(struct jq_peers *peers, uint64_t route, jq_ms now, uint64_t *ret_peer)
{
    struct peer *peer = jq_map_find(&peers->by_route, route);

    if (!peer) {
        if (peers->by_route.count >= peers->conf.peers_max && !make_room(peers, now))
            return JQ_EBUSY;
        JQ_TRY(make_peer(peers, route, &peer));
    }
    peer->heard_at = now;
    jq_dlist_remove(&peer->heard);
    jq_dlist_append(peer->is_greeted ? &peers->greeted : &peers->strangers, &peer->heard);
    *ret_peer = peer->number;
    return JQ_OK;
}

void jq_peers_greet(struct jq_peers *peers, uint64_t number)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (!peer || !peer->route || peer->is_greeted)
        return;
    peer->is_greeted = true;
    jq_dlist_remove(&peer->heard);
    jq_dlist_append(&peers->greeted, &peer->heard);
}

bool jq_peers_may_refuse(struct jq_peers *peers, uint64_t number, jq_ms now)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (!peer)
        return false;
    if (now - peer->refusals_at >= SECOND_MS) {
        peer->refusals_at = now;
        peer->refusals = 0;
    }
    if (peer->refusals >= REFUSALS_PER_SECOND) {
        peers->metrics->errors_withheld++;
        return false;
    }
    peer->refusals++;
    return true;
}

/* ---- out ---- */

static int64_t held_bytes(const struct peer *peer)
{
    return peer->waiting_bytes + (peer->in_flight ? jq_in_flight_bytes(peer->in_flight) : 0);
}

static enum jq_sent hand_over(struct jq_peers *peers, struct peer *peer, uint8_t *data, size_t size)
{
    if (!peer->in_flight)
        peer->in_flight = jq_in_flight_new(); /* none: its large frames go uncounted for now */
    /* Large frames that ZeroMQ holds count like those that wait here. */
    if (peer->in_flight && jq_in_flight_bytes(peer->in_flight) >= peers->conf.out_max_bytes)
        return JQ_SENT_FULL;
    return peers->conf.send(peers->conf.send_arg, peer->route, data, size, peer->in_flight);
}

static void keep(struct jq_peers *peers, struct peer *peer, uint8_t *data, size_t size, jq_ms now)
{
    const int64_t cost = (int64_t)(size + sizeof(struct waiting));
    struct waiting *waiting = NULL;

    if (held_bytes(peer) + cost <= peers->conf.out_max_bytes)
        waiting = jq_alloc(sizeof(*waiting));
    if (!waiting) {
        jq_free(data);
        lose(peers, peer, &peers->metrics->peers_slow);
        return;
    }
    *waiting = (struct waiting){ .data = data, .size = size };
    if (!peer->first)
        jq_dlist_append(&peers->stalled, &peer->stall);
    *peer->last = waiting;
    peer->last = &waiting->next;
    peer->waiting_bytes += cost;
    peers->waiting_bytes += cost;
    if (peers->retry_at == JQ_NEVER) {
        peers->retry_ms = RETRY_MIN_MS;
        peers->retry_at = now + RETRY_MIN_MS;
    }
}

bool jq_peers_send(struct jq_peers *peers, uint64_t number, uint8_t *data, size_t size, jq_ms now)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (!peer || !peer->route) {
        peers->metrics->frames_late++;
        return false;
    }
    switch (peer->first ? JQ_SENT_FULL : hand_over(peers, peer, data, size)) {
    case JQ_SENT:
        break;
    case JQ_SENT_FULL:
        keep(peers, peer, data, size, now);
        break;
    case JQ_SENT_NOBODY:
        lose(peers, peer, &peers->metrics->peers_unreachable);
        return false;
    }
    return true;
}

void jq_peers_drop(struct jq_peers *peers, uint64_t number)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (peer && peer->route)
        lose(peers, peer, &peers->metrics->peers_shed);
}

void jq_peers_close(struct jq_peers *peers, uint64_t number)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (!peer)
        return;
    peers->metrics->peers_closed++;
    forget(peers, peer);
}

/* ---- time ---- */

/* True: something left. */
static bool send_waiting(struct jq_peers *peers, struct peer *peer)
{
    bool progress = false;

    while (peer->first) {
        struct waiting *waiting = peer->first;
        const enum jq_sent sent = hand_over(peers, peer, waiting->data, waiting->size);
        if (sent == JQ_SENT_FULL)
            return progress;
        if (sent == JQ_SENT_NOBODY) {
            lose(peers, peer, &peers->metrics->peers_unreachable);
            return true;
        }
        const int64_t cost = (int64_t)(waiting->size + sizeof(*waiting));
        peer->first = waiting->next;
        peer->waiting_bytes -= cost;
        peers->waiting_bytes -= cost;
        jq_free(waiting);
        progress = true;
    }
    peer->last = &peer->first;
    jq_dlist_remove(&peer->stall);
    return true;
}

static void retry(struct jq_peers *peers, jq_ms now)
{
    bool progress = false;

    for (struct jq_dlink *next, *link = jq_dlist_first(&peers->stalled); link; link = next) {
        next = jq_dlist_next(&peers->stalled, link);
        progress |= send_waiting(peers, JQ_ELEMENT(link, struct peer, stall));
    }
    peers->retry_ms = progress ? RETRY_MIN_MS : jq_ms_min(peers->retry_ms * 2, RETRY_MAX_MS);
    peers->retry_at = jq_dlist_empty(&peers->stalled) ? JQ_NEVER : now + peers->retry_ms;
}

static jq_ms stranger_until(const struct jq_peers *peers)
{
    const struct peer *oldest = first_heard(&peers->strangers);

    return oldest ? jq_ms_add(oldest->heard_at, peers->conf.silence_ms) : JQ_NEVER;
}

void jq_peers_tick(struct jq_peers *peers, jq_ms now)
{
    if (now >= peers->retry_at)
        retry(peers, now);
    while (now >= stranger_until(peers))
        lose(peers, first_heard(&peers->strangers), &peers->metrics->peers_silent);
}

jq_ms jq_peers_next_at(const struct jq_peers *peers)
{
    return jq_ms_min(peers->retry_at, stranger_until(peers));
}

uint64_t jq_peers_gone(const struct jq_peers *peers)
{
    struct jq_dlink *link = jq_dlist_first(&peers->gone);

    return link ? JQ_ELEMENT(link, const struct peer, stall)->number : 0;
}

void jq_peers_told(struct jq_peers *peers, uint64_t number)
{
    struct peer *peer = jq_map_find(&peers->by_number, number);

    if (peer && !peer->route)
        forget(peers, peer);
}

size_t jq_peers_count(const struct jq_peers *peers)
{
    return peers->by_route.count;
}

int64_t jq_peers_waiting_bytes(const struct jq_peers *peers)
{
    return peers->waiting_bytes;
}

void jq_peers_check(const struct jq_peers *peers)
{
    struct peer *peer;
    size_t gone = 0;
    size_t total = 0;
    int64_t waiting = 0;

    for (size_t at = 0; (peer = jq_map_next(&peers->by_number, &at)); total++) {
        JQ_CHECK(peer->first || peer->waiting_bytes == 0);
        JQ_CHECK(peer->waiting_bytes <= peers->conf.out_max_bytes);
        JQ_CHECK(!peer->route || jq_map_find(&peers->by_route, peer->route) == peer);
        JQ_CHECK(jq_dlink_used(&peer->stall) == (peer->first != NULL || !peer->route));
        gone += peer->route == 0;
        waiting += peer->waiting_bytes;
    }
    JQ_CHECK(waiting == peers->waiting_bytes);
    JQ_CHECK(total == peers->by_route.count + gone);
    JQ_CHECK(peers->by_route.count <= peers->conf.peers_max);
}
