/* SPDX-License-Identifier: MIT
 *
 * queue_model.c - see queue_model.h: what follows from inputs, and from time. */
#include "tests/unit/core/queue_model_inner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void model_begin(struct model *m, enum model_order order, jq_ms now)
{
    memset(m, 0, sizeof *m);
    m->is.order = order;
    m->is.next_id = 1;
    m->is.incarnation = 1;
    m->now = now;
    model_commit(m);
}

/* ---- counting ---- */

static uint64_t count_in(const struct model *m, enum jq_job_state state)
{
    uint64_t count = 0;

    for (size_t i = 0; i < m->is.count; i++)
        count += m->is.items[i].state == state && !m->is.items[i].doomed;
    return count;
}

/* Any: nothing is handed out. */
uint64_t model_doomed(const struct model *m)
{
    uint64_t count = 0;

    for (size_t i = 0; m->is.purging && i < m->is.count; i++)
        count += m->is.items[i].doomed;
    return count;
}

uint64_t model_waiting(const struct model *m)
{
    return count_in(m, JQ_BLOCKED) + count_in(m, JQ_DELAYED) + count_in(m, JQ_READY);
}

uint64_t model_putters(const struct model *m)
{
    uint64_t count = 0;

    for (size_t i = 0; i < m->rooms.count; i++)
        count += !m->rooms.at[i].kept;
    return count;
}

struct model_counts model_counts(const struct model *m)
{
    return (struct model_counts){
        .blocked = count_in(m, JQ_BLOCKED),
        .delayed = count_in(m, JQ_DELAYED),
        .ready = count_in(m, JQ_READY),
        .running = count_in(m, JQ_RUNNING),
        .unfinished = model_waiting(m) + count_in(m, JQ_RUNNING),
        .maxsize = m->is.maxsize,
        .succeeded = m->is.succeeded,
        .cancelled = m->is.cancelled,
        .purging = model_doomed(m),
        .getters = m->getters.count,
        .putters = model_putters(m),
        .paused = m->is.paused,
        .closed = m->is.closed,
    };
}

struct model_item *model_find(struct model *m, uint64_t id)
{
    for (size_t i = 0; i < m->is.count; i++)
        if (m->is.items[i].id == id)
            return &m->is.items[i];
    return NULL;
}

/* ---- order ---- */

static bool is_before(const struct model *m, const struct model_item *a, const struct model_item *b)
{
    if (m->is.order == MODEL_PRIORITY && a->priority != b->priority)
        return a->priority < b->priority;
    return m->is.order == MODEL_LIFO ? a->id > b->id : a->id < b->id;
}

/* The first, or the last, of those in this state; NULL: none. */
struct model_item *model_end_of(struct model *m, enum jq_job_state state, bool first)
{
    struct model_item *best = NULL;

    for (size_t i = 0; i < m->is.count; i++) {
        struct model_item *item = &m->is.items[i];
        if (item->state == state && !item->doomed && (!best || is_before(m, item, best) == first))
            best = item;
    }
    return best;
}

/* ---- telling ---- */

struct model_told *model_tell(struct model *m, int client, enum jq_tag tag, uint64_t correlation,
                              bool held)
{
    assert_true(m->told_count < MODEL_TOLD);
    struct model_told *told = &m->told[m->told_count++];
    memset(told, 0, offsetof(struct model_told, given));
    told->client = client;
    told->tag = tag;
    told->correlation = correlation;
    told->held = held;
    told->listed = 0;
    return told;
}

void model_refuse(struct model *m, int client, uint64_t correlation, enum jq_err err)
{
    model_tell(m, client, JQ_MSG_ERROR, correlation, false)->error = err;
}

void model_said(struct model *m, int client, uint64_t correlation, uint64_t count)
{
    struct model_told *told = model_tell(m, client, JQ_MSG_QUEUE_SAID, correlation, true);

    told->counts = model_counts(m);
    told->count = count;
}

/* ---- asks ---- */

void model_ask(struct model_asks *asks, struct model_ask new)
{
    assert_true(asks->count < MODEL_ASKS);
    asks->at[asks->count++] = new;
}

struct model_ask model_take_ask(struct model_asks *asks, size_t at)
{
    const struct model_ask taken = asks->at[at];

    memmove(&asks->at[at], &asks->at[at + 1], (--asks->count - at) * sizeof taken);
    return taken;
}

/* correlation 0: all of that client. */
void model_withdraw(struct model_asks *asks, int client, uint64_t correlation)
{
    for (size_t i = asks->count; i > 0; i--)
        if (asks->at[i - 1].client == client &&
            (!correlation || asks->at[i - 1].correlation == correlation))
            model_take_ask(asks, i - 1);
}

/* ---- items ---- */

