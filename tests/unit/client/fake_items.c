/* SPDX-License-Identifier: MIT
 *
 * fake_items.c - see fake_items.h. */
#include "tests/unit/client/fake_items.h"

#include <string.h>

#include "proto/base/alloc.h"

/* ---- the queue ---- */

static size_t count_of(const struct fi_items *fi, enum jq_job_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < fi->count; i++)
        count += fi->items[i].state == state;
    return count;
}

static size_t kept_places(const struct fi_items *fi)
{
    size_t count = 0;

    for (size_t i = 0; i < fi->waiting_count; i++)
        count += fi->waiting[i].is_kept ? fi->waiting[i].count : 0;
    return count;
}

static bool has_places(const struct fi_items *fi, uint32_t count)
{
    return fi->maxsize == 0 || count_of(fi, JQ_READY) + kept_places(fi) + count <= fi->maxsize;
}

static void remove_waiting(struct fi_items *fi, size_t index)
{
    fi->waiting_count--;
    memmove(&fi->waiting[index], &fi->waiting[index + 1],
            (fi->waiting_count - index) * sizeof fi->waiting[0]);
}

static bool same_route(const struct fi_route *a, const struct fi_route *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool fi_admits(struct fi_items *fi, const struct fi_route *from, uint32_t count)
{
    bool waits = fi->closed;

    for (size_t i = 0; i < fi->waiting_count; i++) {
        const struct fi_waiting *w = &fi->waiting[i];
        if (w->tag != JQ_MSG_ROOM)
            continue;
        if (w->is_kept && w->count >= count && same_route(&w->route, from)) {
            remove_waiting(fi, i);
            return true;
        }
        waits = waits || !w->is_kept;
    }
    return !waits && has_places(fi, count);
}

void fi_add(struct fi_items *fi, uint64_t id, const struct jq_job_spec *spec)
{
    struct fi_item *item = &fi->items[fi->count++];

    assert_true(fi->count < FI_ITEMS_MAX);
    *item = (struct fi_item){ .id = id,
                              .state = JQ_READY,
                              .payload = jq_alloc(spec->payload.size + 1),
                              .payload_size = spec->payload.size };
    if (spec->payload.size)
        memcpy(item->payload, spec->payload.data, spec->payload.size);
    fi->sequence = id;
}

static struct fi_item *first_ready(struct fi_items *fi)
{
    for (size_t i = 0; i < fi->count; i++)
        if (fi->items[i].state == JQ_READY)
            return &fi->items[i];
    return NULL;
}

static struct fi_item *find(struct fi_items *fi, uint64_t id)
{
    for (size_t i = 0; i < fi->count; i++)
        if (fi->items[i].id == id)
            return &fi->items[i];
    return NULL;
}

/* ---- answers ---- */

static void say_error(struct fi_items *fi, const struct fi_route *to, uint64_t correlation,
                      enum jq_err err)
{
    const struct jq_msg msg = { .tag = JQ_MSG_ERROR,
                                .correlation = correlation,
                                .u.error = { .error = err, .text = jq_view_str("as played") } };

    fi->say(fi->arg, to, &msg);
}

static void hand_over(struct fi_items *fi, const struct fi_waiting *to, struct fi_item *item)
{
    item->state = JQ_RUNNING;
    item->session = to->session;
    item->fence = (UINT64_C(1) << 32) + ++fi->fences;
    item->attempt++;
}

/* `item`, and as many more as are wanted and there. */
static void grant_many(struct fi_items *fi, const struct fi_waiting *to, struct fi_item *item)
{
    struct jq_buf list = { 0 };
    uint32_t count = 0;

    for (; item && count < to->count; item = first_ready(fi), count++) {
        hand_over(fi, to, item);
        const struct jq_given given = {
            .id = item->id,
            .fence = item->fence,
            .attempt = item->attempt,
            .payload = jq_view(item->payload, item->payload_size),
        };
        jq_given_write(&list, &given);
    }
    const struct jq_msg msg = { .tag = JQ_MSG_ITEMS,
                                .correlation = to->correlation,
                                .u.items.items = jq_records_of(count, &list) };
    fi->say(fi->arg, &to->route, &msg);
    jq_buf_fini(&list);
}

static void grant(struct fi_items *fi, const struct fi_waiting *to, struct fi_item *item)
{
    if (to->count && !fi->faults->is_older) {
        grant_many(fi, to, item);
        return;
    }
    hand_over(fi, to, item);
    const struct jq_msg msg = {
        .tag = JQ_MSG_ITEM,
        .correlation = to->correlation,
        .u.item = { .id = item->id,
                    .fence = item->fence,
                    .attempt = item->attempt,
                    .payload = jq_view(item->payload, item->payload_size) },
    };
    fi->say(fi->arg, &to->route, &msg);
}

/* False: it goes on waiting. */
static bool serve(struct fi_items *fi, struct fi_waiting *w)
{
    struct jq_msg msg = { .correlation = w->correlation };
    struct fi_item *item;

    switch ((int)w->tag) {
    case JQ_MSG_GET:
        item = fi->paused || fi->faults->item_at_unwait || fi->faults->item_after_pong
                   ? NULL
                   : first_ready(fi);
        if (item)
            grant(fi, w, item);
        return item != NULL;
    case JQ_MSG_ROOM:
        if (w->is_kept || !has_places(fi, w->count))
            return false;
        w->is_kept = true;
        msg.tag = JQ_MSG_ROOM_KEPT;
        fi->say(fi->arg, &w->route, &msg);
        return false;
    default:
        if (count_of(fi, JQ_READY) + count_of(fi, JQ_RUNNING) > 0)
            return false;
        msg.tag = JQ_MSG_JOINED;
        fi->say(fi->arg, &w->route, &msg);
        return true;
    }
}

void fi_pump(struct fi_items *fi)
{
    bool room_waits = false;

    for (size_t i = 0; i < fi->waiting_count;) {
        struct fi_waiting *w = &fi->waiting[i];
        if (w->tag == JQ_MSG_ROOM && room_waits) {
            i++;
            continue;
        }
        const bool served = serve(fi, w);
        room_waits = room_waits || (w->tag == JQ_MSG_ROOM && !w->is_kept);
        if (served) {
            remove_waiting(fi, i);
            i = 0; /* a place may be free, all may be done */
            room_waits = false;
        } else {
            i++;
        }
    }
    fi->counts->getters = fi->counts->putters = 0;
    for (size_t i = 0; i < fi->waiting_count; i++) {
        fi->counts->getters += fi->waiting[i].tag == JQ_MSG_GET;
        fi->counts->putters += fi->waiting[i].tag == JQ_MSG_ROOM && !fi->waiting[i].is_kept;
    }
}

/* ---- messages ---- */

static void wait_for(struct fi_items *fi, const struct fi_route *from, uint64_t session,
                     const struct jq_msg *msg)
{
    assert_true(fi->waiting_count < FI_WAITING_MAX);
    fi->waiting[fi->waiting_count++] = (struct fi_waiting){
        .route = *from,
        .correlation = msg->correlation,
        .session = session,
        .tag = msg->tag,
        .count = msg->tag == JQ_MSG_ROOM  ? (uint32_t)msg->u.room.count
                 : msg->tag == JQ_MSG_GET ? (uint32_t)msg->u.get.count
                                          : 0,
    };
}

static void on_get(struct fi_items *fi, const struct fi_route *from, uint64_t session,
                   const struct jq_msg *msg)
{
    const bool empty = !first_ready(fi) || fi->paused;

    if (empty && fi->closed)
        say_error(fi, from, msg->correlation, JQ_ECLOSED);
    else if (empty && !msg->u.get.wait)
        say_error(fi, from, msg->correlation, JQ_EEMPTY);
    else
        wait_for(fi, from, session, msg);
}

static void on_unwait(struct fi_items *fi, const struct fi_route *from, uint64_t correlation)
{
    for (size_t i = 0; i < fi->waiting_count; i++) {
        struct fi_waiting *w = &fi->waiting[i];
        struct fi_item *item = first_ready(fi);
        if (w->correlation != correlation || !same_route(&w->route, from))
            continue;
        if (w->tag == JQ_MSG_GET && fi->faults->item_at_unwait && item)
            grant(fi, w, item);
        if (w->tag == JQ_MSG_GET && fi->faults->item_after_pong)
            fi->owed = *w, fi->pongs_owed = 1;
        remove_waiting(fi, i);
        return;
    }
}

void fi_pay(struct fi_items *fi)
{
    struct fi_item *item = first_ready(fi);

    if (fi->owed.correlation && fi->pongs_owed-- > 0) /* the client may still be looking */
        return;
    if (fi->owed.correlation && item)
        grant(fi, &fi->owed, item);
    fi->owed.correlation = 0;
}

static struct jq_ack settle(struct fi_items *fi, const struct jq_settling *s)
{
    struct fi_item *item = find(fi, s->id);
    struct jq_ack ack = { .id = s->id };

    if (!item)
        ack.error = JQ_ENOENT;
    else if (item->state == JQ_SUCCEEDED)
        ack.error = JQ_EALREADY;
    else if (item->state != JQ_RUNNING || item->fence != s->fence)
        ack.error = JQ_EFENCED;
    else if (s->action == JQ_SETTLE_DONE)
        item->state = JQ_SUCCEEDED, fi->done++;
    else if (s->action == JQ_SETTLE_NACK)
        item->state = JQ_READY, fi->counts->nacks++;
    else
        item->session = 0; /* held by its receipt */
    return ack;
}

static void on_settle(struct fi_items *fi, const struct fi_route *from, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.settle.items);
    struct jq_buf list = { 0 };
    struct jq_settling s;

    fi->counts->settles++;
    while (jq_settling_next(&r, &s)) {
        const struct jq_ack ack = settle(fi, &s);
        jq_ack_write(&list, &ack);
    }
    const struct jq_msg answer = {
        .tag = JQ_MSG_SETTLED,
        .correlation = msg->correlation,
        .u.settled.each = jq_records_of(msg->u.settle.items.count, &list),
    };
    if (fi->faults->drop_settled)
        fi->faults->drop_settled--;
    else
        fi->say(fi->arg, from, &answer);
    jq_buf_fini(&list);
}

