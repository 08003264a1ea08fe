/* SPDX-License-Identifier: MIT
 *
 * sessions.c - many workers in one thread: connections that say HELLO as workers, ask for credit
 * and end at once what they are granted. They send no heartbeats: what is done with them must not
 * take as long as a lease. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "proto/msg.h"
#include "tests/bench/bench.h"

enum { CREDIT = 32, PATIENCE_MS = 60000 };

struct session {
    void *socket;
    uint64_t credit; /* the total that it has told */
    bool is_welcome;
};

struct bench_sessions {
    void *context;
    struct session *all;
    zmq_pollitem_t *polled;
    size_t count, welcome, ended;
};

/* ---- frames ---- */

static void say(const struct session *s, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };

    if (jq_msg_encode(msg, &frame) != JQ_OK ||
        zmq_send(s->socket, frame.data, frame.size, ZMQ_DONTWAIT) < 0)
        bench_fail("a session cannot send: %s", zmq_strerror(zmq_errno()));
    jq_buf_fini(&frame);
}

static void say_hello(const struct session *s, size_t index)
{
    char name[32];

    snprintf(name, sizeof name, "session-%zu", index);
    say(s, &(struct jq_msg){ .tag = JQ_MSG_HELLO,
                             .u.hello = { .version_min = JQ_PROTOCOL_MIN,
                                          .version_max = JQ_PROTOCOL_MAX,
                                          .role = JQ_ROLE_WORKER,
                                          .session = 1000000 + index,
                                          .name = jq_view_str(name),
                                          .host = jq_view_str("bench"),
                                          .slots = CREDIT } });
}

static void say_credit(struct session *s, uint64_t more)
{
    s->credit += more;
    say(s, &(struct jq_msg){ .tag = JQ_MSG_CREDIT, .u.credit.total = s->credit });
}

static void end_jobs(struct session *s, struct jq_records jobs)
{
    struct jq_buf outcomes = { 0 };
    struct jq_grant grant;

    for (struct jq_reader r = jq_records_reader(jobs); jq_grant_next(&r, &grant);)
        jq_outcome_write(&outcomes, &(struct jq_outcome){ .id = grant.id,
                                                          .fence = grant.fence,
                                                          .kind = JQ_OUTCOME_EXITED });
    say(s, &(struct jq_msg){ .tag = JQ_MSG_DONE,
                             .u.done.outcomes = jq_records_of(jobs.count, &outcomes) });
    jq_buf_fini(&outcomes);
    say_credit(s, jobs.count);
}

static void hear(struct bench_sessions *sessions, struct session *s, struct jq_view frame)
{
    struct jq_msg msg;

    if (jq_msg_decode(frame, &msg) != JQ_OK)
        bench_fail("a session was sent what is no message");
    if (msg.tag == JQ_MSG_ERROR)
        bench_fail("a session was refused: %.*s", JQ_VIEW_ARG(msg.u.error.text));
    if (msg.tag == JQ_MSG_WELCOME && !s->is_welcome) {
        s->is_welcome = true;
        sessions->welcome++;
    } else if (msg.tag == JQ_MSG_GRANTS) {
        end_jobs(s, msg.u.grants.jobs);
    } else if (msg.tag == JQ_MSG_DONE_ACK) {
        sessions->ended += msg.u.done_ack.each.count;
    }
}

/* ---- all of them ---- */

static void hear_all(struct bench_sessions *sessions)
{
    const int ready = zmq_poll(sessions->polled, (int)sessions->count, PATIENCE_MS);

    if (ready == 0)
        bench_fail("no session heard anything for %d s", PATIENCE_MS / 1000);
    for (size_t i = 0; ready > 0 && i < sessions->count; i++) {
        zmq_msg_t frame;
        if (!(sessions->polled[i].revents & ZMQ_POLLIN))
            continue;
        zmq_msg_init(&frame);
        while (zmq_msg_recv(&frame, sessions->all[i].socket, ZMQ_DONTWAIT) >= 0)
            hear(sessions, &sessions->all[i], jq_view(zmq_msg_data(&frame), zmq_msg_size(&frame)));
        zmq_msg_close(&frame);
    }
}

struct bench_sessions *bench_sessions_open(const struct deployment *d, size_t count)
{
    struct bench_sessions *sessions = bench_alloc(1, sizeof *sessions);

    sessions->context = zmq_ctx_new();
    sessions->count = count;
    sessions->all = bench_alloc(count, sizeof *sessions->all);
    sessions->polled = bench_alloc(count, sizeof *sessions->polled);
    zmq_ctx_set(sessions->context, ZMQ_MAX_SOCKETS, (int)count + 16);
    for (size_t i = 0; i < count; i++) {
        void *socket = zmq_socket(sessions->context, ZMQ_DEALER);
        if (!socket || zmq_connect(socket, d->url) != 0)
            bench_fail("session %zu: %s", i, zmq_strerror(zmq_errno()));
        sessions->all[i].socket = socket;
        sessions->polled[i] = (zmq_pollitem_t){ .socket = socket, .events = ZMQ_POLLIN };
        say_hello(&sessions->all[i], i);
    }
    while (sessions->welcome < count)
        hear_all(sessions);
    return sessions;
}

void bench_sessions_serve(struct bench_sessions *sessions, size_t jobs)
{
    for (size_t i = 0; i < sessions->count; i++)
        say_credit(&sessions->all[i], CREDIT);
    while (sessions->ended < jobs)
        hear_all(sessions);
}

void bench_sessions_close(struct bench_sessions **sessions)
{
    struct bench_sessions *s = *sessions;

    for (size_t i = 0; i < s->count; i++) {
        say(&s->all[i], &(struct jq_msg){ .tag = JQ_MSG_BYE });
        zmq_close(s->all[i].socket);
    }
    zmq_ctx_term(s->context);
    free(s->polled);
    free(s->all);
    free(s);
    *sessions = NULL;
}
