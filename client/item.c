/* SPDX-License-Identifier: MIT
 *
 * item.c - items come out, and what becomes of them. */
#include "client/client.h"
#include "client/queue.h"
#include "proto/base/alloc.h"

/* ---- getting ---- */

static bool is_done(void *arg)
{
    const struct jq_ask *ask = arg;

    return ask->u.one.done;
}

struct barrier {
    const struct jq_ask *get, *ping;
};

static bool is_past(void *arg)
{
    const struct barrier *b = arg;

    return b->get->u.one.done || b->ping->u.one.done;
}

/* Out of time. The item may be on its way all the same, to a client that does not look for hours:
 * behind the UNWAIT goes a PING, and once that is answered no item can come any more. True: one has
 * come. */
static bool has_come_late(struct jobq_client *client, struct jq_ask *get)
{
    const struct jq_msg msg = { .tag = JQ_MSG_PING };
    struct barrier barrier = { .get = get };
    struct jq_ask *ping = NULL;
    jq_ms until = 0;

    if (!get->was_sent || !client->link.is_welcome)
        return false;
    jq_pending_notice(&client->pending, JQ_MSG_UNWAIT, get->correlation);
    if (jq_pending_ask(&client->pending, JQ_ASK_ONE, &msg, &ping) != JQ_OK)
        return false;
    barrier.ping = ping;
    (void)jq_client_until(2 * client->link.heartbeat_ms, &until);
    const int rc = jq_client_await(client, is_past, &barrier, until);
    jq_pending_end(&client->pending, ping);
    return rc == 0 && get->u.one.done;
}

static int await_item(struct jobq_client *client, struct jq_ask *ask, int64_t timeout_ms,
                      jq_ms until)
{
    int rc = timeout_ms == 0 ? jq_client_await_patiently(client, is_done, ask)
                             : jq_client_await(client, is_done, ask, until);

    if (rc == JOBQ_ETIMEDOUT)
        rc = has_come_late(client, ask) ? 0 : jq_client_late(client);
    if (rc == JOBQ_ETIMEDOUT)
        return jq_client_fail(client, JOBQ_EEMPTY, "nothing has come in time");
    return rc;
}

/* What the broker answered. */
static int take_items(struct jobq_client *client, struct jq_ask *ask, size_t max,
                      struct jobq_item **ret_items, size_t *ret_count)
{
    size_t count = 0;

    if (ask->u.one.err != JQ_OK)
        return jq_client_fail_view(client, ask->u.one.err, ask->u.one.msg.u.error.text);
    for (struct jobq_item *item; count < max && (item = jq_pending_take_item(ask)); count++) {
        item->client = client;
        ret_items[count] = item;
    }
    if (count == 0)
        return jq_client_fail_view(client, JOBQ_EPROTO, jq_view(NULL, 0));
    *ret_count = count;
    return 0;
}

static bool may_get(void *arg)
{
    const struct jq_pending *p = arg;

    return p->items_count + p->gets < JQ_HELD_MAX || jq_dlist_empty(&p->leaving);
}

/* Those that leave make room. */
static int ask_for(struct jobq_client *client, const struct jq_get *get, struct jq_ask **ret_ask)
{
    struct jq_pending *p = &client->pending;
    enum jq_err err = jq_pending_get(p, get, ret_ask);

    if (err == JQ_EBUSY && !jq_dlist_empty(&p->leaving)) {
        const int rc = jq_client_await_patiently(client, may_get, p);
        if (rc != 0)
            return rc;
        err = jq_pending_get(p, get, ret_ask);
    }
    if (err == JQ_EBUSY)
        return jq_client_fail(client, JOBQ_EBUSY, "this client holds %d items: settle some first",
                              JQ_HELD_MAX);
    return err == JQ_OK ? 0 : jq_client_fail_view(client, err, jq_view(NULL, 0));
}

/* Up to `max` in one answer; of a `count` of 0 it is one item, for brokers of any age. */
static int get(struct jobq_queue *queue, uint64_t count, int64_t timeout_ms,
               struct jobq_item **ret_items, size_t *ret_count)
{
    struct jobq_client *client = queue->client;
    const struct jq_get msg = { .queue = jq_queue_name(queue),
                                .wait = timeout_ms != 0,
                                .lease_ms = queue->lease_ms,
                                .count = count };
    struct jq_ask *ask = NULL;
    jq_ms until;

    if (!ret_items || !ret_count || !jq_client_until(timeout_ms, &until))
        return jq_client_fail(client, JOBQ_EINVAL, "no place for an item, or a timeout below -1");
    int rc = ask_for(client, &msg, &ask);
    if (rc != 0)
        return rc;
    rc = await_item(client, ask, timeout_ms, until);
    if (rc == 0)
        rc = take_items(client, ask, count ? count : 1, ret_items, ret_count);
    jq_pending_end(&client->pending, ask);
    if (rc != 0)
        jq_client_progress(client); /* a withdrawal must not wait for the next call */
    return rc;
}

int jobq_get(struct jobq_queue *queue, int64_t timeout_ms, struct jobq_item **ret_item)
{
    const int rc = jq_queue_enter(queue);
    size_t count;

    return rc ? rc : jq_client_leave(queue->client, get(queue, 0, timeout_ms, ret_item, &count));
}

