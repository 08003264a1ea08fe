/* SPDX-License-Identifier: MIT
 *
 * client.c - one lock, one socket, many threads: turns, the driver, those who wait. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/request.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

enum {
    FRAMES_PER_TURN = 64, /* read under one hold of the lock */
    SENDS_PER_TURN = 64,
    TURNS_PER_PROCESS = 64,
};

/* A thread that sleeps until the driver has what it waits for, or leaves. */
struct waiter {
    struct jq_dlink link;
    pthread_cond_t cond;
    jq_ready_fn *ready;
    void *arg;
};

static jq_ms mono_ms(void)
{
    return (jq_ms)(jq_clock_mono_ns() / 1000000);
}

bool jq_client_until(int64_t timeout_ms, jq_ms *ret_until)
{
    if (timeout_ms < -1)
        return false;
    *ret_until = timeout_ms == -1 ? JQ_NEVER : jq_ms_add(mono_ms(), timeout_ms);
    return true;
}

/* ---- the lock and errors ---- */

int jq_client_enter(struct jobq_client *client)
{
    if (!client)
        return JOBQ_EINVAL;
    if (jq_fork_mark_is_child(&client->fork_mark))
        return JOBQ_EFORKED;
    pthread_mutex_lock(&client->lock);
    return 0;
}

/* Nobody drives: the first of those who sleep has to. */
static void hand_over(struct jobq_client *client)
{
    struct jq_dlink *link = client->is_polling ? NULL : jq_dlist_first(&client->waiters);

    if (link)
        pthread_cond_signal(&JQ_ELEMENT(link, struct waiter, link)->cond);
}

static void tell_host(struct jobq_client *client);

int jq_client_leave(struct jobq_client *client, int result)
{
    hand_over(client);
    /* The socket's fd tells of changes only, and what we did may have taken the change. */
    if (client->is_watched && !client->is_polling && jq_connection_has_more(client->connection))
        tell_host(client);
    pthread_mutex_unlock(&client->lock);
    return result;
}

int jq_client_fail(struct jobq_client *client, int err, const char *format, ...)
{
    struct jq_detail *detail = jq_details_get(&client->details);
    va_list args;

    if (!detail)
        return err;
    va_start(args, format);
    (void)vsnprintf(detail->text, sizeof detail->text, format, args);
    va_end(args);
    return err;
}

int jq_client_fail_view(struct jobq_client *client, int err, struct jq_view text)
{
    if (text.size == 0)
        text = jq_view_str(jobq_strerror(err));
    return jq_client_fail(client, err, "%.*s", JQ_VIEW_ARG(text));
}

int jq_client_timed_out(struct jobq_client *client)
{
    if (!client->link.was_welcome)
        return jq_client_fail(client, JOBQ_EUNREACH, "%s: no broker has answered", client->url);
    return jq_client_fail(client, JOBQ_ETIMEDOUT, "timed out");
}

/* ---- waking ---- */

static void write_fd(int fd)
{
    const uint64_t one = 1;

    /* A full counter is as good: it is readable. */
    if (write(fd, &one, sizeof one) < 0)
        return;
}

static void clear_fd(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof count) < 0)
        return;
}

/* The host's loop calls jobq_client_process then. */
static void tell_host(struct jobq_client *client)
{
    if (!client->is_watched || client->is_host_told)
        return;
    client->is_host_told = true;
    write_fd(client->host_fd);
}

void jq_client_notify(struct jobq_client *client)
{
    if (!client->is_polling) {
        tell_host(client);
    } else if (!client->is_woken) {
        client->is_woken = true;
        write_fd(client->wake_fd);
    }
}

static void tell_waiters(struct jobq_client *client)
{
    struct jq_dlink *link = NULL;

    while ((link = jq_dlist_next(&client->waiters, link))) {
        struct waiter *waiter = JQ_ELEMENT(link, struct waiter, link);
        if (client->link.refused != JQ_OK || waiter->ready(waiter->arg))
            pthread_cond_signal(&waiter->cond);
    }
}

void jq_client_interrupt(struct jobq_client *client)
{
    if (jq_client_enter(client) != 0)
        return;
    jq_link_refuse(&client->link, mono_ms(), JQ_EINTR, jq_view_str("interrupted"));
    jq_client_notify(client);
    tell_waiters(client);
    jq_client_leave(client, 0);
}

/* ---- a turn ---- */

static void take_frame(struct jobq_client *client, struct jq_frame *frame, jq_ms now)
{
    struct jq_link *link = &client->link;
    const bool was_welcome = link->is_welcome;
    struct jq_msg msg;
    const enum jq_err err = jq_msg_decode(frame->bytes, &msg);

    if (err == JQ_EVERSION) {
        jq_link_refuse(link, now, JQ_EVERSION,
                       jq_view_str("the broker speaks another version of the protocol"));
        return;
    }
    if (err != JQ_OK) /* not a message: as if it had been lost */
        return;
    if (msg.tag == JQ_MSG_WELCOME)
        jq_pending_welcomed(&client->pending, &msg.u.welcome);
    if (!jq_link_heard(link, now, &msg))
        jq_pending_receive(&client->pending, now, &msg, frame);
    if (link->is_welcome && !was_welcome)
        jq_pending_set_resend(&client->pending, link->heartbeat_ms);
}