void model_end_item(struct model *m, struct model_item *item, enum jq_job_state state)
{
    assert_true(m->ended_count < MODEL_ENDED);
    m->ended[m->ended_count].id = item->id;
    m->ended[m->ended_count].fence = item->fence;
    m->ended[m->ended_count++].state = state;
    *item = m->is.items[--m->is.count];
}

/* Whoever held it, or whatever it waited for. */
void model_becomes_ready(struct model *m, struct model_item *item)
{
    item->state = JQ_READY;
    item->due_at = 0;
    m->back += !item->doomed;
}

void model_holder_ends(struct model *m, int client)
{
    for (size_t i = 0; i < m->is.count; i++)
        if (m->is.items[i].state == JQ_RUNNING && m->is.items[i].holder == client)
            model_becomes_ready(m, &m->is.items[i]);
    m->is.holds[client] = false;
    m->clients[client].ghost = false;
}

void model_disconnect(struct model *m, int client)
{
    if (m->clients[client].connected)
        m->clients[client].left_at = m->now;
    m->clients[client].connected = false;
    model_withdraw(&m->getters, client, 0);
    model_withdraw(&m->rooms, client, 0);
    model_withdraw(&m->joiners, client, 0);
    for (size_t i = m->told_count; i > 0; i--)
        if (m->told[i - 1].client == client)
            m->told[i - 1] = m->told[--m->told_count];
}

/* ---- what follows ---- */

static bool is_settling(const struct model *m)
{
    bool any = false;

    for (size_t i = 0; i < MODEL_CLIENTS; i++)
        any |= m->clients[i].ghost;
    return any && m->now < m->settled_at;
}

static void even_out(struct model *m)
{
    struct model_item *item;

    for (; m->back > 0; m->back--)
        if (m->is.maxsize && count_in(m, JQ_READY) > m->is.maxsize)
            model_end_of(m, JQ_READY, false)->state = JQ_BLOCKED;
    while ((!m->is.maxsize || count_in(m, JQ_READY) < m->is.maxsize) &&
           (item = model_end_of(m, JQ_BLOCKED, true)))
        item->state = JQ_READY;
}

uint64_t model_places_taken(const struct model *m)
{
    uint64_t count = model_waiting(m);

    for (size_t i = 0; i < m->rooms.count; i++)
        count += m->rooms.at[i].kept ? m->rooms.at[i].count : 0;
    return count;
}

static void serve_rooms(struct model *m)
{
    for (size_t i = 0; i < m->rooms.count;) {
        struct model_ask *room = &m->rooms.at[i];
        if (room->kept) {
            i++;
        } else if (m->is.closed || (m->is.maxsize && room->count > m->is.maxsize)) {
            model_refuse(m, room->client, room->correlation,
                         m->is.closed ? JQ_ECLOSED : JQ_EMSGSIZE);
            model_take_ask(&m->rooms, i);
        } else if (!m->is.maxsize || model_places_taken(m) + room->count <= m->is.maxsize) {
            room->kept = true;
            model_tell(m, room->client, JQ_MSG_ROOM_KEPT, room->correlation, false);
            i++;
        } else {
            return;
        }
    }
}

void model_end_getters(struct model *m)
{
    while (m->is.closed && m->getters.count > 0 && model_waiting(m) == 0) {
        const struct model_ask get = model_take_ask(&m->getters, 0);
        model_refuse(m, get.client, get.correlation, JQ_ECLOSED);
    }
}

static void give(struct model *m, const struct model_ask *get, struct model_item *item)
{
    item->state = JQ_RUNNING;
    item->attempt++;
    item->fence = m->is.incarnation << 32 | item->attempt;
    item->holder = get->lease_ms ? MODEL_BY_RECEIPT : get->client;
    item->due_at = get->lease_ms ? m->now + (jq_ms)get->lease_ms : 0;
}

/* One that stands aside comes back before more is given. */
static bool is_even(const struct model *m)
{
    return count_in(m, JQ_BLOCKED) == 0 ||
           (m->is.maxsize && count_in(m, JQ_READY) >= m->is.maxsize);
}

/* True: somebody was given something. */
static bool give_some(struct model *m)
{
    struct model_item *item = model_end_of(m, JQ_READY, true);

    if (!item || m->getters.count == 0 || m->is.paused || model_doomed(m) || is_settling(m))
        return false;
    const struct model_ask get = model_take_ask(&m->getters, 0);
    struct model_told *told = model_tell(m, get.client, get.count ? JQ_MSG_ITEMS : JQ_MSG_ITEM,
                                         get.correlation, get.lease_ms > 0);
    do {
        give(m, &get, item);
        told->item = told->given[told->listed++] = *item;
    } while (told->listed < get.count && is_even(m) && (item = model_end_of(m, JQ_READY, true)));
    return true;
}

static void release_joiners(struct model *m)
{
    while (m->joiners.count > 0 && model_counts(m).unfinished == 0) {
        const struct model_ask join = model_take_ask(&m->joiners, 0);
        model_tell(m, join.client, JQ_MSG_JOINED, join.correlation, true);
    }
}

