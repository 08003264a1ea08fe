/* SPDX-License-Identifier: MIT
 *
 * pending_item.c - items that were leased to this client, and GETs that bring more. An item counts
 * as held from the moment at which it arrives: a HELLO that did not list it would give it back.
 *
 * A GET that is withdrawn may have been answered already: such an item goes back to its queue. */
#include "client/pending.h"
#include "proto/base/alloc.h"

static struct jobq_item *element(struct jq_dlink *link)
{
    return JQ_ELEMENT(link, struct jobq_item, in_items);
}

static void free_item(struct jobq_item *item)
{
    jq_frame_drop(&item->frame);
    jq_free(item);
}

/* ---- getting ---- */

/* So that what comes too late has a place. */
static enum jq_err spare(struct jq_pending *p)
{
    if (!p->spare)
        p->spare = jq_alloc_zero(1, sizeof *p->spare);
    return p->spare ? JQ_OK : JQ_ENOMEM;
}

enum jq_err jq_pending_get(struct jq_pending *p, const struct jq_get *get, struct jq_ask **ret_ask)
{
    const struct jq_msg msg = { .tag = JQ_MSG_GET, .u.get = *get };

    if (p->items_count + p->gets >= JQ_HELD_MAX)
        return JQ_EBUSY;
    JQ_TRY(spare(p));
    struct jobq_item *item = jq_alloc_zero(1, sizeof *item);
    if (!item)
        return JQ_ENOMEM;
    const enum jq_err err = jq_pending_ask(p, JQ_ASK_ONE, &msg, ret_ask);
    if (err != JQ_OK) {
        jq_free(item);
        return err;
    }
    item->is_timed = get->lease_ms != 0;
    (*ret_ask)->u.one.item = item;
    p->gets++;
    return JQ_OK;
}

static void fill(struct jq_pending *p, struct jobq_item *item, const struct jq_msg *msg)
{
    item->settle.item = item;
    item->settle.id = msg->u.item.id;
    item->settle.fence = msg->u.item.fence;
    item->priority = (int32_t)msg->u.item.priority;
    item->attempt = (uint32_t)msg->u.item.attempt;
    jq_dlist_append(&p->items, &item->in_items);
    p->items_count++;
}

void jq_item_come(struct jq_pending *p, struct jq_ask *get, const struct jq_msg *msg,
                  struct jq_frame *frame)
{
    struct jobq_item *item = get->u.one.item;

    fill(p, item, msg);
    item->payload = msg->u.item.payload;
    item->frame = jq_frame_keep(frame);
}

struct jobq_item *jq_pending_take_item(struct jq_pending *p, struct jq_ask *get)
{
    struct jobq_item *item = get->u.one.item;

    if (!item || !jq_dlink_used(&item->in_items))
        return NULL;
    get->u.one.item = NULL;
    p->gets--;
    return item;
}

void jq_item_unget(struct jq_pending *p, struct jq_ask *get)
{
    struct jobq_item *item = get->u.one.item;

    if (!item)
        return;
    get->u.one.item = NULL;
    p->gets--;
    if (jq_dlink_used(&item->in_items))
        jq_pending_free_item(p, item);
    else
        jq_free(item);
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
    if (msg->u.item.fence == 0 || is_held(p, msg->u.item.id, msg->u.item.fence))
        return; /* to a PEEK; or it came twice */
    struct jobq_item *item = p->spare;
    p->spare = NULL;
    if (spare(p) != JQ_OK && !item) /* it comes back when this session ends */
        return;
    if (!item) {
        item = p->spare;
        p->spare = NULL;
    }
    fill(p, item, msg);
    jq_pending_free_item(p, item);
}

/* ---- the end of a lease ---- */

void jq_pending_drop_item(struct jq_pending *p, struct jobq_item *item)
{
    jq_pending_settle_abandon(&item->settle);
    p->items_count--;
    jq_dlist_remove(&item->in_items);
    free_item(item);
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

void jq_item_fini(struct jq_pending *p)
{
    struct jq_dlink *link;

    while ((link = jq_dlist_first(&p->items))) {
        struct jobq_item *item = element(link);
        jq_pending_settle_abandon(&item->settle);
        jq_dlist_remove(link);
        item->client = NULL;
        if (item->is_given)
            free_item(item); /* others are their owners' to free */
    }
    jq_free(p->spare);
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
