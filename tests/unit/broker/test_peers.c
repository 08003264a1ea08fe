/* SPDX-License-Identifier: MIT
 *
 * test_peers.c - every bound on peers costs the peer that is over it, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/peers.h"
#include "proto/base/alloc.h"

enum { ROUTES = 64, OUT_MAX = 1000, FD = 100 }; /* FD + route is the descriptor of a route */

struct wire {
    enum jq_sent answer[ROUTES];
    unsigned sent[ROUTES];
    uint8_t last[ROUTES];
    struct jq_metrics metrics;
    struct jq_peers *peers;
};

static enum jq_sent wire_send(void *arg, uint64_t route, uint8_t *data, size_t size,
                              struct jq_in_flight *in_flight)
{
    struct wire *wire = arg;

    (void)in_flight;
    if (wire->answer[route] == JQ_SENT) {
        wire->sent[route]++;
        wire->last[route] = size ? data[0] : 0;
        jq_free(data);
    }
    return wire->answer[route];
}

static struct wire *open_wire(size_t peers_max)
{
    struct wire *wire = jq_alloc_zero(1, sizeof(*wire));
    const struct jq_peers_conf conf = { .peers_max = peers_max,
                                        .out_max_bytes = OUT_MAX,
                                        .silence_ms = 5000,
                                        .send = wire_send,
                                        .send_arg = wire };

    assert_non_null(wire);
    wire->peers = jq_peers_new(&conf, &wire->metrics);
    assert_non_null(wire->peers);
    return wire;
}

static void close_wire(struct wire *wire)
{
    jq_peers_check(wire->peers);
    jq_peers_free(&wire->peers);
    jq_free(wire);
}

static uint64_t hear(struct wire *wire, uint64_t route, jq_ms now)
{
    uint64_t peer = 0;

    assert_int_equal(jq_peers_hear(wire->peers, route, (int)route + FD, now, &peer), JQ_OK);
    assert_int_not_equal(peer, 0);
    return peer;
}

static void send_byte(struct wire *wire, uint64_t peer, uint8_t byte, size_t size, jq_ms now)
{
    uint8_t *data = jq_alloc(size);

    assert_non_null(data);
    memset(data, byte, size);
    if (!jq_peers_send(wire->peers, peer, data, size, now))
        jq_free(data);
    jq_peers_check(wire->peers);
}

static void a_route_keeps_its_number_and_a_number_is_never_used_again(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t first = hear(wire, 1, 0);

    assert_int_equal(hear(wire, 1, 1), first);
    jq_peers_close(wire->peers, first);
    assert_int_not_equal(hear(wire, 1, 2), first);
    assert_int_equal(jq_peers_count(wire->peers), 1);
    close_wire(wire);
}

static void frames_wait_in_order_for_a_peer_that_reads_slowly(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t peer = hear(wire, 1, 0);

    wire->answer[1] = JQ_SENT_FULL;
    for (uint8_t i = 1; i <= 3; i++)
        send_byte(wire, peer, i, 10, 0);
    assert_true(jq_peers_waiting_bytes(wire->peers) >= 30);
    assert_true(jq_peers_next_at(wire->peers) <= 10);
    wire->answer[1] = JQ_SENT;
    send_byte(wire, peer, 4, 10, 0); /* does not overtake */
    assert_int_equal(wire->sent[1], 0);
    jq_peers_tick(wire->peers, 100);
    assert_int_equal(wire->sent[1], 4);
    assert_int_equal(wire->last[1], 4);
    assert_int_equal(jq_peers_waiting_bytes(wire->peers), 0);
    close_wire(wire);
}

static void a_peer_that_does_not_read_is_lost_alone(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t slow = hear(wire, 1, 0);
    const uint64_t good = hear(wire, 2, 0);

    wire->answer[1] = JQ_SENT_FULL;
    for (int i = 0; i < 20; i++) {
        send_byte(wire, slow, 1, 100, 0);
        send_byte(wire, good, 2, 100, 0);
    }
    assert_int_equal(wire->sent[2], 20);
    assert_int_equal(wire->metrics.peers_slow, 1);
    assert_int_equal(jq_peers_gone(wire->peers), slow);
    assert_true(jq_peers_waiting_bytes(wire->peers) <= OUT_MAX);
    jq_peers_told(wire->peers, slow);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    assert_int_equal(jq_peers_count(wire->peers), 1);
    close_wire(wire);
}