static void say_queue(struct fi_items *fi, const struct fi_route *from, uint64_t correlation,
                      uint64_t count)
{
    struct jq_buf info = { 0 }, conf = { 0 };
    const size_t ready = count_of(fi, JQ_READY), running = count_of(fi, JQ_RUNNING);
    const struct jq_queue_info said = {
        .order = jq_view_str("fifo"),
        .maxsize = fi->maxsize,
        .ready = ready,
        .running = running,
        .unfinished = ready + running,
        .succeeded = fi->done,
        .paused = fi->paused,
        .closed = fi->closed,
        .sequence = fi->sequence,
    };
    const struct jq_queue_conf set = { .order = jq_view_str("fifo"), .maxsize = fi->maxsize };

    jq_queue_info_write(&info, &said);
    jq_queue_conf_write(&conf, &set);
    const struct jq_msg answer = { .tag = JQ_MSG_QUEUE_SAID,
                                   .correlation = correlation,
                                   .u.queue_said = { .info = jq_records_of(1, &info),
                                                     .conf = jq_records_of(1, &conf),
                                                     .count = count } };
    fi->say(fi->arg, from, &answer);
    jq_buf_fini(&info);
    jq_buf_fini(&conf);
}

static uint64_t cancel_ready(struct fi_items *fi)
{
    uint64_t count = 0;

    for (struct fi_item *item; (item = first_ready(fi)); count++)
        item->state = JQ_CANCELLED;
    return count;
}

