/* SPDX-License-Identifier: MIT
 *
 * request.c - requests of any kind, and the round trip. */
#include "client/request.h"

#include "client/client.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

struct jq_subscription {
    struct jobq_client *client;
    struct jq_ask *ask;
};

void jq_answer_fini(struct jq_answer *answer)
{
    struct jq_frame *frame = answer->frame;

    jq_frame_drop(&frame);
    *answer = (struct jq_answer){ 0 };
}

/* ---- one answer ---- */

static bool is_done(void *arg)
{
    const struct jq_ask *ask = arg;

    return ask->u.one.done;
}

static int send_request(struct jobq_client *client, enum jq_ask_kind kind, const struct jq_msg *msg,
                        struct jq_ask **ret_ask)
{
    const int rc = jq_pending_ask(&client->pending, kind, msg, ret_ask);

    return rc ? jq_client_fail_view(client, rc, jq_view(NULL, 0)) : 0;
}

static bool is_welcome(void *arg)
{
    const struct jobq_client *client = arg;

    return client->link.is_welcome;
}

int jq_client_late(struct jobq_client *client)
{
    if (client->link.is_welcome)
        return jq_client_timed_out(client);
    return jq_client_fail(client, JOBQ_EUNREACH, "%s: no broker has answered", client->url);
}

/* What came of it, `waited` being how the waiting for it ended. */
static int take_answer(struct jobq_client *client, struct jq_ask *ask, int waited,
                       struct jq_answer *ret_answer)
{
    int rc = waited == JOBQ_ETIMEDOUT ? jq_client_late(client) : waited;

    ret_answer->is_repeated = ask->is_repeated;
    if (rc == 0 && ask->u.one.err != JQ_OK)
        rc = jq_client_fail_view(client, ask->u.one.err, ask->u.one.msg.u.error.text);
    if (rc == 0) {
        ret_answer->msg = ask->u.one.msg;
        ret_answer->frame = ask->u.one.answer;
        ask->u.one.answer = NULL;
    }
    jq_pending_end(&client->pending, ask);
    if (rc != 0)
        jq_client_progress(client); /* a withdrawal must not wait for the next call */
    return rc;
}

static int request(struct jobq_client *client, const struct jq_msg *msg, jq_ms until,
                   struct jq_answer *ret_answer)
{
    struct jq_ask *ask = NULL;

    const int rc = send_request(client, JQ_ASK_ONE, msg, &ask);
    return rc ? rc
              : take_answer(client, ask, jq_client_await(client, is_done, ask, until), ret_answer);
}

int jq_client_request(struct jobq_client *client, const struct jq_msg *msg,
                      struct jq_answer *ret_answer)
{
    struct jq_ask *ask = NULL;

    const int rc = send_request(client, JQ_ASK_ONE, msg, &ask);
    return rc ? rc
              : take_answer(client, ask, jq_client_await_patiently(client, is_done, ask),
                            ret_answer);
}

int jq_request(struct jobq_client *client, const struct jq_msg *msg, int64_t timeout_ms,
               struct jq_answer *ret_answer)
{
    jq_ms until;
    const int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!jq_client_until(timeout_ms, &until))
        return jq_client_leave(client, jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1"));
    return jq_client_leave(client, request(client, msg, until, ret_answer));
}

/* ---- the round trip ---- */

static int ping(struct jobq_client *client, jq_ms until, int64_t *ret_us)
{
    const struct jq_msg msg = { .tag = JQ_MSG_PING };
    struct jq_answer answer = { 0 };

    int rc = jq_client_await(client, is_welcome, client, until); /* connecting is not counted */
    const uint64_t start = jq_clock_mono_ns();
    if (rc == 0)
        rc = request(client, &msg, until, &answer);
    const uint64_t ns = jq_clock_mono_ns() - start;
    if (rc == JOBQ_ETIMEDOUT)
        return jq_client_fail(client, JOBQ_EUNREACH, "%s: no broker has answered", client->url);
    if (rc == 0 && ret_us)
        *ret_us = (int64_t)(ns / 1000);
    jq_answer_fini(&answer);
    return rc;
}

int jobq_ping(struct jobq_client *client, int64_t timeout_ms, int64_t *ret_us)
{
    jq_ms until;
    const int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!jq_client_until(timeout_ms, &until))
        return jq_client_leave(client, jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1"));
    return jq_client_leave(client, ping(client, until, ret_us));
}

/* ---- the broker ---- */

int jq_client_is_welcome(struct jobq_client *client)
{
    const int rc = jq_client_enter(client);

    return rc ? rc : jq_client_leave(client, client->link.is_welcome);
}

int jq_client_broker(struct jobq_client *client, struct jq_broker_said *ret_said)
{
    const int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (!client->link.was_welcome)
        return jq_client_leave(client, jq_client_fail(client, JOBQ_EUNREACH,
                                                      "%s: no broker has answered", client->url));
    *ret_said = client->link.said;
    return jq_client_leave(client, 0);
}

/* ---- many answers ---- */

int jq_subscribe(struct jobq_client *client, const struct jq_msg *msg,
                 struct jq_subscription **ret_subscription)
{
    int rc = jq_client_enter(client);

    if (rc != 0)
        return rc;
    if (msg->tag != JQ_MSG_WATCH && msg->tag != JQ_MSG_WAIT)
        return jq_client_leave(
            client, jq_client_fail(client, JOBQ_EINVAL, "only WATCH and WAIT have many answers"));
    struct jq_subscription *s = jq_alloc_zero(1, sizeof *s);
    rc = s ? send_request(client, JQ_ASK_STREAM, msg, &s->ask)
           : jq_client_fail_view(client, JOBQ_ENOMEM, jq_view(NULL, 0));
    if (rc != 0) {
        jq_free(s);
        return jq_client_leave(client, rc);
    }
    s->client = client;
    jq_client_progress(client);
    *ret_subscription = s;
    return jq_client_leave(client, 0);
}

static bool has_answer(void *arg)
{
    const struct jq_ask *ask = arg;

    return ask->u.stream.count > 0 || ask->u.stream.err != JQ_OK;
}

static int next(struct jq_subscription *s, int64_t timeout_ms, struct jq_answer *ret_answer)
{
    struct jobq_client *client = s->client;
    struct jq_frame *frame;
    struct jq_msg msg;
    jq_ms until;

    if (!jq_client_until(timeout_ms, &until))
        return jq_client_fail(client, JOBQ_EINVAL, "a timeout below -1");
    const int rc = jq_client_await(client, has_answer, s->ask, until);
    if (rc == JOBQ_ETIMEDOUT)
        return jq_client_late(client);
    if (rc != 0)
        return rc;
    if (!jq_pending_stream_take(s->ask, &msg, &frame))
        return jq_client_fail_view(client, s->ask->u.stream.err, s->ask->u.stream.err_text);
    *ret_answer = (struct jq_answer){ .msg = msg, .frame = frame };
    return 0;
}

int jq_subscription_next(struct jq_subscription *subscription, int64_t timeout_ms,
                         struct jq_answer *ret_answer)
{
    const int rc = jq_client_enter(subscription->client);

    return rc ? rc
              : jq_client_leave(subscription->client, next(subscription, timeout_ms, ret_answer));
}

void jq_subscription_end(struct jq_subscription **subscription)
{
    struct jq_subscription *s = subscription ? *subscription : NULL;

    if (!s)
        return;
    *subscription = NULL;
    if (jq_client_enter(s->client) != 0)
        return;
    jq_pending_end(&s->client->pending, s->ask);
    jq_client_progress(s->client);
    jq_client_leave(s->client, 0);
    jq_free(s);
}