void model_follow(struct model *m)
{
    do {
        even_out(m);
        serve_rooms(m);
        model_end_getters(m);
    } while (give_some(m));
    for (size_t i = m->getters.count; i > 0 && !is_settling(m); i--) {
        if (!m->getters.at[i - 1].hasty)
            continue;
        const struct model_ask get = model_take_ask(&m->getters, i - 1);
        model_refuse(m, get.client, get.correlation, JQ_EEMPTY);
    }
    release_joiners(m);
}

/* ---- time ---- */

static void purge_slice(struct model *m)
{
    size_t left = MODEL_SLICE;

    if (!m->is.purging || is_settling(m))
        return;
    for (size_t i = m->is.count; i > 0 && left > 0; i--) {
        if (!m->is.items[i - 1].doomed)
            continue;
        model_end_item(m, &m->is.items[i - 1], JQ_CANCELLED);
        left--;
    }
    m->is.purging = model_doomed(m) > 0;
}

static void items_due(struct model *m)
{
    for (size_t i = 0; i < m->is.count; i++)
        if (m->is.items[i].due_at && m->is.items[i].due_at <= m->now)
            model_becomes_ready(m, &m->is.items[i]);
}

static bool holds_any(const struct model *m, int client)
{
    for (size_t i = 0; i < m->is.count; i++)
        if (m->is.items[i].state == JQ_RUNNING && m->is.items[i].holder == client)
            return true;
    return false;
}

/* Who works on an item may be silent; whoever stops is looked at a lease later. */
static void looked_at(struct model *m, int client)
{
    const jq_ms heard_at = holds_any(m, client) ? m->now : m->clients[client].heard_at;

    m->clients[client].silent_at = heard_at + MODEL_LEASE_MS;
    if (m->clients[client].silent_at <= m->now)
        model_disconnect(m, client);
}

static bool has_left(const struct model *m, int client)
{
    return m->is.holds[client] && !m->clients[client].connected;
}

static void tick(struct model *m)
{
    for (int i = 0; i < MODEL_CLIENTS; i++) {
        if (m->clients[i].connected && m->clients[i].silent_at <= m->now)
            looked_at(m, i);
        if (has_left(m, i) && m->clients[i].left_at + MODEL_LEASE_MS <= m->now)
            model_holder_ends(m, i);
    }
    items_due(m);
    purge_slice(m);
    model_follow(m);
}

static void sooner(jq_ms *at, jq_ms other)
{
    *at = other < *at ? other : *at;
}

/* When something happens, at `end` at the latest. */
static jq_ms next_at(const struct model *m, jq_ms end)
{
    jq_ms at = end;

    for (int i = 0; i < MODEL_CLIENTS; i++) {
        if (m->clients[i].connected)
            sooner(&at, m->clients[i].silent_at);
        if (has_left(m, i))
            sooner(&at, m->clients[i].left_at + MODEL_LEASE_MS);
    }
    for (size_t i = 0; i < m->is.count; i++)
        if (m->is.items[i].due_at)
            sooner(&at, m->is.items[i].due_at);
    if (is_settling(m))
        sooner(&at, m->settled_at);
    else if (m->is.purging)
        sooner(&at, m->now + 1);
    return at;
}

void model_advance(struct model *m, jq_ms later)
{
    const jq_ms end = m->now + later;

    do {
        m->now = next_at(m, end);
        tick(m);
    } while (m->now < end);
}

/* ---- the store ---- */

static void copy(struct model_stored *to, const struct model_stored *from)
{
    memcpy(to, from,
           offsetof(struct model_stored, items) + from->count * sizeof(struct model_item));
}

void model_commit(struct model *m)
{
    m->is.purging_many &= m->is.purging;
    copy(&m->durable, &m->is);
    m->ended_count = 0;
    for (size_t i = 0; i < m->told_count; i++)
        m->told[i].held = false;
}

/* Sessions have a lease to come back. Why a job was blocked nobody knows any more: as many as are
 * too many stand aside again. */
void model_restart(struct model *m, jq_ms down_ms)
{
    copy(&m->is, &m->durable);
    m->is.incarnation++;
    m->now += down_ms;
    m->settled_at = m->now + MODEL_SETTLE_MS;
    m->back = m->ended_count = m->told_count = 0;
    m->getters.count = m->rooms.count = m->joiners.count = 0;
    for (int i = 0; i < MODEL_CLIENTS; i++) {
        m->clients[i].connected = false;
        m->clients[i].ghost = m->is.holds[i];
        m->clients[i].left_at = m->now;
    }
    for (size_t i = 0; i < m->is.count; i++) {
        m->is.items[i].restored = true;
        if (m->is.items[i].state == JQ_BLOCKED)
            model_becomes_ready(m, &m->is.items[i]);
    }
    items_due(m);
    model_follow(m);
    model_commit(m);
}