static void on_do(struct fi_items *fi, const struct fi_route *from, const struct jq_msg *msg)
{
    const uint64_t action = msg->u.queue_do.action;
    uint64_t count = 0;

    if (action == JQ_QUEUE_PAUSE || action == JQ_QUEUE_RESUME)
        fi->paused = action == JQ_QUEUE_PAUSE;
    if (action == JQ_QUEUE_CLOSE || action == JQ_QUEUE_CLOSE_NOW)
        fi->closed = true;
    if (action == JQ_QUEUE_PURGE || action == JQ_QUEUE_CLOSE_NOW)
        count = cancel_ready(fi);
    if (action == JQ_QUEUE_REMOVE && count_of(fi, JQ_READY) + count_of(fi, JQ_RUNNING) > 0)
        say_error(fi, from, msg->correlation, JQ_ESTATE);
    else
        say_queue(fi, from, msg->correlation, count);
}

static void on_set(struct fi_items *fi, const struct fi_route *from, const struct jq_msg *msg)
{
    struct jq_reader r = jq_records_reader(msg->u.queue_set.conf);
    struct jq_queue_conf conf;

    assert_true(jq_queue_conf_next(&r, &conf));
    if (!jq_view_equal(conf.order, jq_view_str("fifo"))) {
        say_error(fi, from, msg->correlation, JQ_EEXIST);
        return;
    }
    fi->maxsize = conf.maxsize;
    say_queue(fi, from, msg->correlation, 0);
}

