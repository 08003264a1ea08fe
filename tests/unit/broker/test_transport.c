/* SPDX-License-Identifier: MIT
 *
 * test_transport.c - the ROUTER as the broker uses it, over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "broker/transport.h"
#include "proto/base/alloc.h"

enum { WAIT_MS = 20000 };

struct pair {
    struct jq_metrics metrics;
    struct jq_transport *transport;
    void *context, *dealer;
};

static int open_pair(void **state)
{
    static struct pair pair;
    struct jq_endpoints endpoints;
    struct jq_detail detail = { "" };
    char actual[JQ_ENDPOINT_TEXT_MAX];
    const int wait_ms = WAIT_MS;
    const int none = 0;
    const int few = 4;

    memset(&pair, 0, sizeof(pair));
    if (jq_endpoints_parse("tcp://127.0.0.1:*", false, &endpoints, &detail) != JQ_OK ||
        jq_transport_open(&pair.metrics, &pair.transport, &detail) != JQ_OK ||
        jq_transport_bind(pair.transport, &endpoints.list[0], actual, &detail) != JQ_OK)
        return -1;
    pair.context = zmq_ctx_new();
    pair.dealer = zmq_socket(pair.context, ZMQ_DEALER);
    zmq_setsockopt(pair.dealer, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(pair.dealer, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(pair.dealer, ZMQ_RCVHWM, &few, sizeof(few));
    *state = &pair;
    return zmq_connect(pair.dealer, actual);
}

static int close_pair(void **state)
{
    struct pair *pair = *state;

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
        const enum jq_received received = jq_transport_receive(pair->transport, &route, ret_frame);
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

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        CASE(frames_of_every_size_go_both_ways_whole),
        CASE(a_message_of_parts_is_refused_and_the_next_one_is_read),
        CASE(a_route_to_nobody_is_known_at_once),
        CASE(a_peer_that_does_not_read_makes_nobody_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