int jobq_get_many(struct jobq_queue *queue, size_t max, int64_t timeout_ms,
                  struct jobq_item **ret_items, size_t *ret_count)
{
    int rc = jq_queue_enter(queue);

    if (rc != 0)
        return rc;
    rc = max == 0 ? jq_client_fail(queue->client, JOBQ_EINVAL, "no item at all is asked for")
                  : get(queue, max < JQ_JOBS_PER_FRAME ? max : JQ_JOBS_PER_FRAME, timeout_ms,
                        ret_items, ret_count);
    return jq_client_leave(queue->client, rc);
}

/* ---- what an item is ---- */

const void *jobq_item_data(const struct jobq_item *item, size_t *ret_size)
{
    if (ret_size)
        *ret_size = item ? item->payload.size : 0;
    if (!item)
        return NULL;
    return item->payload.data ? item->payload.data : "";
}

uint64_t jobq_item_id(const struct jobq_item *item)
{
    return item ? item->settle.id : 0;
}

uint64_t jobq_item_fence(const struct jobq_item *item)
{
    return item ? item->settle.fence : 0;
}

int32_t jobq_item_priority(const struct jobq_item *item)
{
    return item ? item->priority : 0;
}

uint32_t jobq_item_attempt(const struct jobq_item *item)
{
    return item ? item->attempt : 0;
}

/* ---- settling ---- */

static bool is_settled(void *arg)
{
    const struct jq_settlement *settle = arg;

    return settle->is_done;
}

/* Lock held. */
static int settle(struct jobq_client *client, struct jq_settlement *settle,
                  enum jq_settle_action action, int64_t ms)
{
    if (ms < 0)
        return jq_client_fail(client, JOBQ_EINVAL, "%lld ms: less than none", (long long)ms);
    if (action == JQ_SETTLE_EXTEND && ms == 0)
        return jq_client_fail(client, JOBQ_EINVAL, "a lease of no time");
    if (settle->item && settle->item->is_lost)
        return jq_client_fail_view(client, JOBQ_EFENCED, jq_view(NULL, 0));
    jq_pending_settle(&client->pending, settle, action, (uint64_t)ms);
    const int rc = jq_client_await_patiently(client, is_settled, settle);
    if (rc != 0) {
        jq_pending_settle_abandon(settle);
        return rc;
    }
    return settle->err ? jq_client_fail_view(client, settle->err, jq_view(NULL, 0)) : 0;
}

/* It is nobody's any more, or somebody else's. */
static bool is_over(int rc)
{
    return rc == 0 || rc == JOBQ_EALREADY || rc == JOBQ_EFENCED;
}

static int settle_item(struct jobq_item **item, enum jq_settle_action action, int64_t ms)
{
    struct jobq_item *i = item ? *item : NULL;

    if (!i)
        return JOBQ_EINVAL;
    struct jobq_client *client = i->client;
    int rc = jq_client_enter(client);
    if (rc != 0)
        return rc;
    rc = settle(client, &i->settle, action, ms);
    if (is_over(rc)) {
        jq_pending_drop_item(&client->pending, i);
        *item = NULL;
    }
    return jq_client_leave(client, rc);
}

int jobq_task_done(struct jobq_item **item)
{
    return settle_item(item, JQ_SETTLE_DONE, 0);
}

int jobq_nack(struct jobq_item **item, int64_t delay_ms)
{
    return settle_item(item, JQ_SETTLE_NACK, delay_ms);
}

int jobq_extend(struct jobq_item *item, int64_t lease_ms)
{
    if (!item)
        return JOBQ_EINVAL;
    const int rc = jq_client_enter(item->client);
    return rc ? rc
              : jq_client_leave(item->client,
                                settle(item->client, &item->settle, JQ_SETTLE_EXTEND, lease_ms));
}

void jobq_item_free(struct jobq_item **item)
{
    struct jobq_item *i = item ? *item : NULL;

    if (!i)
        return;
    *item = NULL;
    struct jobq_client *client = i->client;
    if (!client) { /* it was closed, and has given all back */
        jq_frame_drop(&i->frame);
        jq_free(i);
        return;
    }
    if (jq_client_enter(client) != 0) /* the parent's, after a fork: its memory stays as it is */
        return;
    jq_pending_free_item(&client->pending, i);
    jq_client_progress(client);
    jq_client_leave(client, 0);
}

/* ---- by receipt ---- */

static int settle_receipt(struct jobq_client *client, uint64_t id, uint64_t fence,
                          enum jq_settle_action action, int64_t ms)
{
    struct jq_settlement receipt = { .id = id, .fence = fence };
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, settle(client, &receipt, action, ms));
}

int jobq_settle_done(struct jobq_client *client, uint64_t id, uint64_t fence)
{
    return settle_receipt(client, id, fence, JQ_SETTLE_DONE, 0);
}

int jobq_settle_nack(struct jobq_client *client, uint64_t id, uint64_t fence, int64_t delay_ms)
{
    return settle_receipt(client, id, fence, JQ_SETTLE_NACK, delay_ms);
}

int jobq_settle_extend(struct jobq_client *client, uint64_t id, uint64_t fence, int64_t lease_ms)
{
    return settle_receipt(client, id, fence, JQ_SETTLE_EXTEND, lease_ms);
}
