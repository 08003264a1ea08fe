/* SPDX-License-Identifier: MIT
 *
 * open.c - the life of a handle. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/client.h"
#include "client/names.h"
#include "client/url.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

/* ---- options ---- */

/* Fields that a caller's older struct does not have count as zero. */
static bool copy_options(const struct jobq_options *from, struct jobq_options *ret)
{
    *ret = (struct jobq_options)JOBQ_OPTIONS_INIT;
    if (!from)
        return true;
    if (from->size < sizeof from->size)
        return false;
    memcpy(ret, from, from->size < sizeof *ret ? from->size : sizeof *ret);
    return ret->timeout_ms >= -1;
}

/* What is no letter of a name becomes '_'. */
static void make_name(char *to, const char *text)
{
    size_t size = strnlen(text, JQ_NAME_MAX);

    for (size_t i = 0; i < size; i++)
        to[i] = jq_is_name(jq_view(text + i, 1)) ? text[i] : '_';
    if (size == 0)
        to[size++] = '_';
    to[size] = '\0';
}

static int set_names(struct jobq_client *client, const char *name)
{
    char host[256] = "";

    if (name) {
        if (!jq_is_name(jq_view_str(name)))
            return JOBQ_EINVAL;
        memcpy(client->name, name, strlen(name) + 1);
    } else {
        make_name(client->name, program_invocation_short_name);
    }
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    make_name(client->host, host);
    return 0;
}

/* ---- life ---- */

/* The sockets are closed. */
static void free_client(struct jobq_client *client)
{
    jq_pending_fini(&client->pending);
    jq_details_fini(&client->details);
    if (client->epoll_fd >= 0)
        close(client->epoll_fd);
    if (client->host_fd >= 0)
        close(client->host_fd);
    if (client->wake_fd >= 0)
        close(client->wake_fd);
    jq_fork_mark_fini(&client->fork_mark);
    pthread_mutex_destroy(&client->lock);
    jq_free(client);
}

static int make(const struct jobq_options *options, struct jobq_client **ret_client)
{
    bool ipv6 = false;
    struct jobq_client *client = jq_alloc_zero(1, sizeof *client);

    if (!client)
        return JOBQ_ENOMEM;
    if (pthread_mutex_init(&client->lock, NULL) != 0) {
        jq_free(client);
        return JOBQ_ENOMEM;
    }
    client->session = jq_clock_entropy();
    client->epoll_fd = client->host_fd = -1;
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    jq_dlist_init(&client->waiters);
    jq_fork_mark_init(&client->fork_mark);
    jq_link_init(&client->link, client->session, (jq_ms)(jq_clock_mono_ns() / 1000000));
    jq_pending_init(&client->pending, client->session);
    int rc = client->wake_fd < 0 ? JOBQ_EIO : set_names(client, options->name);
    if (rc == 0)
        rc = jq_url_resolve(options->url, client->url, &ipv6, NULL);
    if (rc == 0)
        rc = jq_connection_open(client->url, ipv6, &client->connection, NULL);
    if (rc != 0) {
        free_client(client);
        return rc;
    }
    *ret_client = client;
    return 0;
}

static bool is_welcome(void *arg)
{
    const struct jobq_client *client = arg;

    return client->link.is_welcome;
}

/* Waits for WELCOME. */
static int greet(struct jobq_client *client, int64_t timeout_ms)
{
    jq_ms until = 0;

    if (timeout_ms == 0 || !jq_client_until(timeout_ms, &until))
        return 0;
    pthread_mutex_lock(&client->lock);
    int rc = jq_client_await(client, is_welcome, client, until);
    if (rc == JOBQ_ETIMEDOUT && !client->link.is_up)
        rc = JOBQ_EUNREACH;
    return jq_client_leave(client, rc);
}

int jobq_open(const struct jobq_options *options, struct jobq_client **ret_client)
{
    struct jobq_options copy;
    struct jobq_client *client = NULL;

    if (!ret_client || !copy_options(options, &copy))
        return JOBQ_EINVAL;
    int rc = make(&copy, &client);
    if (rc != 0)
        return rc;
    rc = greet(client, copy.timeout_ms);
    if (rc != 0) {
        jobq_close(&client);
        return rc;
    }
    *ret_client = client;
    return 0;
}

/* Everything has been given to the network, or cannot be. */
static bool is_sent(void *arg)
{
    const struct jobq_client *client = arg;

    return !jq_pending_is_open(&client->pending) && !jq_pending_next(&client->pending);
}

static bool say_bye(struct jobq_client *client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_BYE };
    struct jq_frame_buf *buf = jq_frame_buf_new();

    if (!buf)
        return false;
    const enum jq_err err = jq_msg_encode(&msg, &buf->buf);
    struct jq_frame *frame = jq_frame_buf_end(buf, 0);
    const bool sent = err == JQ_OK && jq_connection_send(client->connection, frame);
    jq_frame_drop(&frame);
    return sent;
}

void jobq_close(struct jobq_client **client)
{
    struct jobq_client *c = client ? *client : NULL;
    jq_ms until = 0;

    if (!c)
        return;
    *client = NULL;
    if (jq_fork_mark_is_child(&c->fork_mark)) {
        /* Its memory may be in the middle of a change that a thread of the parent made. */
        jq_connection_forsake(&c->connection);
        return;
    }
    pthread_mutex_lock(&c->lock);
    (void)jq_client_until(JQ_CLOSE_LINGER_MS, &until);
    const int rc = jq_client_await(c, is_sent, c, until);
    const bool linger = c->link.is_hailed && say_bye(c);
    pthread_mutex_unlock(&c->lock);
    jq_connection_close(&c->connection, linger || rc == 0 ? JQ_CLOSE_LINGER_MS : 0);
    free_client(c);
}

const char *jobq_errdetail(struct jobq_client *client)
{
    if (jq_client_enter(client) != 0)
        return "";
    const char *text = jq_details_find(&client->details);
    jq_client_leave(client, 0);
    return text;
}
