/* SPDX-License-Identifier: MIT
 *
 * future.c - one job from its submitter's side: its id, its end, its result. */
#include <string.h>

#include "client/client.h"
#include "client/futures.h"
#include "client/request.h"
#include "proto/base/alloc.h"

/* ---- life ---- */

int jobq_future_attach(struct jobq_client *client, uint64_t id, struct jobq_future **ret_future)
{
    int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!ret_future)
        return jq_client_leave(client, JOBQ_EINVAL);
    if (id == 0)
        return jq_client_leave(client, jq_client_fail(client, JOBQ_EINVAL, "0 is no job's id"));
    struct jobq_future *future = jq_pending_new_future(&client->pending);
    if (!future)
        return jq_client_leave(client, jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0)));
    future->client = client;
    future->id = id;
    *ret_future = future;
    return jq_client_leave(client, 0);
}

void jobq_future_free(struct jobq_future **future)
{
    struct jobq_future *f = future ? *future : NULL;

    if (!f)
        return;
    *future = NULL;
    struct jobq_client *client = f->client;
    if (jq_client_enter(client) != 0) /* the parent's, after a fork: its memory stays as it is */
        return;
    jq_pending_free_future(&client->pending, f);
    jq_client_leave(client, 0);
}

/* ---- what is known ---- */

uint64_t jobq_future_id(const struct jobq_future *future)
{
    if (!future || jq_client_enter(future->client) != 0)
        return 0;
    const uint64_t id = future->id;
    jq_client_leave(future->client, 0);
    return id;
}

int jobq_future_created(const struct jobq_future *future)
{
    if (!future || jq_client_enter(future->client) != 0)
        return 0;
    const bool created = future->is_created;
    jq_client_leave(future->client, 0);
    return created;
}

/* ---- its end ---- */

bool jq_future_is_ended(void *arg)
{
    const struct jobq_future *future = arg;

    return future->is_ended;
}

bool jq_future_succeeded(const struct jobq_future *future)
{
    return future->error == 0 && future->job_state == JOBQ_SUCCEEDED;
}

int jq_future_want(struct jobq_client *client, struct jobq_future *future)
{
    if (jq_pending_want(&client->pending, future) != JQ_OK)
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    return 0;
}

int jobq_future_done(struct jobq_future *future)
{
    if (!future)
        return JOBQ_EINVAL;
    struct jobq_client *client = future->client;
    int rc = jq_client_enter(client);
    if (rc != 0)
        return rc;
    if (!future->is_ended) {
        rc = jq_future_want(client, future);
        if (rc == 0)
            jq_client_progress(client);
    }
    return jq_client_leave(client, rc ? rc : future->is_ended);
}

/* Lock held. 0: it has ended, with a result. */
static int wait_for(struct jobq_client *client, struct jobq_future *future, int64_t timeout_ms)
{
    jq_ms until;

    if (!jq_client_until(timeout_ms, &until))
        return jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1");
    int rc = jq_future_want(client, future);
    if (rc == 0)
        rc = jq_client_await(client, jq_future_is_ended, future, until);
    if (rc == JOBQ_ETIMEDOUT)
        return jq_client_timed_out(client);
    if (rc == 0 && future->error)
        return jq_client_fail_view(client, future->error, future->record);
    return rc;
}

int jobq_future_wait(struct jobq_future *future, int64_t timeout_ms)
{
    if (!future)
        return JOBQ_EINVAL;
    const int rc = jq_client_enter(future->client);
    return rc ? rc : jq_client_leave(future->client, wait_for(future->client, future, timeout_ms));
}

/* ---- the result ---- */

/* A string of a record, ended where it stands: its bytes move over their own length, which has been
 * read, and a NUL follows them. */
