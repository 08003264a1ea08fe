/* SPDX-License-Identifier: MIT
 *
 * wait.c - waiting for many futures: any of them, all of them. */
#include "client/client.h"
#include "client/futures.h"

struct many {
    struct jobq_future *const *futures;
    size_t count;
    size_t index; /* any: the one that has ended; all: those before it have ended */
};

static bool is_any_ended(void *arg)
{
    struct many *many = arg;

    for (size_t i = 0; i < many->count; i++) {
        if (many->futures[i]->is_ended) {
            many->index = i;
            return true;
        }
    }
    return false;
}

/* What has ended stays so: each future is looked at once. */
static bool are_all_ended(void *arg)
{
    struct many *many = arg;

    while (many->index < many->count && many->futures[many->index]->is_ended)
        many->index++;
    return many->index == many->count;
}

static int want_all(struct jobq_client *client, struct jobq_future *const *futures, size_t count)
{
    if (count && !futures)
        return jq_client_fail(client, JOBQ_EINVAL, "no futures");
    for (size_t i = 0; i < count; i++)
        if (!futures[i] || futures[i]->client != client)
            return jq_client_fail(client, JOBQ_EINVAL, "future %zu is not of this client", i);
    for (size_t i = 0; i < count; i++) {
        const int rc = jq_future_want(client, futures[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Lock held. */
static int wait_many(struct jobq_client *client, jq_ready_fn *ready, struct many *many,
                     int64_t timeout_ms)
{
    jq_ms until;

    if (!jq_client_until(timeout_ms, &until))
        return jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1");
    int rc = want_all(client, many->futures, many->count);
    if (rc == 0)
        rc = jq_client_await(client, ready, many, until);
    return rc == JOBQ_ETIMEDOUT ? jq_client_timed_out(client) : rc;
}

int jobq_wait_any(struct jobq_client *client, struct jobq_future *const *futures, size_t count,
                  int64_t timeout_ms, size_t *ret_index)
{
    struct many many = { .futures = futures, .count = count };
    int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    rc = count ? wait_many(client, is_any_ended, &many, timeout_ms)
               : jq_client_fail(client, JOBQ_EINVAL, "no futures to wait for");
    if (rc == 0 && ret_index)
        *ret_index = many.index;
    return jq_client_leave(client, rc);
}

int jobq_wait_all(struct jobq_client *client, struct jobq_future *const *futures, size_t count,
                  int64_t timeout_ms, size_t *ret_failed)
{
    struct many many = { .futures = futures, .count = count };
    size_t failed = 0;
    int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    rc = wait_many(client, are_all_ended, &many, timeout_ms);
    for (size_t i = 0; rc == 0 && i < count; i++)
        failed += !jq_future_succeeded(futures[i]);
    if (rc == 0 && ret_failed)
        *ret_failed = failed;
    return jq_client_leave(client, rc);
}
