/* SPDX-License-Identifier: MIT
 *
 * put.c - items go in. Puts of several threads share frames; each returns when its own item is
 * durable, and a full queue makes each wait for itself. */
#include "client/client.h"
#include "client/queue.h"
#include "proto/base/alloc.h"

static bool is_answered(void *arg)
{
    const struct jobq_future *future = arg;

    return future->id != 0 || future->is_ended;
}

static int check(struct jobq_client *client, const void *data, size_t size, int64_t timeout_ms)
{
    if (timeout_ms < -1)
        return jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1");
    if (size > JQ_PAYLOAD_MAX)
        return jq_client_fail(client, JOBQ_EMSGSIZE, "an item of %zu bytes: %d are the most", size,
                              JQ_PAYLOAD_MAX);
    if (!data && size)
        return jq_client_fail(client, JOBQ_EINVAL, "an item of %zu bytes at NULL", size);
    return 0;
}

/* Nobody is to be heard: what is known of the item. Frees the future. */
static int give_up(struct jobq_client *client, struct jobq_future *future)
{
    if (jq_pending_put_withdraw(&client->pending, future))
        return jq_client_fail(client, JOBQ_EUNREACH, "%s: no broker has answered; nothing was sent",
                              client->url);
    return jq_client_fail(client, JOBQ_EUNREACH,
                          "%s: no broker has answered; whether the item is in the queue is not "
                          "known",
                          client->url);
}

/* Its time is over. What waits for room has lost; what is on its way has its answer soon. */
static int await_late(struct jobq_client *client, struct jobq_future *future)
{
    if (jq_pending_put_late(&client->pending, future))
        return 0;
    if (!client->link.is_welcome)
        return JOBQ_EUNREACH;
    return jq_client_await_patiently(client, is_answered, future);
}

static int await(struct jobq_client *client, struct jobq_future *future, int64_t timeout_ms,
                 jq_ms until)
{
    if (timeout_ms == 0)
        return jq_client_await_patiently(client, is_answered, future);
    const int rc = jq_client_await(client, is_answered, future, until);
    return rc == JOBQ_ETIMEDOUT ? await_late(client, future) : rc;
}

/* The future is freed in any case. */
static int finish(struct jobq_client *client, struct jobq_future *future, int rc)
{
    if (rc != 0 && !is_answered(future)) {
        /* Another error than silence has its text. */
        const int unreachable = rc == JOBQ_EUNREACH ? give_up(client, future) : rc;
        if (rc != JOBQ_EUNREACH)
            (void)jq_pending_put_withdraw(&client->pending, future);
        return unreachable;
    }
    const int error = future->is_ended ? future->error : 0;
    if (error)
        jq_client_fail_view(client, error, future->record);
    jq_pending_free_future(&client->pending, future);
    return error;
}

static struct jq_start start_of(const struct jobq_queue *queue, const void *data, size_t size,
                                int32_t priority)
{
    return (struct jq_start){
        .queue = jq_queue_name(queue),
        .spec = { .handler = jq_view_str(JQ_HANDLER_ITEM),
                  .payload = jq_view(data, size),
                  .priority = priority,
                  .title = jq_view_str(""),
                  .flags = JQ_JOB_DISCARD,
                  .key = jq_view_str("") },
        .is_direct = true,
    };
}

static int put(struct jobq_queue *queue, const void *data, size_t size, int32_t priority,
               int64_t timeout_ms)
{
    struct jobq_client *client = queue->client;
    struct jq_start start = start_of(queue, data, size, priority);
    jq_ms until = 0;

    start.is_put = true;
    int rc = check(client, data, size, timeout_ms);
    if (rc != 0)
        return rc;
    (void)jq_client_until(timeout_ms, &until);
    start.put_until = timeout_ms ? until : 0;
    struct jobq_future *future = jq_pending_new_future(&client->pending);
    if (!future || jq_pending_start(&client->pending, &start, future) != JQ_OK) {
        if (future)
            jq_pending_free_future(&client->pending, future);
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    }
    future->client = client;
    rc = finish(client, future, await(client, future, timeout_ms, until));
    if (rc != 0)
        jq_client_progress(client); /* a withdrawal must not wait for the next call */
    return rc;
}