static void a_peer_that_cannot_be_reached_is_reported_once(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t peer = hear(wire, 1, 0);

    wire->answer[1] = JQ_SENT_NOBODY;
    send_byte(wire, peer, 1, 10, 0);
    send_byte(wire, peer, 2, 10, 0);
    assert_int_equal(wire->metrics.peers_unreachable, 1);
    assert_int_equal(wire->metrics.frames_late, 1);
    assert_int_equal(jq_peers_gone(wire->peers), peer);
    /* Its route may be somebody else's by now. */
    assert_int_not_equal(hear(wire, 1, 1), peer);
    jq_peers_told(wire->peers, peer);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    close_wire(wire);
}

static void a_full_table_makes_room_by_the_oldest_stranger(void **state)
{
    (void)state;
    struct wire *wire = open_wire(3);
    uint64_t peer;
    const uint64_t known = hear(wire, 1, 0);

    jq_peers_greet(wire->peers, known);
    const uint64_t stranger = hear(wire, 2, 0);
    (void)hear(wire, 3, 500);
    assert_int_equal(jq_peers_hear(wire->peers, 4, -1, 900, &peer), JQ_EBUSY);
    (void)hear(wire, 4, 1100);
    assert_int_equal(jq_peers_gone(wire->peers), stranger);
    assert_int_equal(hear(wire, 1, 1100), known);
    close_wire(wire);
}

static void a_peer_without_hello_is_forgotten_and_one_with_it_is_not(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t known = hear(wire, 1, 0);
    const uint64_t stranger = hear(wire, 2, 0);

    jq_peers_greet(wire->peers, known);
    assert_int_equal(jq_peers_next_at(wire->peers), 5000);
    jq_peers_tick(wire->peers, 5000);
    assert_int_equal(jq_peers_gone(wire->peers), stranger);
    assert_int_equal(jq_peers_next_at(wire->peers), JQ_NEVER);
    assert_int_equal(hear(wire, 1, 99000), known);
    close_wire(wire);
}

static void refusals_are_answered_ten_times_a_second(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t peer = hear(wire, 1, 0);
    int allowed = 0;

    for (int i = 0; i < 100; i++)
        allowed += jq_peers_may_refuse(wire->peers, peer, 5000);
    assert_int_equal(allowed, 10);
    assert_int_equal(wire->metrics.errors_withheld, 90);
    assert_true(jq_peers_may_refuse(wire->peers, peer, 6000));
    close_wire(wire);
}

static void no_allocation_that_fails_leaves_half_a_peer(void **state)
{
    (void)state;

    for (int countdown = 0; countdown < 8; countdown++) {
        struct wire *wire = open_wire(8);
        uint64_t peer = 0;
        (void)jq_alloc_fail_after(countdown, 0);
        const enum jq_err err = jq_peers_hear(wire->peers, 1, 1, 0, &peer);
        (void)jq_alloc_fail_after(-1, 0);
        assert_true(err == JQ_OK || err == JQ_ENOMEM);
        assert_int_equal(jq_peers_count(wire->peers), err == JQ_OK);
        close_wire(wire);
    }
}

static void a_dropped_peer_is_known_no_more(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t peer = hear(wire, 1, 0);

    jq_peers_drop(wire->peers, peer);
    jq_peers_drop(wire->peers, peer);
    assert_int_equal(wire->metrics.peers_shed, 1);
    assert_int_equal(jq_peers_gone(wire->peers), peer);
    assert_int_not_equal(hear(wire, 1, 1), peer);
    close_wire(wire);
}

/* ---- connections that end ---- */

static void hear_by(struct wire *wire, uint64_t route, int fd, jq_ms now)
{
    uint64_t peer = 0;

    assert_int_equal(jq_peers_hear(wire->peers, route, fd, now, &peer), JQ_OK);
    jq_peers_check(wire->peers);
}

static void end(struct wire *wire, int fd, jq_ms now)
{
    jq_peers_ended(wire->peers, fd, now);
    jq_peers_check(wire->peers);
    jq_peers_tick(wire->peers, now);
    jq_peers_check(wire->peers);
}

static void a_peer_whose_connection_has_ended_is_gone_at_once(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t ended = hear(wire, 1, 0);

    jq_peers_greet(wire->peers, ended);
    (void)hear(wire, 2, 0);
    wire->answer[1] = JQ_SENT_NOBODY;
    end(wire, FD + 1, 10);
    assert_int_equal(jq_peers_gone(wire->peers), ended);
    assert_int_equal(wire->metrics.peers_ended, 1);
    assert_int_equal(wire->sent[2], 0);
    jq_peers_told(wire->peers, ended);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    assert_int_equal(jq_peers_count(wire->peers), 1);
    close_wire(wire);
}

