/* SPDX-License-Identifier: MIT
 *
 * done.c - many items at once are dealt with: what is told together shares frames, and one wait, or
 * none. */
#include "client/client.h"
#include "client/queue.h"

/* ---- done ---- */

/* 0 and the lock of their client is held. NULLs are passed over; without any *ret_client is NULL,
 * and nothing is held. */
static int enter(struct jobq_item *const *items, size_t count, struct jobq_client **ret_client)
{
    struct jobq_client *client = NULL;

    *ret_client = NULL;
    if (count && !items)
        return JOBQ_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!items[i])
            continue;
        if (!items[i]->client || (client && items[i]->client != client))
            return JOBQ_EINVAL;
        client = items[i]->client;
    }
    const int rc = client ? jq_client_enter(client) : 0;
    if (rc == 0)
        *ret_client = client;
    return rc;
}

struct settling {
    struct jobq_item *const *items;
    size_t count, next; /* those before it are done */
};

static bool are_settled(void *arg)
{
    struct settling *s = arg;

    while (s->next < s->count && (!s->items[s->next] || s->items[s->next]->settle.is_done))
        s->next++;
    return s->next == s->count;
}

/* What became of one; it is freed unless it is still ours. */
static int take(struct jobq_client *client, struct jobq_item **item)
{
    struct jobq_item *i = *item;
    const int err = i->settle.err;

    if (err == 0 || err == JOBQ_EALREADY || err == JOBQ_EFENCED) {
        jq_pending_drop_item(&client->pending, i);
        *item = NULL;
    }
    return err;
}

static int settle_all(struct jobq_client *client, struct jobq_item **items, size_t count)
{
    struct settling s = { .items = items, .count = count };
    int first = 0;

    for (size_t i = 0; i < count; i++)
        if (items[i])
            jq_pending_settle(&client->pending, &items[i]->settle, JQ_SETTLE_DONE, 0);
    const int rc = jq_client_await_patiently(client, are_settled, &s);
    for (size_t i = 0; i < count; i++) {
        if (!items[i])
            continue;
        if (!items[i]->settle.is_done) {
            jq_pending_settle_abandon(&items[i]->settle);
            continue;
        }
        const int err = take(client, &items[i]);
        first = first ? first : err;
    }
    if (rc != 0)
        return rc;
    return first ? jq_client_fail_view(client, first, jq_view(NULL, 0)) : 0;
}

int jobq_task_done_many(struct jobq_item **items, size_t count)
{
    struct jobq_client *client;
    const int rc = enter(items, count, &client);

    return client ? jq_client_leave(client, settle_all(client, items, count)) : rc;
}

static int start_all(struct jobq_client *client, struct jobq_item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i])
            jq_pending_leave_item(&client->pending, items[i]);
        items[i] = NULL;
    }
    jq_client_notify(client);
    return 0;
}

int jobq_task_done_start(struct jobq_item **items, size_t count)
{
    struct jobq_client *client;
    const int rc = enter(items, count, &client);

    return client ? jq_client_leave(client, start_all(client, items, count)) : rc;
}
