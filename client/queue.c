/* SPDX-License-Identifier: MIT
 *
 * queue.c - handles of queues; what is asked and told about a queue as a whole. */
#include "client/queue.h"

#include <stddef.h>
#include <string.h>

#include "client/names.h"
#include "client/request.h"
#include "proto/base/alloc.h"

/* ---- handles ---- */

static bool copy_options(const struct jobq_queue_options *from, struct jobq_queue_options *ret)
{
    *ret = (struct jobq_queue_options)JOBQ_QUEUE_OPTIONS_INIT;
    if (!from)
        return true;
    if (from->size < sizeof from->size)
        return false;
    memcpy(ret, from, from->size < sizeof *ret ? from->size : sizeof *ret);
    return true;
}

static int check_name(struct jobq_client *client, const char *name)
{
    if (name && jq_is_name(jq_view_str(name)))
        return 0;
    return jq_client_fail(client, JOBQ_EINVAL,
                          "queue \"%.200s\": a name is 1 to 128 of A-Z a-z 0-9 . _ -",
                          name ? name : "");
}

static int open_queue(struct jobq_client *client, const char *name,
                      const struct jobq_queue_options *options, struct jobq_queue **ret_queue)
{
    struct jobq_queue_options copy;

    const int rc = check_name(client, name);
    if (rc != 0)
        return rc;
    if (!ret_queue || !copy_options(options, &copy))
        return jq_client_fail(client, JOBQ_EINVAL, "no place for a queue, or options without size");
    if (copy.lease_ms < 0)
        return jq_client_fail(client, JOBQ_EINVAL, "a lease of %lld ms", (long long)copy.lease_ms);
    struct jobq_queue *queue = jq_alloc_zero(1, sizeof *queue);
    if (!queue)
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    queue->client = client;
    queue->lease_ms = (uint64_t)copy.lease_ms;
    queue->name_size = strlen(name);
    memcpy(queue->name, name, queue->name_size);
    *ret_queue = queue;
    return 0;
}

int jobq_queue_open(struct jobq_client *client, const char *name,
                    const struct jobq_queue_options *options, struct jobq_queue **ret_queue)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, open_queue(client, name, options, ret_queue));
}

void jobq_queue_free(struct jobq_queue **queue)
{
    if (!queue)
        return;
    jq_free(*queue); /* nobody else knows of it */
    *queue = NULL;
}

/* ---- asking ---- */

/* QUEUE_SAID or an error. The answer is the caller's in either case. */
static int ask(struct jobq_client *client, const struct jq_msg *msg, struct jq_answer *answer,
               struct jq_queue_info *ret_info)
{
    const int rc = jq_client_request(client, msg, answer);

    if (rc != 0)
        return rc;
    struct jq_reader r = jq_records_reader(answer->msg.u.queue_said.info);
    if (answer->msg.tag != JQ_MSG_QUEUE_SAID || !jq_queue_info_next(&r, ret_info))
        return jq_client_fail_view(client, JOBQ_EPROTO, jq_view(NULL, 0));
    return 0;
}

static int declare(struct jobq_client *client, const char *name, const char *order,
                   uint64_t maxsize)
{
    struct jq_answer answer = { 0 };
    struct jq_queue_info info;
    struct jq_buf buf = { 0 };

    int rc = check_name(client, name);
    if (rc != 0)
        return rc;
    if (!order || (strcmp(order, "fifo") && strcmp(order, "lifo") && strcmp(order, "priority")))
        return jq_client_fail(client, JOBQ_EINVAL, "order \"%.200s\": fifo, lifo or priority",
                              order ? order : "");
    const struct jq_queue_conf conf = { .order = jq_view_str(order), .maxsize = maxsize };
    jq_queue_conf_write(&buf, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = jq_view_str(name),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = JQ_QUEUE_ORDER | JQ_QUEUE_MAXSIZE,
                         .conf = jq_records_of(1, &buf) },
    };
    rc = jq_buf_ok(&buf) ? ask(client, &msg, &answer, &info)
                         : jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    jq_buf_fini(&buf);
    jq_answer_fini(&answer);
    return rc;
}

int jobq_queue_declare(struct jobq_client *client, const char *name, const char *order,
                       uint64_t maxsize)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, declare(client, name, order, maxsize));
}

/* ---- one instant ---- */

static int ask_info(struct jobq_queue *queue, struct jq_answer *answer,
                    struct jq_queue_info *ret_info)
{
    const struct jq_msg msg = { .tag = JQ_MSG_QUEUE_ASK, .u.queue_ask.name = jq_queue_name(queue) };

    return ask(queue->client, &msg, answer, ret_info);
}

static void fill_info(const struct jq_queue_info *from, struct jobq_queue_info *to)
{
    *to = (struct jobq_queue_info){
        .maxsize = from->maxsize,
        .ready = from->ready,
        .delayed = from->delayed,
        .blocked = from->blocked,
        .running = from->running,
        .unfinished = from->unfinished,
        .succeeded = from->succeeded,
        .failed = from->failed,
        .cancelled = from->cancelled,
        .expired = from->expired,
        .skipped = from->skipped,
        .sequence = from->sequence,
        .paused = (int)from->paused,
        .closed = (int)from->closed,
        .getters = from->getters,
        .putters = from->putters,
    };
    if (from->order.size && from->order.size < sizeof to->order)
        memcpy(to->order, from->order.data, from->order.size);
}

