/* SPDX-License-Identifier: MIT
 *
 * pending_item.c - items that were leased to this client, and GETs that bring more. An item counts
 * as held from the moment at which it arrives: a HELLO that did not list it would give it back.
 * One that leaves is done, for all that its owner knows, and held until the broker has said so.
 *
 * A GET that is withdrawn may have been answered already: such an item goes back to its queue. */
#include "client/pending.h"
#include "proto/base/alloc.h"

static struct jobq_item *element(struct jq_dlink *link)
{
    return JQ_ELEMENT(link, struct jobq_item, in_items);
}

/* ---- places ---- */

enum { SPARES_MAX = JQ_JOBS_PER_FRAME };

static void free_item(struct jq_pending *p, struct jobq_item *item)
{
    jq_frame_drop(&item->frame);
    if (p->spares_count >= SPARES_MAX) {
        jq_free(item);
        return;
    }
    *item = (struct jobq_item){ 0 };
    jq_dlist_append(&p->spares, &item->in_items);
    p->spares_count++;
}

/* For all that may come, so that what comes too late has a place, too. */
static enum jq_err reserve(struct jq_pending *p, size_t count)
{
    while (p->spares_count < count) {
        struct jobq_item *item = jq_alloc_zero(1, sizeof *item);
        if (!item)
            return JQ_ENOMEM;
        jq_dlist_append(&p->spares, &item->in_items);
        p->spares_count++;
    }
    return JQ_OK;
}

/* The one that was freed last. NULL: out of memory. */
static struct jobq_item *take_spare(struct jq_pending *p)
{
    struct jq_dlink *link = jq_dlist_last(&p->spares);

    if (!link)
        return jq_alloc_zero(1, sizeof(struct jobq_item));
    jq_dlist_remove(link);
    p->spares_count--;
    return element(link);
}

/* ---- getting ---- */

enum jq_err jq_pending_get(struct jq_pending *p, const struct jq_get *get, struct jq_ask **ret_ask)
{
    struct jq_msg msg = { .tag = JQ_MSG_GET, .u.get = *get };
    const size_t held = p->items_count + p->gets;
    size_t count = get->count ? get->count : 1;

    if (held >= JQ_HELD_MAX)
        return JQ_EBUSY;
    if (count > JQ_HELD_MAX - held)
        msg.u.get.count = count = JQ_HELD_MAX - held;
    JQ_TRY(reserve(p, p->gets + count));
    JQ_TRY(jq_pending_ask(p, JQ_ASK_ONE, &msg, ret_ask));
    (*ret_ask)->u.one.is_get = true;
    (*ret_ask)->u.one.wanted = (uint32_t)count;
    (*ret_ask)->u.one.is_timed = get->lease_ms != 0;
    jq_dlist_init(&(*ret_ask)->u.one.items);
    p->gets += count;
    return JQ_OK;
}

/* NULL: out of memory. It comes back to its queue when this session ends. */
static struct jobq_item *add(struct jq_pending *p, const struct jq_given *given)
{
    struct jobq_item *item = take_spare(p);

    if (!item)
        return NULL;
    item->settle.item = item;
    item->settle.id = given->id;
    item->settle.fence = given->fence;
    item->priority = (int32_t)given->priority;
    item->attempt = (uint32_t)given->attempt;
    jq_dlist_append(&p->items, &item->in_items);
    p->items_count++;
    return item;
}

/* One after the other; ITEM is a list of one. */
static bool next_given(const struct jq_msg *msg, struct jq_reader *r, bool *first,
                       struct jq_given *ret)
{
    const bool was_first = *first;

    *first = false;
    if (msg->tag == JQ_MSG_ITEMS) {
        if (was_first)
            *r = jq_records_reader(msg->u.items.items);
        return jq_given_next(r, ret);
    }
    *ret = (struct jq_given){
        .id = msg->u.item.id,
        .fence = msg->u.item.fence,
        .priority = msg->u.item.priority,
        .attempt = msg->u.item.attempt,
        .payload = msg->u.item.payload,
    };
    return was_first && msg->tag == JQ_MSG_ITEM;
}

static void come_no_more(struct jq_pending *p, struct jq_ask *get)
{
    p->gets -= get->u.one.wanted;
    get->u.one.wanted = 0;
}

void jq_item_come(struct jq_pending *p, struct jq_ask *get, const struct jq_msg *msg,
                  struct jq_frame *frame)
{
    struct jq_reader r = { 0 };
    struct jq_given given;
    struct jobq_item *item;

    if (!get->u.one.wanted)
        return;
    come_no_more(p, get);
    for (bool first = true; next_given(msg, &r, &first, &given);) {
        if (!(item = add(p, &given)))
            continue;
        item->is_timed = get->u.one.is_timed;
        item->payload = given.payload;
        item->frame = jq_frame_keep(frame);
        jq_dlist_append(&get->u.one.items, &item->in_get);
    }
}