bool fi_hear(struct fi_items *fi, const struct fi_route *from, uint64_t session,
             const struct jq_msg *msg)
{
    const bool unknown = msg->tag == JQ_MSG_QUEUE_ASK &&
                         jq_view_equal(msg->u.queue_ask.name, jq_view_str("nowhere"));

    switch ((int)msg->tag) {
    case JQ_MSG_GET:
        on_get(fi, from, session, msg);
        break;
    case JQ_MSG_ROOM:
    case JQ_MSG_JOIN:
        wait_for(fi, from, session, msg);
        break;
    case JQ_MSG_UNWAIT:
        on_unwait(fi, from, msg->correlation);
        fi_pump(fi);
        return false; /* others count it */
    case JQ_MSG_SETTLE:
        on_settle(fi, from, msg);
        break;
    case JQ_MSG_QUEUE_ASK:
        if (unknown)
            say_error(fi, from, msg->correlation, JQ_ENOENT);
        else
            say_queue(fi, from, msg->correlation, 0);
        break;
    case JQ_MSG_QUEUE_SET:
        on_set(fi, from, msg);
        break;
    case JQ_MSG_QUEUE_DO:
        on_do(fi, from, msg);
        break;
    default:
        return false;
    }
    fi_pump(fi);
    return true;
}

/* ---- connections ---- */

uint32_t fi_hello(struct fi_items *fi, uint64_t session, struct jq_records held,
                  struct jq_buf *lost)
{
    uint32_t count = 0;
    struct jq_held h;

    /* What it waited for was its last connection's: an item given there would never arrive. */
    for (size_t i = fi->waiting_count; i-- > 0;)
        if (fi->waiting[i].session == session)
            remove_waiting(fi, i);
    fi->counts->held = held.count;
    for (size_t i = 0; i < fi->count; i++) {
        struct fi_item *item = &fi->items[i];
        bool listed = false;
        for (struct jq_reader r = jq_records_reader(held); jq_held_next(&r, &h);)
            listed = listed || (h.id == item->id && h.fence == item->fence);
        if (item->state == JQ_RUNNING && item->session == session && !listed)
            item->state = JQ_READY;
    }
    for (struct jq_reader r = jq_records_reader(held); jq_held_next(&r, &h);) {
        const struct fi_item *item = find(fi, h.id);
        if (item && item->state == JQ_RUNNING && item->fence == h.fence)
            continue;
        jq_held_write(lost, &h);
        count++;
    }
    return count;
}

void fi_forget(struct fi_items *fi)
{
    fi->waiting_count = 0;
}

void fi_steal(struct fi_items *fi)
{
    for (size_t i = 0; i < fi->count; i++)
        if (fi->items[i].state == JQ_RUNNING)
            fi->items[i].state = JQ_SUCCEEDED;
}

void fi_free(struct fi_items *fi)
{
    for (size_t i = 0; i < fi->count; i++)
        jq_free(fi->items[i].payload);
    jq_free(fi);
}
