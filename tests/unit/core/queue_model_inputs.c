/* SPDX-License-Identifier: MIT
 *
 * queue_model_inputs.c - see queue_model.h: what clients send. */
#include "tests/unit/core/queue_model_inner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- sessions ---- */

void model_heard(struct model *m, int client)
{
    m->clients[client].heard_at = m->now;
}

static const enum jq_job_state *end_state(const struct model *m, uint64_t id, uint64_t fence)
{
    for (size_t i = 0; i < m->ended_count; i++)
        if (m->ended[i].id == id && (!fence || m->ended[i].fence == fence))
            return &m->ended[i].state;
    return NULL;
}

/* The broker that gave it away crashed before that was durable. */
static bool is_adoptable(const struct model *m, const struct model_item *item, uint64_t fence)
{
    return item->state == JQ_READY && item->restored && fence > item->fence &&
           fence >> 32 == m->is.incarnation - 1;
}

/* What it has and does not list goes back after what it lists has been taken: for a moment nothing
 * may wait. */
static void reconcile(struct model *m, int client, const struct jq_held *held, size_t count,
                      struct model_told *welcome)
{
    uint64_t seen[MODEL_LIST];
    size_t seen_count = 0;

    for (size_t i = 0; i < count; i++) {
        struct model_item *item = model_find(m, held[i].id);
        if (item && item->state == JQ_RUNNING && item->holder == client &&
            item->fence == held[i].fence) {
            seen[seen_count++] = item->id;
        } else if (item && is_adoptable(m, item, held[i].fence)) {
            m->is.cancelled -= item->doomed;
            item->doomed = false;
            item->state = JQ_RUNNING;
            item->holder = client;
            item->fence = held[i].fence;
            item->attempt = (uint32_t)held[i].fence;
            seen[seen_count++] = item->id;
            model_end_getters(m);
        } else if (item || !end_state(m, held[i].id, held[i].fence)) {
            welcome->lost[welcome->listed++] = held[i];
        }
    }
    for (size_t i = 0; i < m->is.count; i++) {
        struct model_item *item = &m->is.items[i];
        bool found = item->state != JQ_RUNNING || item->holder != client;
        for (size_t n = 0; n < seen_count; n++)
            found |= seen[n] == item->id;
        if (!found)
            model_becomes_ready(m, item);
    }
}

void model_hello(struct model *m, int client, uint64_t correlation, const struct jq_held *held,
                 size_t count)
{
    model_disconnect(m, client);
    m->clients[client].connected = true;
    m->clients[client].silent_at = m->now + MODEL_LEASE_MS;
    model_heard(m, client);
    struct model_told *welcome = model_tell(m, client, JQ_MSG_WELCOME, correlation, false);
    if (count > 0 || m->is.holds[client]) {
        m->is.holds[client] = true;
        m->clients[client].ghost = false;
        reconcile(m, client, held, count, welcome);
    }
    model_follow(m);
}

void model_gone(struct model *m, int client)
{
    model_disconnect(m, client);
    model_follow(m);
}

void model_bye(struct model *m, int client)
{
    model_disconnect(m, client);
    model_holder_ends(m, client);
    memset(&m->is.request[client], 0, sizeof m->is.request[client]);
    model_follow(m);
}

/* ---- SUBMIT, ROOM ---- */

static enum jq_err admit(struct model *m, int client, uint64_t count)
{
    if (m->is.closed)
        return JQ_ECLOSED;
    for (size_t i = 0; i < m->rooms.count; i++) {
        const struct model_ask *room = &m->rooms.at[i];
        if (room->client == client && room->kept && room->count >= count) {
            model_take_ask(&m->rooms, i);
            return JQ_OK;
        }
    }
    if (m->is.maxsize && count > m->is.maxsize)
        return JQ_EMSGSIZE;
    if (model_putters(m) > 0 || (m->is.maxsize && model_places_taken(m) + count > m->is.maxsize))
        return JQ_EFULL;
    return JQ_OK;
}

void model_submit(struct model *m, int client, uint64_t number, const struct model_spec *specs,
                  size_t count)
{
    const bool again = m->is.request[client].number == number;
    const enum jq_err err = again ? JQ_OK : admit(m, client, count);

    if (err != JQ_OK) {
        model_refuse(m, client, number, err);
        return;
    }
    if (!again) {
        m->is.request[client].number = number;
        m->is.request[client].first_id = m->is.next_id;
        m->is.request[client].count = count;
    }
    struct model_told *told = model_tell(m, client, JQ_MSG_SUBMITTED, number,
                                         m->durable.request[client].number != number);
    told->first_id = m->is.request[client].first_id;
    told->count = m->is.request[client].count;
    for (size_t i = 0; i < count && !again; i++) {
        assert_true(m->is.count < MODEL_ITEMS);
        m->is.items[m->is.count++] = (struct model_item){
            .id = m->is.next_id++,
            .serial = specs[i].serial,
            .priority = specs[i].priority,
            .state = specs[i].delay_ms ? JQ_DELAYED : JQ_READY,
            .created_at = m->now,
            .due_at = specs[i].delay_ms ? m->now + (jq_ms)specs[i].delay_ms : 0,
        };
    }
    model_follow(m);
}

