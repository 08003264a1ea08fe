/* SPDX-License-Identifier: MIT
 *
 * queue.h - a queue's handle, for those that put, get and ask. */
#ifndef JQ_CLIENT_QUEUE_H
#define JQ_CLIENT_QUEUE_H

#include "client/client.h"
#include "proto/limits.h"

struct jobq_queue {
    struct jobq_client *client;
    uint64_t lease_ms;
    size_t name_size;
    char name[JQ_NAME_MAX];
};

static inline struct jq_view jq_queue_name(const struct jobq_queue *queue)
{
    return jq_view(queue->name, queue->name_size);
}

/* 0 and the lock of its client is held, or EINVAL, EFORKED. */
static inline int jq_queue_enter(struct jobq_queue *queue)
{
    return queue ? jq_client_enter(queue->client) : JOBQ_EINVAL;
}

#endif