static void a_route_that_lasts_a_little_longer_than_its_connection_is_tried_again(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t ended = hear(wire, 1, 0);

    end(wire, FD + 1, 10);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    const jq_ms again = jq_peers_next_at(wire->peers);
    assert_true(again > 10 && again <= 15);
    wire->answer[1] = JQ_SENT_FULL; /* which says no more */
    jq_peers_tick(wire->peers, again);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    wire->answer[1] = JQ_SENT_NOBODY;
    jq_peers_tick(wire->peers, jq_peers_next_at(wire->peers));
    assert_int_equal(jq_peers_gone(wire->peers), ended);
    assert_int_equal(wire->sent[1], 1);
    close_wire(wire);
}

static void a_live_peer_on_a_reused_descriptor_is_left_alone_after_a_few_tries(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t live = hear(wire, 1, 0);
    int ticks = 0;

    jq_peers_greet(wire->peers, live);
    end(wire, FD + 1, 0);
    for (jq_ms at; (at = jq_peers_next_at(wire->peers)) != JQ_NEVER; ticks++) {
        assert_true(at <= 2000 && ticks < 10);
        jq_peers_tick(wire->peers, at);
        jq_peers_check(wire->peers);
    }
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    assert_true(wire->sent[1] > 0 && wire->sent[1] <= 5);
    /* And when it ends, it is gone as any other. */
    wire->answer[1] = JQ_SENT_NOBODY;
    end(wire, FD + 1, 3000);
    assert_int_equal(jq_peers_gone(wire->peers), live);
    close_wire(wire);
}

static void of_peers_that_had_one_descriptor_the_dead_are_gone(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);

    for (uint64_t route = 1; route <= 4; route++)
        hear_by(wire, route, 9, 0);
    hear_by(wire, 4, 10, 0); /* the route has a new connection */
    wire->answer[1] = wire->answer[3] = wire->answer[4] = JQ_SENT_NOBODY;
    end(wire, 9, 10);
    assert_int_equal(wire->metrics.peers_ended, 2);
    assert_int_equal(jq_peers_count(wire->peers), 2);
    wire->answer[2] = JQ_SENT_NOBODY;
    end(wire, 9, 20);
    end(wire, 10, 20);
    end(wire, 11, 20);
    assert_int_equal(wire->metrics.peers_ended, 4);
    assert_int_equal(jq_peers_count(wire->peers), 0);
    close_wire(wire);
}

static void two_hundred_that_come_and_go_by_one_descriptor_leave_nothing(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);

    for (int i = 0; i < 200; i++) {
        wire->answer[1] = JQ_SENT;
        hear_by(wire, 1, 9, i);
        wire->answer[1] = JQ_SENT_NOBODY;
        end(wire, 9, i);
        jq_peers_told(wire->peers, jq_peers_gone(wire->peers));
        assert_int_equal(jq_peers_count(wire->peers), 0);
    }
    assert_int_equal(wire->metrics.peers_ended, 200);
    assert_int_equal(jq_peers_next_at(wire->peers), JQ_NEVER);
    close_wire(wire);
}

static void a_doubt_outlasts_a_want_of_memory(void **state)
{
    (void)state;
    struct wire *wire = open_wire(8);
    const uint64_t ended = hear(wire, 1, 0);

    wire->answer[1] = JQ_SENT_NOBODY;
    (void)jq_alloc_fail_after(0, 0);
    end(wire, FD + 1, 10);
    (void)jq_alloc_fail_after(-1, 0);
    assert_int_equal(jq_peers_gone(wire->peers), 0);
    jq_peers_tick(wire->peers, jq_peers_next_at(wire->peers));
    assert_int_equal(jq_peers_gone(wire->peers), ended);
    close_wire(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_keeps_its_number_and_a_number_is_never_used_again),
        cmocka_unit_test(frames_wait_in_order_for_a_peer_that_reads_slowly),
        cmocka_unit_test(a_peer_that_does_not_read_is_lost_alone),
        cmocka_unit_test(a_peer_that_cannot_be_reached_is_reported_once),
        cmocka_unit_test(a_full_table_makes_room_by_the_oldest_stranger),
        cmocka_unit_test(a_peer_without_hello_is_forgotten_and_one_with_it_is_not),
        cmocka_unit_test(refusals_are_answered_ten_times_a_second),
        cmocka_unit_test(no_allocation_that_fails_leaves_half_a_peer),
        cmocka_unit_test(a_dropped_peer_is_known_no_more),
        cmocka_unit_test(a_peer_whose_connection_has_ended_is_gone_at_once),
        cmocka_unit_test(a_route_that_lasts_a_little_longer_than_its_connection_is_tried_again),
        cmocka_unit_test(a_live_peer_on_a_reused_descriptor_is_left_alone_after_a_few_tries),
        cmocka_unit_test(of_peers_that_had_one_descriptor_the_dead_are_gone),
        cmocka_unit_test(two_hundred_that_come_and_go_by_one_descriptor_leave_nothing),
        cmocka_unit_test(a_doubt_outlasts_a_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