/* An older caller's struct takes what it has a place for. */
static int info(struct jobq_queue *queue, struct jobq_queue_info *ret_info)
{
    struct jq_answer answer = { 0 };
    struct jobq_queue_info full;
    struct jq_queue_info from;

    if (!ret_info || ret_info->size < sizeof ret_info->size)
        return jq_client_fail(queue->client, JOBQ_EINVAL, "no info, or one whose size is not set");
    const int rc = ask_info(queue, &answer, &from);
    if (rc == 0) {
        fill_info(&from, &full);
        full.size = ret_info->size;
        memcpy(ret_info, &full, full.size < sizeof full ? full.size : sizeof full);
    }
    jq_answer_fini(&answer);
    return rc;
}

int jobq_queue_info(struct jobq_queue *queue, struct jobq_queue_info *ret_info)
{
    const int rc = jq_queue_enter(queue);

    return rc ? rc : jq_client_leave(queue->client, info(queue, ret_info));
}

/* What a queue that does not exist yet counts: nothing of nothing. */
static int counts(struct jobq_queue *queue, struct jobq_queue_info *ret_info)
{
    int rc = jq_queue_enter(queue);

    if (rc != 0)
        return rc;
    *ret_info = (struct jobq_queue_info){ .size = sizeof *ret_info };
    rc = info(queue, ret_info);
    return jq_client_leave(queue->client, rc == JOBQ_ENOENT ? 0 : rc);
}

int64_t jobq_qsize(struct jobq_queue *queue)
{
    struct jobq_queue_info info;
    const int rc = counts(queue, &info);

    return rc ? rc : (int64_t)info.ready;
}

int jobq_empty(struct jobq_queue *queue)
{
    struct jobq_queue_info info;
    const int rc = counts(queue, &info);

    return rc ? rc : info.ready == 0;
}

int jobq_full(struct jobq_queue *queue)
{
    struct jobq_queue_info info;
    const int rc = counts(queue, &info);

    return rc ? rc : info.maxsize > 0 && info.blocked + info.delayed + info.ready >= info.maxsize;
}

/* ---- doing ---- */

static int act(struct jobq_queue *queue, enum jq_queue_action action, uint64_t *ret_count)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_DO,
        .u.queue_do = { .name = jq_queue_name(queue), .action = action },
    };
    struct jq_answer answer = { 0 };

    int rc = jq_client_request(queue->client, &msg, &answer);
    if (rc == 0 && answer.msg.tag != JQ_MSG_QUEUE_SAID)
        rc = jq_client_fail_view(queue->client, JOBQ_EPROTO, jq_view(NULL, 0));
    if (rc == JOBQ_ENOENT && action == JQ_QUEUE_REMOVE && answer.is_repeated)
        rc = 0; /* its first copy has done it */
    else if (rc == 0 && ret_count)
        *ret_count = answer.msg.u.queue_said.count;
    jq_answer_fini(&answer);
    return rc;
}

static int enter_and_act(struct jobq_queue *queue, enum jq_queue_action action, uint64_t *ret_count)
{
    const int rc = jq_queue_enter(queue);

    return rc ? rc : jq_client_leave(queue->client, act(queue, action, ret_count));
}

int jobq_queue_close(struct jobq_queue *queue, int flags)
{
    int rc = jq_queue_enter(queue);

    if (rc != 0)
        return rc;
    rc = flags & ~JOBQ_CLOSE_NOW
             ? jq_client_fail(queue->client, JOBQ_EINVAL, "unknown flags: 0x%x", (unsigned)flags)
             : act(queue, flags ? JQ_QUEUE_CLOSE_NOW : JQ_QUEUE_CLOSE, NULL);
    return jq_client_leave(queue->client, rc);
}

int jobq_queue_purge(struct jobq_queue *queue, uint64_t *ret_count)
{
    return enter_and_act(queue, JQ_QUEUE_PURGE, ret_count);
}

int jobq_queue_pause(struct jobq_queue *queue)
{
    return enter_and_act(queue, JQ_QUEUE_PAUSE, NULL);
}

int jobq_queue_resume(struct jobq_queue *queue)
{
    return enter_and_act(queue, JQ_QUEUE_RESUME, NULL);
}

int jobq_queue_remove(struct jobq_queue *queue)
{
    return enter_and_act(queue, JQ_QUEUE_REMOVE, NULL);
}

/* ---- join ---- */

/* The last end may still be on its way to the disk. */
enum { JOIN_NOW_MS = 10000 };

/* No time is not enough for any answer: the counters say at once whether there is a reason to ask.
 */
static int join_now(struct jobq_queue *queue)
{
    struct jobq_queue_info info = { .size = sizeof info };
    const int rc = jobq_queue_info(queue, &info);

    if (rc != 0)
        return rc;
    return info.unfinished ? JOBQ_ETIMEDOUT : jobq_join(queue, JOIN_NOW_MS);
}

int jobq_join(struct jobq_queue *queue, int64_t timeout_ms)
{
    const struct jq_msg msg = { .tag = JQ_MSG_JOIN,
                                .u.join.queue = queue ? jq_queue_name(queue) : jq_view(NULL, 0) };
    struct jq_answer answer = { 0 };

    if (!queue)
        return JOBQ_EINVAL;
    if (timeout_ms == 0)
        return join_now(queue);
    const int rc = jq_request(queue->client, &msg, timeout_ms, &answer);
    jq_answer_fini(&answer);
    return rc;
}