int jobq_put(struct jobq_queue *queue, const void *data, size_t size, int32_t priority,
             int64_t timeout_ms)
{
    const int rc = jq_queue_enter(queue);

    return rc ? rc : jq_client_leave(queue->client, put(queue, data, size, priority, timeout_ms));
}

/* ---- many ---- */

/* Groups are jobs that a full queue keeps waiting: all of one call have the same time. */
struct putting {
    struct jobq_client *client;
    struct jobq_future **futures;
    size_t count, next; /* those before it are answered */
};

static bool are_answered(void *arg)
{
    struct putting *p = arg;

    while (p->next < p->count && is_answered(p->futures[p->next]))
        p->next++;
    return p->next == p->count;
}

/* What became of one, whose future is freed. One that is not answered stays on its way, and its
 * error is the next flush's to tell. */
static int result_of(struct jobq_client *client, struct jobq_future *future, int silence,
                     bool is_first)
{
    int error = future->is_ended ? future->error : 0;

    if (!is_answered(future)) {
        if (future->ask)
            future->ask->u.submit.started++;
        error = silence;
    } else if (error && is_first) {
        jq_client_fail_view(client, error, future->record);
    }
    jq_pending_free_future(&client->pending, future);
    return error;
}

/* As many as can be: those have a future. */
static int start_all(struct jobq_queue *queue, const struct jobq_put_item *items, size_t count,
                     int64_t timeout_ms, struct putting *ret)
{
    jq_ms until = 0;

    (void)jq_client_until(timeout_ms, &until);
    for (; ret->count < count; ret->count++) {
        const struct jobq_put_item *item = &items[ret->count];
        struct jq_start start = start_of(queue, item->data, item->size, item->priority);
        start.put_timeout_ms = timeout_ms;
        start.put_until = timeout_ms ? until : 0;
        struct jobq_future *future = jq_client_new_future(ret->client);
        if (!future)
            return JOBQ_ENOMEM;
        const int rc = jq_client_start(ret->client, &start, future);
        if (rc != 0) {
            jq_pending_free_future(&ret->client->pending, future);
            return rc;
        }
        ret->futures[ret->count] = future;
    }
    return 0;
}

static int await_all(struct putting *p, int64_t timeout_ms)
{
    jq_ms until;

    if (timeout_ms == 0)
        return jq_client_await_patiently(p->client, are_answered, p);
    (void)jq_client_until(timeout_ms, &until);
    const int rc = jq_client_await(p->client, are_answered, p, until);
    return rc == JOBQ_ETIMEDOUT ? jq_client_await_patiently(p->client, are_answered, p) : rc;
}

static int put_all(struct jobq_queue *queue, const struct jobq_put_item *items, size_t count,
                   int64_t timeout_ms, int *ret_errors)
{
    struct putting p = { .client = queue->client };

    p.futures = jq_alloc_zero(count, sizeof(struct jobq_future *));
    if (!p.futures)
        return jq_client_fail_view(p.client, JOBQ_ENOMEM, jq_view(NULL, 0));
    const int started = start_all(queue, items, count, timeout_ms, &p);
    const int silence = await_all(&p, timeout_ms);
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        const int error =
            i < p.count ? result_of(p.client, p.futures[i], silence, first == 0) : started;
        first = first ? first : error;
        if (ret_errors)
            ret_errors[i] = error;
    }
    jq_free(p.futures);
    return first;
}

static int put_many(struct jobq_queue *queue, const struct jobq_put_item *items, size_t count,
                    int64_t timeout_ms, int *ret_errors)
{
    int rc = count && !items ? jq_client_fail(queue->client, JOBQ_EINVAL, "no items") : 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = check(queue->client, items[i].data, items[i].size, timeout_ms);
    return rc || count == 0 ? rc : put_all(queue, items, count, timeout_ms, ret_errors);
}

int jobq_put_many(struct jobq_queue *queue, const struct jobq_put_item *items, size_t count,
                  int64_t timeout_ms, int *ret_errors)
{
    const int rc = jq_queue_enter(queue);

    return rc ? rc
              : jq_client_leave(queue->client,
                                put_many(queue, items, count, timeout_ms, ret_errors));
}