void model_room(struct model *m, int client, uint64_t correlation, uint64_t count)
{
    model_withdraw(&m->rooms, client, correlation);
    model_ask(&m->rooms,
              (struct model_ask){ .client = client, .correlation = correlation, .count = count });
    model_follow(m);
}

/* ---- GET, PEEK, SETTLE ---- */

void model_get(struct model *m, int client, uint64_t correlation, bool wait, uint64_t lease_ms,
               uint64_t count)
{
    m->is.holds[client] = true;
    model_withdraw(&m->getters, client, correlation);
    model_ask(&m->getters, (struct model_ask){ .client = client,
                                               .correlation = correlation,
                                               .lease_ms = lease_ms,
                                               .hasty = !wait,
                                               .count = count });
    model_follow(m);
}

/* While a queue is purged nobody is given anything of it. */
void model_peek(struct model *m, int client, uint64_t correlation)
{
    const struct model_item *item = model_doomed(m) ? NULL : model_end_of(m, JQ_READY, true);

    if (!item) {
        model_refuse(m, client, correlation, JQ_EEMPTY);
        return;
    }
    struct model_told *told = model_tell(m, client, JQ_MSG_ITEM, correlation, false);
    told->item = *item;
    told->item.fence = 0;
}

static struct jq_ack settle_one(struct model *m, const struct jq_settling *s, bool *held)
{
    struct model_item *item = model_find(m, s->id);
    const enum jq_job_state *end = item ? NULL : end_state(m, s->id, 0);
    struct jq_ack ack = { .id = s->id };

    *held |= end != NULL;
    if (!item) {
        ack.error = s->id < m->is.next_id ? JQ_EALREADY : JQ_ENOENT;
        ack.state = end ? *end : 0;
        return ack;
    }
    ack.state = item->doomed ? MODEL_ANY_STATE : item->state;
    if (item->state != JQ_RUNNING || item->fence != s->fence) {
        ack.error = JQ_EFENCED;
    } else if (s->action == JQ_SETTLE_EXTEND && s->ms == 0) {
        ack.error = JQ_EINVAL;
    } else if (s->action == JQ_SETTLE_DONE) {
        *held = true;
        ack.state = JQ_SUCCEEDED;
        m->is.succeeded++;
        model_end_item(m, item, JQ_SUCCEEDED);
    } else if (s->action == JQ_SETTLE_EXTEND) {
        *held = true;
        item->holder = MODEL_BY_RECEIPT;
        item->due_at = m->now + (jq_ms)s->ms;
    } else {
        *held = true;
        model_becomes_ready(m, item);
        if (s->ms) {
            m->back--;
            item->state = JQ_DELAYED;
            item->due_at = m->now + (jq_ms)s->ms;
        }
        ack.state = item->state;
    }
    return ack;
}

void model_settle(struct model *m, int client, uint64_t correlation,
                  const struct jq_settling *items, size_t count)
{
    struct model_told *told = model_tell(m, client, JQ_MSG_SETTLED, correlation, false);

    for (size_t i = 0; i < count; i++)
        told->acks[told->listed++] = settle_one(m, &items[i], &told->held);
    model_follow(m);
}

/* ---- the queue ---- */

void model_join(struct model *m, int client, uint64_t correlation)
{
    model_ask(&m->joiners, (struct model_ask){ .client = client, .correlation = correlation });
    model_follow(m);
}

void model_unwait(struct model *m, int client, uint64_t correlation)
{
    model_withdraw(&m->getters, client, correlation);
    model_withdraw(&m->rooms, client, correlation);
    model_withdraw(&m->joiners, client, correlation);
    model_follow(m);
}

void model_set_maxsize(struct model *m, int client, uint64_t correlation, uint64_t maxsize)
{
    m->is.maxsize = maxsize;
    model_said(m, client, correlation, 0);
    model_follow(m);
}

/* How many. A purge that has something to do takes an id as its number. */
static uint64_t purge(struct model *m)
{
    const uint64_t count = model_waiting(m);

    if (count == 0)
        return 0;
    m->is.next_id++;
    m->is.purging = true;
    m->is.cancelled += count;
    m->is.purging_many |= count > MODEL_SLICE;
    for (size_t i = 0; i < m->is.count; i++)
        m->is.items[i].doomed |= m->is.items[i].state != JQ_RUNNING;
    return count;
}

void model_do(struct model *m, int client, uint64_t correlation, enum jq_queue_action action)
{
    uint64_t count = 0;

    if (action == JQ_QUEUE_PAUSE || action == JQ_QUEUE_RESUME)
        m->is.paused = action == JQ_QUEUE_PAUSE;
    if (action == JQ_QUEUE_CLOSE || action == JQ_QUEUE_CLOSE_NOW)
        m->is.closed = true;
    if (action == JQ_QUEUE_REOPEN)
        m->is.closed = false;
    if (action == JQ_QUEUE_PURGE || action == JQ_QUEUE_CLOSE_NOW)
        count = purge(m);
    model_end_getters(m);
    model_said(m, client, correlation, count);
    model_follow(m);
}