struct jobq_item *jq_pending_take_item(struct jq_ask *get)
{
    struct jq_dlink *link = get->u.one.is_get ? jq_dlist_first(&get->u.one.items) : NULL;

    if (!link)
        return NULL;
    jq_dlist_remove(link);
    return JQ_ELEMENT(link, struct jobq_item, in_get);
}

void jq_item_unget(struct jq_pending *p, struct jq_ask *get)
{
    struct jobq_item *item;

    if (!get->u.one.is_get)
        return;
    come_no_more(p, get);
    while ((item = jq_pending_take_item(get)))
        jq_pending_free_item(p, item);
}

static bool is_held(const struct jq_pending *p, uint64_t id, uint64_t fence)
{
    struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&p->items, link))) {
        const struct jobq_item *item = element(link);
        if (item->settle.id == id && item->settle.fence == fence)
            return true;
    }
    return false;
}

void jq_item_late(struct jq_pending *p, const struct jq_msg *msg)
{
    struct jq_reader r = { 0 };
    struct jq_given given;

    for (bool first = true; next_given(msg, &r, &first, &given);) {
        if (given.fence == 0 || is_held(p, given.id, given.fence))
            continue; /* to a PEEK; or it came twice */
        struct jobq_item *item = add(p, &given);
        if (item)
            jq_pending_free_item(p, item);
    }
}

/* ---- the end of a lease ---- */

void jq_pending_drop_item(struct jq_pending *p, struct jobq_item *item)
{
    jq_pending_settle_abandon(&item->settle);
    p->items_count--;
    jq_dlist_remove(&item->in_leaving);
    jq_dlist_remove(&item->in_items);
    free_item(p, item);
}

void jq_pending_free_item(struct jq_pending *p, struct jobq_item *item)
{
    if (item->is_lost) {
        jq_pending_drop_item(p, item);
        return;
    }
    item->is_given = true;
    jq_frame_drop(&item->frame); /* nobody reads it any more */
    jq_pending_settle(p, &item->settle, JQ_SETTLE_NACK, 0);
}

void jq_pending_leave_item(struct jq_pending *p, struct jobq_item *item)
{
    item->leaving_number = ++p->leaving_number;
    jq_dlist_append(&p->leaving, &item->in_leaving);
    jq_frame_drop(&item->frame); /* nobody reads it any more */
    jq_pending_settle(p, &item->settle, JQ_SETTLE_DONE, 0);
}

bool jq_pending_have_left(const struct jq_pending *p, uint64_t number)
{
    const struct jq_dlink *link = jq_dlist_first(&p->leaving);

    return !link || JQ_ELEMENT(link, const struct jobq_item, in_leaving)->leaving_number > number;
}

void jq_item_fini(struct jq_pending *p)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(&p->items))) {
        struct jobq_item *item = element(link);
        jq_pending_settle_abandon(&item->settle);
        jq_dlist_remove(link);
        item->client = NULL;
        if (!item->is_given && !jq_dlink_used(&item->in_leaving))
            continue; /* its owner's to free */
        jq_frame_drop(&item->frame);
        jq_free(item);
    }
    while ((link = jq_dlist_first(&p->spares))) {
        jq_dlist_remove(link);
        jq_free(element(link));
    }
}

/* ---- reconnects ---- */

static bool is_of_session(const struct jobq_item *item)
{
    return !item->is_timed && !item->is_given && !item->is_lost;
}

enum jq_err jq_pending_held(const struct jq_pending *p, struct jq_buf *buf, struct jq_records *ret)
{
    struct jq_dlink *link = NULL;
    uint32_t count = 0;

    while (count < JQ_HELD_MAX && (link = jq_dlist_next(&p->items, link))) {
        const struct jobq_item *item = element(link);
        if (!is_of_session(item))
            continue;
        jq_held_write(buf, &(struct jq_held){ .id = item->settle.id, .fence = item->settle.fence });
        count++;
    }
    *ret = jq_records_of(count, buf);
    return jq_buf_ok(buf) ? JQ_OK : JQ_ENOMEM;
}

/* What was asked about it may have ended it: that answer tells more. */
static bool is_settling(const struct jobq_item *item)
{
    return item->settle.is_repeated || (item->settle.ask && item->settle.ask->was_sent);
}

void jq_pending_welcomed(struct jq_pending *p, const struct jq_welcome *welcome)
{
    struct jq_reader r = jq_records_reader(welcome->lost);
    struct jq_held held;

    while (jq_held_next(&r, &held)) {
        struct jq_dlink *link = NULL;
        while ((link = jq_dlist_next(&p->items, link))) {
            struct jobq_item *item = element(link);
            if (item->settle.id == held.id && item->settle.fence == held.fence &&
                is_of_session(item) && !is_settling(item))
                item->is_lost = true;
        }
    }
}
