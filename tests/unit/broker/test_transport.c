/* SPDX-License-Identifier: MIT
 *
 * test_transport.c - the ROUTER as the broker uses it, over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "broker/transport.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"

enum { WAIT_MS = 20000 };

struct pair {
    struct jq_metrics metrics;
    struct jq_transport *transport;
    void *context, *dealer;
    char url[JQ_ENDPOINT_TEXT_MAX];
    int fd; /* of the last frame received */
};

static int connect_dealer(struct pair *pair)
{
    const int wait_ms = WAIT_MS;
    const int none = 0;
    const int few = 4;

    pair->dealer = zmq_socket(pair->context, ZMQ_DEALER);
    zmq_setsockopt(pair->dealer, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(pair->dealer, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(pair->dealer, ZMQ_RCVHWM, &few, sizeof(few));
    return zmq_connect(pair->dealer, pair->url);
}

static int open_pair(void **state)
{
    static struct pair pair;
    struct jq_endpoints endpoints;
    struct jq_detail detail = { "" };

    memset(&pair, 0, sizeof(pair));
    if (jq_endpoints_parse("tcp://127.0.0.1:*", false, &endpoints, &detail) != JQ_OK ||
        jq_transport_open(&pair.metrics, &pair.transport, &detail) != JQ_OK ||
        jq_transport_bind(pair.transport, &endpoints.list[0], pair.url, &detail) != JQ_OK)
        return -1;
    pair.context = zmq_ctx_new();
    *state = &pair;
    return connect_dealer(&pair);
}

static int close_pair(void **state)
{
    struct pair *pair = *state;

    if (pair->dealer)
        zmq_close(pair->dealer);
    zmq_ctx_term(pair->context);
    jq_transport_close(&pair->transport, 0);
    return 0;
}

/* The next frame, past what is refused. */
static uint64_t receive(struct pair *pair, struct jq_view *ret_frame)
{
    uint64_t route = 0;
    bool readable;

    for (;;) {
        const enum jq_received received =
            jq_transport_receive(pair->transport, &route, &pair->fd, ret_frame);
        if (received == JQ_RECEIVED)
            return route;
        if (received == JQ_RECEIVED_NOTHING)
            assert_int_equal(jq_transport_poll(pair->transport, -1, WAIT_MS, &readable), JQ_OK);
    }
}

static void frames_of_every_size_go_both_ways_whole(void **state)
{
    struct pair *pair = *state;
    static const size_t sizes[] = { 1, 255, 256, 1023, 1024, 1025, 65535, 65536, 3 << 20 };
    struct jq_in_flight *in_flight = jq_in_flight_new();

    assert_non_null(in_flight);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *data = jq_alloc(sizes[i]);
        struct jq_view frame;
        zmq_msg_t back;
        assert_non_null(data);
        memset(data, (int)i + 1, sizes[i]);
        assert_int_equal(zmq_send(pair->dealer, data, sizes[i], 0), sizes[i]);
        const uint64_t route = receive(pair, &frame);
        assert_int_equal(frame.size, sizes[i]);
        assert_memory_equal(frame.data, data, sizes[i]);
        assert_int_equal(jq_transport_send(pair->transport, route, data, sizes[i], in_flight),
                         JQ_SENT);
        zmq_msg_init(&back);
        assert_int_equal(zmq_msg_recv(&back, pair->dealer, 0), sizes[i]);
        assert_int_equal(*(uint8_t *)zmq_msg_data(&back), i + 1);
        zmq_msg_close(&back);
    }
    jq_in_flight_drop(&in_flight);
    assert_int_equal(pair->metrics.frames_in, sizeof(sizes) / sizeof(sizes[0]));
    assert_int_equal(pair->metrics.frames_out, sizeof(sizes) / sizeof(sizes[0]));
}

static void a_message_of_parts_is_refused_and_the_next_one_is_read(void **state)
{
    struct pair *pair = *state;
    struct jq_view frame;

    for (int i = 0; i < 1000; i++)
        assert_int_equal(zmq_send(pair->dealer, "x", 1, ZMQ_SNDMORE), 1);
    assert_int_equal(zmq_send(pair->dealer, "x", 1, 0), 1);
    assert_int_equal(zmq_send(pair->dealer, "", 0, 0), 0);
    assert_int_equal(zmq_send(pair->dealer, "good", 4, 0), 4);
    (void)receive(pair, &frame);
    assert_true(jq_view_equal(frame, jq_view_str("good")));
    assert_int_equal(pair->metrics.refused_multipart, 1);
    assert_int_equal(pair->metrics.refused_parts, 1000);
    assert_int_equal(pair->metrics.refused_empty, 1);
}

static void a_route_to_nobody_is_known_at_once(void **state)
{
    struct pair *pair = *state;
    uint8_t *data = jq_alloc_zero(1, 2000);
    const uint64_t nobody = UINT64_C(5) << 56 | 12345;

    assert_int_equal(jq_transport_send(pair->transport, nobody, data, 2000, NULL), JQ_SENT_NOBODY);
    jq_free(data);
    assert_int_equal(pair->metrics.send_failed, 0);
}

/* Whoever does not read fills its own queue; sending to it never waits. */
static void a_peer_that_does_not_read_makes_nobody_wait(void **state)
{
    struct pair *pair = *state;
    enum { SIZE = 1 << 20, MANY = 500 };
    struct jq_in_flight *in_flight = jq_in_flight_new();
    struct jq_view frame;
    enum jq_sent sent = JQ_SENT;
    int count = 0;

    assert_non_null(in_flight);
    assert_int_equal(zmq_send(pair->dealer, "hi", 2, 0), 2);
    const uint64_t route = receive(pair, &frame);
    while (sent == JQ_SENT && count < MANY) {
        uint8_t *data = jq_alloc_zero(1, SIZE);
        assert_non_null(data);
        sent = jq_transport_send(pair->transport, route, data, SIZE, in_flight);
        if (sent == JQ_SENT)
            count++;
        else
            jq_free(data);
    }
    assert_int_equal(sent, JQ_SENT_FULL);
    assert_true(jq_in_flight_bytes(in_flight) > 0);
    jq_in_flight_drop(&in_flight);
}

/* ---- connections that end ---- */

static bool is_late(uint64_t since)
{
    return jq_clock_mono_ns() - since > WAIT_MS * UINT64_C(1000000);
}

static void await_end(struct pair *pair, int fd)
{
    const uint64_t since = jq_clock_mono_ns();
    int ended = -1;
    bool readable;

    while (!jq_transport_ended(pair->transport, &ended)) {
        assert_false(is_late(since));
        assert_int_equal(jq_transport_poll(pair->transport, -1, WAIT_MS, &readable), JQ_OK);
    }
    assert_int_equal(ended, fd);
}

/* A frame from a new connection, which ends then; the route that it had. */
static uint64_t come_and_go(struct pair *pair)
{
    struct jq_view frame;

    assert_int_equal(zmq_send(pair->dealer, "hi", 2, 0), 2);
    const uint64_t route = receive(pair, &frame);
    assert_true(pair->fd >= 0);
    zmq_close(pair->dealer);
    pair->dealer = NULL;
    await_end(pair, pair->fd);
    return route;
}

static void the_end_of_a_connection_is_told_and_its_route_leads_nowhere_soon(void **state)
{
    struct pair *pair = *state;
    const uint64_t since = jq_clock_mono_ns();
    const uint64_t route = come_and_go(pair);
    enum jq_sent sent;
    bool readable;
    int fd;

    do {
        uint8_t *data = jq_alloc_zero(1, 1);
        assert_non_null(data);
        assert_false(is_late(since));
        sent = jq_transport_send(pair->transport, route, data, 1, NULL);
        if (sent != JQ_SENT)
            jq_free(data);
        assert_int_equal(jq_transport_poll(pair->transport, -1, 1, &readable), JQ_OK);
    } while (sent != JQ_SENT_NOBODY);
    assert_false(jq_transport_ended(pair->transport, &fd));
}

static int connect_raw(const struct pair *pair)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    unsigned port = 0;

    assert_int_equal(sscanf(pair->url, "tcp://127.0.0.1:%u", &port), 1);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* What a DEALER and a ROUTER say before the first message. */
static int connect_greeted(const struct pair *pair)
{
    enum { GREETING = 64 };
    static const char ready[] = "\4\34\5READY\13Socket-Type\0\0\0\6DEALER";
    uint8_t said[GREETING + sizeof(ready) - 1] = { 0xff };
    uint8_t heard[GREETING + 2 + UINT8_MAX];
    const int raw = connect_raw(pair);

    memcpy(said + 9, "\x7f\3\0NULL", 7);
    memcpy(said + GREETING, ready, sizeof(ready) - 1);
    assert_int_equal(send(raw, said, sizeof(said), 0), sizeof(said));
    assert_int_equal(recv(raw, heard, GREETING + 2, MSG_WAITALL), GREETING + 2);
    const uint8_t left = heard[GREETING + 1];
    assert_int_equal(recv(raw, heard, left, MSG_WAITALL), left);
    return raw;
}

static void everything_received_can_be_read_when_the_end_is_told(void **state)
{
    struct pair *pair = *state;
    enum { FRAMES = 10 };
    uint8_t said[FRAMES][3];
    const uint64_t since = jq_clock_mono_ns();
    struct jq_view frame;
    uint64_t route;
    bool readable;
    int ended, fd, frames = 0;

    for (int i = 0; i < FRAMES; i++)
        memcpy(said[i], "\0\1x", 3);
    const int raw = connect_greeted(pair);
    assert_int_equal(send(raw, said, sizeof(said), 0), sizeof(said));
    assert_int_equal(shutdown(raw, SHUT_WR), 0);
    while (!jq_transport_ended(pair->transport, &ended)) {
        assert_false(is_late(since));
        assert_int_equal(jq_transport_poll(pair->transport, -1, 1, &readable), JQ_OK);
    }
    while (jq_transport_receive(pair->transport, &route, &fd, &frame) == JQ_RECEIVED) {
        assert_int_equal(fd, ended);
        frames++;
    }
    assert_int_equal(frames, FRAMES);
    close(raw);
}

/* More than a pipe of libzmq's holds: whoever wrote it would wait. */
static void ends_that_nobody_takes_stop_nobody_and_do_not_pile_up(void **state)
{
    struct pair *pair = *state;
    enum { MANY = 5000 };
    struct jq_view frame;
    int told = 0;
    int fd;

    for (int i = 0; i < MANY; i++)
        close(connect_raw(pair));
    assert_int_equal(zmq_send(pair->dealer, "hi", 2, 0), 2);
    (void)receive(pair, &frame);
    while (jq_transport_ended(pair->transport, &fd))
        told++;
    assert_true(told > 0);
    assert_true(told < MANY / 2);
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void connections_that_come_and_go_leave_no_descriptor(void **state)
{
    struct pair *pair = *state;
    enum { TIMES = 200 };
    const uint64_t since = jq_clock_mono_ns();
    bool readable;

    (void)come_and_go(pair);
    const int before = count_fds();
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(connect_dealer(pair), 0);
        (void)come_and_go(pair);
    }
    while (count_fds() > before) {
        assert_false(is_late(since));
        assert_int_equal(jq_transport_poll(pair->transport, -1, 1, &readable), JQ_OK);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        CASE(frames_of_every_size_go_both_ways_whole),
        CASE(a_message_of_parts_is_refused_and_the_next_one_is_read),
        CASE(a_route_to_nobody_is_known_at_once),
        CASE(a_peer_that_does_not_read_makes_nobody_wait),
        CASE(the_end_of_a_connection_is_told_and_its_route_leads_nowhere_soon),
        CASE(everything_received_can_be_read_when_the_end_is_told),
        CASE(ends_that_nobody_takes_stop_nobody_and_do_not_pile_up),
        CASE(connections_that_come_and_go_leave_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
