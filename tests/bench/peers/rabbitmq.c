/* SPDX-License-Identifier: MIT
 *
 * rabbitmq.c - a client of RabbitMQ's quorum queues, librabbitmq over TCP. Publishes are confirmed,
 * many on their way; deliveries are prefetched and acknowledged many at a time. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum {
    CHANNEL = 1,
    PUBLISHES = 2000, /* that wait for their confirm */
    PREFETCH = 1000,
    ACKS = 100, /* jobs acknowledged at a time */
    FRAME_BYTES = 131072,
};

struct conn {
    amqp_connection_state_t amqp;
    uint64_t published, confirmed; /* delivery tags; confirmed: it and all before it */
    bool early[2 * PUBLISHES];     /* by tag: confirmed before one that was published before */
    size_t sequence;
};

static void check(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        peer_fail("%s: %s", what, amqp_error_string2(reply.library_error));
    peer_fail("%s: the server closed it", what);
}

static void check_last(struct conn *c, const char *what)
{
    check(amqp_get_rpc_reply(c->amqp), what);
}

static void check_status(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        peer_fail("%s: %s", what, amqp_error_string2(status));
}

/* ---- what the server says ---- */

static bool *early(struct conn *c, uint64_t tag)
{
    return &c->early[tag % (2 * PUBLISHES)];
}

/* Confirms of single messages may come in any order. */
static void note_confirm(struct conn *c, const amqp_basic_ack_t *ack)
{
    *early(c, ack->delivery_tag) = true;
    while (c->confirmed < c->published) {
        bool *next = early(c, c->confirmed + 1);
        if (!*next && !(ack->multiple && c->confirmed < ack->delivery_tag))
            return;
        *next = false;
        c->confirmed++;
    }
}

/* Takes confirms until a delivery comes: its tag. With `until_confirmed` returns 0 once that tag is
 * confirmed. */
static uint64_t await_delivery(struct conn *c, uint64_t until_confirmed)
{
    amqp_message_t message;
    amqp_frame_t frame;

    while (!until_confirmed || c->confirmed < until_confirmed) {
        amqp_maybe_release_buffers(c->amqp);
        check_status(amqp_simple_wait_frame(c->amqp, &frame), "wait");
        if (frame.frame_type != AMQP_FRAME_METHOD)
            continue;
        if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
            note_confirm(c, frame.payload.method.decoded);
        } else if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
            const amqp_basic_deliver_t *deliver = frame.payload.method.decoded;
            const uint64_t tag = deliver->delivery_tag;
            check(amqp_read_message(c->amqp, CHANNEL, &message, 0), "read");
            amqp_destroy_message(&message);
            return tag;
        } else {
            peer_fail("an unexpected method %#x", frame.payload.method.id);
        }
    }
    return 0;
}

static void publish(struct conn *c, const char *queue)
{
    const amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                 .delivery_mode = 2 };
    char payload[PEER_PAYLOAD];

    peer_payload(payload, c->sequence++);
    check_status(amqp_basic_publish(c->amqp, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(queue),
                                    0, 0, &properties,
                                    (amqp_bytes_t){ .len = sizeof payload, .bytes = payload }),
                 "publish");
    c->published++;
}

static void acknowledge(struct conn *c, uint64_t tag, bool multiple)
{
    check_status(amqp_basic_ack(c->amqp, CHANNEL, tag, multiple), "ack");
}

/* ---- the client ---- */

/* Made by whoever comes first; again is fine. */
static void declare(struct conn *c, const char *queue)
{
    amqp_table_entry_t type = { .key = amqp_cstring_bytes("x-queue-type"),
                                .value = { .kind = AMQP_FIELD_KIND_UTF8,
                                           .value = { .bytes = amqp_cstring_bytes("quorum") } } };

    amqp_queue_declare(c->amqp, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
                       (amqp_table_t){ .num_entries = 1, .entries = &type });
    check_last(c, queue);
}

static void consume(struct conn *c, const char *queue)
{
    amqp_basic_qos(c->amqp, CHANNEL, 0, PREFETCH, 0);
    check_last(c, "qos");
    amqp_basic_consume(c->amqp, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check_last(c, "consume");
}

static void *open_conn(const struct peer_conf *conf)
{
    struct conn *c = peer_alloc(sizeof *c);
    char host[64];

    const int port = peer_split(conf->address, host);
    c->amqp = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c->amqp);
    if (!socket)
        peer_fail("out of memory");
    check_status(amqp_socket_open(socket, host, port), conf->address);
    check(amqp_login(c->amqp, "/", AMQP_DEFAULT_MAX_CHANNELS, FRAME_BYTES, 0,
                     AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
          "login");
    amqp_channel_open(c->amqp, CHANNEL);
    check_last(c, "channel");
    amqp_confirm_select(c->amqp, CHANNEL);
    check_last(c, "confirms");
    declare(c, "jobs");
    declare(c, "results");
    if (strcmp(conf->workload, "call") == 0)
        consume(c, conf->is_consumer ? "jobs" : "results");
    return c;
}

static void close_conn(void *conn)
{
    struct conn *c = conn;

    check(amqp_connection_close(c->amqp, AMQP_REPLY_SUCCESS), "close");
    amqp_destroy_connection(c->amqp);
    free(c);
}

static void fill(void *conn, size_t jobs)
{
    struct conn *c = conn;

    while (c->published < jobs) {
        publish(c, "jobs");
        if (c->published - c->confirmed >= PUBLISHES)
            (void)await_delivery(c, c->confirmed + 1);
    }
    (void)await_delivery(c, c->published);
}

/* Acknowledgements have no answer; a call behind them shows that they were read. */
static void drain(void *conn, size_t jobs)
{
    struct conn *c = conn;

    consume(c, "jobs");
    for (size_t done = 1; done <= jobs; done++) {
        const uint64_t tag = await_delivery(c, 0);
        if (done % ACKS == 0 || done == jobs)
            acknowledge(c, tag, true);
    }
    declare(c, "jobs");
}

static void call(void *conn)
{
    struct conn *c = conn;

    publish(c, "jobs");
    acknowledge(c, await_delivery(c, 0), false);
    if (c->confirmed < c->published)
        (void)await_delivery(c, c->published);
}

/* The result is confirmed before its job is acknowledged: neither can be lost. */
static void serve(void *conn, size_t jobs)
{
    struct conn *c = conn;

    for (size_t i = 0; i < jobs; i++) {
        const uint64_t tag = await_delivery(c, 0);
        publish(c, "results");
        (void)await_delivery(c, c->published);
        acknowledge(c, tag, false);
    }
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .name = "rabbitmq",
        .open = open_conn,
        .close = close_conn,
        .fill = fill,
        .drain = drain,
        .call = call,
        .serve = serve,
    };

    return peer_main(argc, argv, &peer);
}