static bool receive(struct jobq_client *client, jq_ms now)
{
    struct jq_frame *frame;
    bool moved = false;

    if (jq_connection_came_up(client->connection)) {
        jq_link_up(&client->link, now);
        moved = true;
    }
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        frame = jq_connection_receive(client->connection);
        if (!frame)
            break;
        take_frame(client, frame, now);
        jq_frame_drop(&frame);
        moved = true;
    }
    return moved;
}

static bool send_now(struct jobq_client *client, const struct jq_msg *msg)
{
    struct jq_frame_buf *buf = jq_frame_buf_new();
    struct jq_frame *frame;
    bool sent;

    if (!buf)
        return false;
    const enum jq_err err = jq_msg_encode(msg, &buf->buf);
    frame = jq_frame_buf_end(buf, 0);
    sent = err == JQ_OK && jq_connection_send(client->connection, frame);
    jq_frame_drop(&frame);
    return sent;
}

static bool send_hello(struct jobq_client *client)
{
    struct jq_buf buf = { 0 };
    struct jq_records held;
    bool sent = false;

    const enum jq_err err = jq_pending_held(&client->pending, &buf, &held);
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .correlation = JQ_LINK_CORRELATION,
        .u.hello = {
            .version_min = JQ_PROTOCOL_MIN,
            .version_max = JQ_PROTOCOL_MAX,
            .role = JQ_ROLE_CLIENT,
            .session = client->session,
            .name = jq_view_str(client->name),
            .software = jq_view_str("jobq " JOBQ_VERSION),
            .pid = (uint64_t)client->fork_mark.pid,
            .host = jq_view_str(client->host),
            .held = held,
        },
    };

    if (err == JQ_OK) /* without the list all would be given back: later, then */
        sent = send_now(client, &msg);
    jq_buf_fini(&buf);
    return sent;
}

static bool send_ping(struct jobq_client *client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_PING, .correlation = JQ_LINK_CORRELATION };

    return send_now(client, &msg);
}

/* Silence matters while something is due, while jobs are tied to us, and while somebody waits. */
static bool is_waiting(const struct jobq_client *client)
{
    return jq_pending_is_waiting(&client->pending) || client->pending.tied > 0 ||
           client->is_polling || !jq_dlist_empty(&client->waiters);
}

static void keep_link(struct jobq_client *client, jq_ms now)
{
    struct jq_link *link = &client->link;
    const unsigned actions = jq_link_tick(link, now, is_waiting(client));

    if (actions & JQ_LINK_REOPEN) {
        jq_link_down(link, now);
        if (jq_connection_reopen(client->connection) != JQ_OK)
            link->reopen_at = jq_ms_add(now, 1000); /* no memory, no descriptors: later */
        return;
    }
    if ((actions & JQ_LINK_HELLO) && send_hello(client)) {
        jq_link_sent(link, now, JQ_LINK_HELLO);
        jq_pending_reconnected(&client->pending); /* all that is unanswered follows it */
    }
    if (actions & JQ_LINK_PING) {
        /* With no broker it goes nowhere, and counts as asked all the same: it would be due again
         * at once, and whoever waits would never sleep. */
        (void)send_ping(client);
        jq_link_sent(link, now, JQ_LINK_PING);
    }
}

/* HELLO is the first message of a connection, or nothing is. */
static bool send_pending(struct jobq_client *client, jq_ms now)
{
    struct jq_pending *p = &client->pending;
    struct jq_ask *ask;
    int sent = 0;

    jq_pending_tick(p, now);
    jq_pending_flush(p, now);
    if (!client->link.is_hailed || client->link.reopen_at != JQ_NEVER)
        return false;
    for (; sent < SENDS_PER_TURN && (ask = jq_pending_next(p)); sent++) {
        if (!jq_connection_send(client->connection, ask->frame))
            break;
        jq_pending_sent(p, ask, now);
    }
    return sent > 0;
}

/* True: something was read or sent, so that there may be more. Nobody may be in poll. */
static bool turn(struct jobq_client *client, jq_ms now)
{
    const bool received = receive(client, now);

    keep_link(client, now);
    const bool sent = send_pending(client, now);
    if (received || client->pending.has_failed)
        tell_waiters(client);
    client->pending.has_failed = false;
    return received || sent;
}

void jq_client_progress(struct jobq_client *client)
{
    if (client->is_polling)
        jq_client_notify(client);
    else if (turn(client, mono_ms()))
        tell_host(client);
}