static const char *end_in_place(struct jq_view text)
{
    char *bytes = (char *)(uintptr_t)text.data; /* our frame: nobody else reads this record */

    if (!bytes)
        return "";
    memmove(bytes - 1, bytes, text.size);
    bytes[text.size - 1] = '\0';
    return bytes - 1;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static int result_error(const struct jobq_result *result)
{
    switch (result->state) {
    case JOBQ_SUCCEEDED:
        return 0;
    case JOBQ_FAILED:
        return starts_with(result->reason, "poison") ? JOBQ_EWORKERLOST : JOBQ_EFAILED;
    case JOBQ_CANCELLED:
        return JOBQ_ECANCELLED;
    case JOBQ_EXPIRED:
        return JOBQ_EEXPIRED;
    case JOBQ_SKIPPED:
        return JOBQ_ESKIPPED;
    default:
        return JOBQ_EPROTO;
    }
}

/* Once for each future: the record is not readable afterwards. */
static int read_result(struct jobq_client *client, struct jobq_future *future)
{
    struct jq_reader r = jq_reader(future->record);
    struct jobq_result *to = jq_alloc(sizeof *to);
    struct jq_result from;

    if (!to)
        return jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    if (!future->record.size) { /* of a job of which nothing was kept */
        *to = (struct jobq_result){
            .id = future->id, .state = future->job_state, .reason = "", .worker = ""
        };
        future->result = to;
        return 0;
    }
    if (!jq_result_next(&r, &from)) {
        jq_free(to);
        return jq_client_fail_view(client, JOBQ_EPROTO, jq_view(NULL, 0));
    }
    *to = (struct jobq_result){
        .id = from.id,
        .state = (int)from.state,
        .code = from.code,
        .signal = (int)from.signal,
        .attempt = from.attempt,
        .created_at = from.created_at,
        .started_at = from.started_at,
        .ended_at = from.ended_at,
        .wall_us = from.wall_us,
        .user_us = from.user_us,
        .system_us = from.system_us,
        .max_rss_kib = from.max_rss_kib,
        .stdout_bytes = from.stdout_bytes,
        .stderr_bytes = from.stderr_bytes,
        .value = from.value.data,
        .value_size = from.value.size,
    };
    to->reason = end_in_place(from.reason);
    to->worker = end_in_place(from.worker);
    future->result = to;
    return 0;
}

int jobq_future_result(struct jobq_future *future, int64_t timeout_ms,
                       const struct jobq_result **ret_result)
{
    if (!future)
        return JOBQ_EINVAL;
    struct jobq_client *client = future->client;
    int rc = jq_client_enter(client);
    if (rc != 0)
        return rc;
    rc = wait_for(client, future, timeout_ms);
    if (rc == 0 && !future->result)
        rc = read_result(client, future);
    if (rc != 0)
        return jq_client_leave(client, rc);
    if (ret_result)
        *ret_result = future->result;
    rc = result_error(future->result);
    if (rc != 0)
        jq_client_fail(client, rc, "%s", future->result->reason);
    return jq_client_leave(client, rc);
}

/* ---- cancelling ---- */

static bool has_id_or_end(void *arg)
{
    const struct jobq_future *future = arg;

    return future->id != 0 || future->is_ended;
}

static bool is_done(void *arg)
{
    const struct jq_ask *ask = arg;

    return ask->u.one.done;
}

/* What the broker answered to a CANCEL of one job. */
static int cancel_answer(struct jobq_client *client, const struct jq_ask *ask)
{
    const struct jq_msg *msg = &ask->u.one.msg;
    struct jq_reader r = jq_records_reader(msg->u.cancelled.each);
    struct jq_ack ack;

    if (ask->u.one.err != JQ_OK)
        return jq_client_fail_view(client, ask->u.one.err, msg->u.error.text);
    if (msg->tag != JQ_MSG_CANCELLED || !jq_ack_next(&r, &ack))
        return jq_client_fail_view(client, JOBQ_EPROTO, jq_view(NULL, 0));
    /* Sent twice, it may find the work of its first time. */
    if (ack.error == JQ_EALREADY && ack.state == JQ_CANCELLED && ask->resends > 0)
        return 0;
    return ack.error ? jq_client_fail_view(client, (int)ack.error, jq_view(NULL, 0)) : 0;
}

static int cancel(struct jobq_client *client, struct jobq_future *future, const char *reason)
{
    struct jq_buf refs = { 0 };
    struct jq_ask *ask = NULL;

    int rc = jq_client_await_patiently(client, has_id_or_end, future);
    if (rc != 0)
        return rc;
    if (future->is_ended && (future->error || !future->id))
        return jq_client_fail_view(client, future->error, future->record);
    if (future->is_ended)
        return jq_client_fail_view(client, JOBQ_EALREADY, jq_view(NULL, 0));
    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = future->id });
    const struct jq_msg msg = {
        .tag = JQ_MSG_CANCEL,
        .u.cancel.reason = jq_view_str(reason),
        .u.cancel.jobs = jq_records_of(1, &refs),
    };
    rc = jq_buf_ok(&refs) ? (int)jq_pending_ask(&client->pending, JQ_ASK_ONE, &msg, &ask)
                          : JOBQ_ENOMEM;
    jq_buf_fini(&refs);
    if (rc != 0)
        return jq_client_fail_view(client, rc, jq_view(NULL, 0));
    rc = jq_client_await_patiently(client, is_done, ask);
    if (rc == 0)
        rc = cancel_answer(client, ask);
    jq_pending_end(&client->pending, ask);
    return rc;
}

int jobq_future_cancel(struct jobq_future *future, const char *reason)
{
    if (!future)
        return JOBQ_EINVAL;
    struct jobq_client *client = future->client;
    int rc = jq_client_enter(client);
    if (rc != 0)
        return rc;
    if (reason && strlen(reason) > JQ_REASON_MAX)
        rc = jq_client_fail(client, JOBQ_EMSGSIZE, "a reason of %zu bytes: %d are the most",
                            strlen(reason), JQ_REASON_MAX);
    else
        rc = cancel(client, future, reason ? reason : "");
    return jq_client_leave(client, rc);
}
