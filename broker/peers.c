/* SPDX-License-Identifier: MIT
 *
 * peers.c - see peers.h. Peers that never said HELLO are on `strangers`, oldest heard first; peers
 * with frames that the transport would not take are on `stalled`; peers whose descriptor belonged
 * to a connection that has ended are on `doubted`. */
#include "broker/peers.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/dlist.h"
#include "proto/base/map.h"
#include "proto/msg.h"

enum {
    RETRY_MIN_MS = 2, /* ZeroMQ tells when any peer can be written to, never which */
    RETRY_MAX_MS = 100,
    REFUSALS_PER_SECOND = 10,
    SECOND_MS = 1000,
    DOUBTS_MAX = 5, /* who can be written to so often, for a second in all, is there */
    DOUBT_MS = 1,   /* to the second try; ten times as long to each that follows */
};

struct waiting {
    struct waiting *next;
    uint8_t *data;
    size_t size;
};

struct peer {
    struct jq_dlink heard; /* in strangers while not greeted, else in greeted; oldest heard first */
    struct jq_dlink stall; /* in stalled while first is set; in gone when gone */
    struct jq_dlink doubt; /* in doubted while that is not settled */
    struct jq_dlink twins; /* a ring of all peers with this descriptor, when it is known */
    uint64_t number;
    uint64_t route;  /* 0 once gone */
    int fd;          /* of its connection, or -1; others may have had it before, or have it now */
    unsigned doubts; /* tries so far, and when the next one is due */
    jq_ms doubt_at;
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
    struct jq_map by_fd;     /* any of the peers with a descriptor, at descriptor + 1 */
    struct jq_dlist strangers, greeted, stalled, doubted, gone;
    uint64_t last_number;
    int64_t waiting_bytes;
    jq_ms retry_at;
    jq_ms retry_ms;
    jq_ms doubt_at; /* the first of all doubts, or JQ_NEVER */
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
    peers->doubt_at = JQ_NEVER;
    jq_dlist_init(&peers->strangers);
    jq_dlist_init(&peers->greeted);
    jq_dlist_init(&peers->stalled);
    jq_dlist_init(&peers->doubted);
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

static void forget_fd(struct jq_peers *peers, struct peer *peer)
{
    if (peer->fd < 0)
        return;
    const uint64_t key = (uint64_t)peer->fd + 1;
    struct peer *twin = JQ_ELEMENT(peer->twins.next, struct peer, twins);
    if (jq_map_find(&peers->by_fd, key) == peer) {
        (void)jq_map_remove(&peers->by_fd, key);
        if (twin != peer)
            JQ_CHECK(jq_map_put(&peers->by_fd, key, twin) == JQ_OK); /* in the room it left */
    }
    jq_dlist_remove(&peer->twins);
    peer->fd = -1;
}

/* Without memory it is as if the transport did not know it: the next frame may find some. */
static void remember_fd(struct jq_peers *peers, struct peer *peer, int fd)
{
    if (peer->fd == fd)
        return;
    forget_fd(peers, peer);
    if (fd < 0)
        return;
    struct peer *twin = jq_map_find(&peers->by_fd, (uint64_t)fd + 1);
    if (twin)
        jq_dlist_put_before(&twin->twins, &peer->twins);
    else if (jq_map_put(&peers->by_fd, (uint64_t)fd + 1, peer) == JQ_OK)
        peer->twins.next = peer->twins.prev = &peer->twins;
    else
        return;
    peer->fd = fd;
}

/* Off every list and out of by_route; by_number and the memory are the caller's. */
static void detach(struct jq_peers *peers, struct peer *peer)
{
    drop_waiting(peers, peer);
    jq_dlist_remove(&peer->heard);
    jq_dlist_remove(&peer->stall);
    jq_dlist_remove(&peer->doubt);
    forget_fd(peers, peer);
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
    jq_map_fini(&(*peers)->by_fd);
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
    peer->fd = -1;
    peer->last = &peer->first;
    JQ_CHECK(jq_map_put(&peers->by_route, route, peer) == JQ_OK);
    JQ_CHECK(jq_map_put(&peers->by_number, peer->number, peer) == JQ_OK);
    peers->metrics->peers_made++;
    *ret_peer = peer;
    return JQ_OK;
}

enum jq_err jq_peers_hear(struct jq_peers *peers, uint64_t route, int fd, jq_ms now,
                          uint64_t *ret_peer)
{
    struct peer *peer = jq_map_find(&peers->by_route, route);

    if (!peer) {
        if (peers->by_route.count >= peers->conf.peers_max && !make_room(peers, now))
            return JQ_EBUSY;
        JQ_TRY(make_peer(peers, route, &peer));
    }
    remember_fd(peers, peer, fd);
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

/* ---- connections that end ---- */

static void doubt(struct jq_peers *peers, struct peer *peer, jq_ms now)
{
    jq_dlist_remove(&peer->doubt);
    jq_dlist_append(&peers->doubted, &peer->doubt);
    peer->doubts = 0;
    peer->doubt_at = now;
    peers->doubt_at = jq_ms_min(peers->doubt_at, now);
}

void jq_peers_ended(struct jq_peers *peers, int fd, jq_ms now)
{
    struct peer *first = jq_map_find(&peers->by_fd, (uint64_t)fd + 1);
    struct peer *peer = first;

    if (!first)
        return;
    do {
        doubt(peers, peer, now);
        peer = JQ_ELEMENT(peer->twins.next, struct peer, twins);
    } while (peer != first);
}

/* There is no asking libzmq for a route: only a message that nobody takes shows that it has ended.
 * A peer that is there gets an answer that it never asked for, and passes it over. */
static bool is_reached(struct jq_peers *peers, const struct peer *peer)
{
    const struct jq_msg pong = { .tag = JQ_MSG_PONG };
    enum jq_sent sent = JQ_SENT_FULL;
    struct jq_buf frame = { 0 };
    size_t size;

    if (jq_msg_encode(&pong, &frame) == JQ_OK) {
        uint8_t *data = jq_buf_take(&frame, &size);
        sent = peers->conf.send(peers->conf.send_arg, peer->route, data, size, NULL);
        if (sent != JQ_SENT)
            jq_free(data);
    }
    jq_buf_fini(&frame);
    return sent != JQ_SENT_NOBODY;
}

/* A route can be written to for some moments after its connection has ended. */
static void settle(struct jq_peers *peers, struct peer *peer, jq_ms now)
{
    jq_ms wait = DOUBT_MS;

    if (!is_reached(peers, peer)) {
        lose(peers, peer, &peers->metrics->peers_ended);
        return;
    }
    for (unsigned i = 0; i < peer->doubts; i++)
        wait *= 10;
    peer->doubt_at = jq_ms_add(now, wait);
    if (++peer->doubts == DOUBTS_MAX)
        jq_dlist_remove(&peer->doubt);
}

static void settle_doubts(struct jq_peers *peers, jq_ms now)
{
    jq_ms first = JQ_NEVER;

    for (struct jq_dlink *next, *link = jq_dlist_first(&peers->doubted); link; link = next) {
        struct peer *peer = JQ_ELEMENT(link, struct peer, doubt);
        next = jq_dlist_next(&peers->doubted, link);
        if (now >= peer->doubt_at)
            settle(peers, peer, now);
        if (jq_dlink_used(&peer->doubt))
            first = jq_ms_min(first, peer->doubt_at);
    }
    peers->doubt_at = first;
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
    if (now >= peers->doubt_at)
        settle_doubts(peers, now);
    while (now >= stranger_until(peers))
        lose(peers, first_heard(&peers->strangers), &peers->metrics->peers_silent);
}

jq_ms jq_peers_next_at(const struct jq_peers *peers)
{
    return jq_ms_min(jq_ms_min(peers->retry_at, peers->doubt_at), stranger_until(peers));
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
        JQ_CHECK((peer->fd >= 0) == jq_dlink_used(&peer->twins));
        JQ_CHECK(peer->fd < 0 || jq_map_find(&peers->by_fd, (uint64_t)peer->fd + 1));
        JQ_CHECK(peer->route || (peer->fd < 0 && !jq_dlink_used(&peer->doubt)));
        JQ_CHECK(!jq_dlink_used(&peer->doubt) || peers->doubt_at <= peer->doubt_at);
        gone += peer->route == 0;
        waiting += peer->waiting_bytes;
    }
    JQ_CHECK(waiting == peers->waiting_bytes);
    JQ_CHECK(total == peers->by_route.count + gone);
    JQ_CHECK(peers->by_route.count <= peers->conf.peers_max);
}