/* ---- waiting ---- */

static jq_ms next_at(const struct jobq_client *client)
{
    return jq_ms_min(jq_pending_next_at(&client->pending),
                     jq_link_next_at(&client->link, is_waiting(client)));
}

/* In poll, without the lock. */
static void drive(struct jobq_client *client, jq_ms now, jq_ms until)
{
    const bool can_send =
        client->link.hello_due || (client->link.is_hailed && client->link.reopen_at == JQ_NEVER);
    const bool want_room =
        can_send && (client->link.hello_due || jq_pending_next(&client->pending) != NULL);

    client->is_polling = true;
    const jq_ms at = jq_ms_min(until, next_at(client));
    const jq_ms timeout = at == JQ_NEVER ? -1 : at > now ? at - now : 0;
    pthread_mutex_unlock(&client->lock);
    jq_connection_poll(client->connection, client->wake_fd, want_room, timeout);
    pthread_mutex_lock(&client->lock);
    client->is_polling = false;
    if (client->is_woken)
        clear_fd(client->wake_fd);
    client->is_woken = false;
}

static void sleep_until(struct jobq_client *client, struct waiter *waiter, jq_ms until)
{
    const struct timespec at = { .tv_sec = (time_t)(until / 1000),
                                 .tv_nsec = (long)(until % 1000) * 1000000 };

    jq_dlist_append(&client->waiters, &waiter->link);
    if (until == JQ_NEVER)
        pthread_cond_wait(&waiter->cond, &client->lock);
    else
        pthread_cond_timedwait(&waiter->cond, &client->lock, &at);
    jq_dlist_remove(&waiter->link);
}

static bool waiter_init(struct waiter *waiter, jq_ready_fn *ready, void *arg)
{
    pthread_condattr_t attr;
    bool ok;

    *waiter = (struct waiter){ .ready = ready, .arg = arg };
    if (pthread_condattr_init(&attr) != 0)
        return false;
    ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(&waiter->cond, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

static int await(struct jobq_client *client, struct waiter *waiter, jq_ms until)
{
    for (;;) {
        if (waiter->ready(waiter->arg))
            return 0;
        jq_ms now = mono_ms();
        if (client->is_polling) {
            if (now >= until)
                return JOBQ_ETIMEDOUT;
            jq_client_notify(client); /* it may have to send what we wait for */
            sleep_until(client, waiter, until);
            continue;
        }
        const bool moved = turn(client, now);
        if (client->link.refused != JQ_OK && !waiter->ready(waiter->arg))
            return jq_client_fail(client, client->link.refused, "%s",
                                  client->link.refused_text.text);
        if (moved) {
            tell_host(client);
            continue;
        }
        if (now >= until)
            return JOBQ_ETIMEDOUT;
        drive(client, now, until);
    }
}

int jq_client_await(struct jobq_client *client, jq_ready_fn *ready, void *arg, jq_ms until)
{
    struct waiter waiter;

    if (ready(arg))
        return 0;
    if (!waiter_init(&waiter, ready, arg))
        return jq_client_fail(client, JOBQ_ENOMEM, "no room for a condition variable");
    const int rc = await(client, &waiter, until);
    pthread_cond_destroy(&waiter.cond);
    return rc;
}

int jq_client_await_patiently(struct jobq_client *client, jq_ready_fn *ready, void *arg)
{
    const jq_ms heartbeats = 4 * client->link.heartbeat_ms;
    const jq_ms patience = heartbeats > JQ_PATIENCE_MS ? heartbeats : JQ_PATIENCE_MS;
    jq_ms until = jq_ms_add(mono_ms(), patience);

    for (;;) {
        const int rc = jq_client_await(client, ready, arg, until);
        if (rc != JOBQ_ETIMEDOUT)
            return rc;
        const jq_ms again = jq_ms_add(client->link.heard_at, patience);
        if (again <= until)
            return jq_client_fail(client, JOBQ_EUNREACH,
                                  "%s: not a word from the broker for %d seconds", client->url,
                                  (int)(patience / 1000));
        until = again;
    }
}

/* ---- a host's loop ---- */

int jq_client_process(struct jobq_client *client)
{
    if (client->is_polling) /* another thread does it all */
        return 0;
    if (client->is_host_told)
        clear_fd(client->host_fd);
    client->is_host_told = false;
    for (int i = 0; i < TURNS_PER_PROCESS && turn(client, mono_ms()); i++)
        ;
    if (client->link.refused != JQ_OK)
        return jq_client_fail(client, client->link.refused, "%s", client->link.refused_text.text);
    return 0;
}

int64_t jq_client_timeout_ms(struct jobq_client *client)
{
    const jq_ms now = mono_ms();
    const jq_ms at = next_at(client);

    if (client->is_polling)
        return -1;
    if (client->pending.batches_count)
        return 0;
    return at == JQ_NEVER ? -1 : at > now ? at - now : 0;
}
