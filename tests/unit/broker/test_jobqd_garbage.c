/* SPDX-License-Identifier: MIT
 *
 * test_jobqd_garbage.c - nothing that a peer sends, or does not read, stops the broker for others.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "jobqd_proc.h"
#include "proto/base/rng.h"

/* An honest client gets its answer: the broker is there, and what came before has been read. */
static void expect_service(struct wire *honest, uint64_t stamp)
{
    struct jq_msg ping = { .tag = JQ_MSG_PING, .u.ping = { .stamp = stamp } };
    struct jq_msg pong;

    wire_send(honest, &ping);
    wire_expect(honest, JQ_MSG_PONG, &pong);
    assert_int_equal(pong.u.pong.stamp, stamp);
}

static void open_honest(struct jobqd *d, struct wire *honest)
{
    struct jq_msg welcome;

    wire_open(d, honest, 77);
    wire_hello(honest, JQ_ROLE_CLIENT, 0, &welcome);
}

static void random_bytes(struct wire *bad, struct jq_rng *rng)
{
    uint8_t bytes[512];
    const size_t size = 1 + (size_t)jq_rng_below(rng, sizeof(bytes));

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)jq_rng_next(rng);
    wire_raw(bad, bytes, size, false);
}

/* A message of ours, with one byte changed, or cut, or as it is. */
static void damaged_message(struct wire *bad, struct jq_rng *rng)
{
    struct jq_buf arena = { 0 }, frame = { 0 };
    struct jq_msg msg;

    assert_int_equal(jq_msg_random(rng, &arena, &msg), JQ_OK);
    assert_int_equal(jq_msg_encode(&msg, &frame), JQ_OK);
    const uint64_t kind = jq_rng_below(rng, 3);
    if (kind == 0)
        frame.data[jq_rng_below(rng, frame.size)] ^= (uint8_t)(1 + jq_rng_below(rng, 255));
    wire_raw(bad, frame.data, kind == 1 ? jq_rng_below(rng, frame.size) : frame.size, false);
    jq_buf_fini(&arena);
    jq_buf_fini(&frame);
}

static void parts(struct wire *bad, struct jq_rng *rng)
{
    const uint64_t count = 1 + jq_rng_below(rng, 20);

    for (uint64_t i = 0; i < count; i++)
        wire_raw(bad, "part", (size_t)jq_rng_below(rng, 5), true);
    wire_raw(bad, "", 0, false);
}

static void garbage_of_every_kind_harms_nobody_else(void **state)
{
    struct jobqd *d = *state;
    static const uint8_t bomb[] = { 0xdd, 0x7f, 0xff, 0xff, 0xff };
    struct wire honest, bad;
    struct jq_rng rng;

    jq_rng_init(&rng, 20261124);
    jobqd_start(d, NULL);
    open_honest(d, &honest);
    for (uint64_t round = 0; round < 40; round++) {
        wire_open(d, &bad, 0);
        for (int i = 0; i < 50; i++) {
            random_bytes(&bad, &rng);
            damaged_message(&bad, &rng);
            parts(&bad, &rng);
            wire_raw(&bad, bomb, sizeof(bomb), false);
            wire_raw(&bad, "", 0, false);
        }
        expect_service(&honest, round + 1);
        wire_close(&bad);
    }
    wire_close(&honest);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_non_null(strstr(jobqd_log(d), "refused_proto="));
}

static void a_stranger_is_told_to_say_hello_and_a_newer_one_which_versions(void **state)
{
    struct jobqd *d = *state;
    static const uint8_t newer[] = { 0x94, 99, JQ_MSG_PING, 5, 1 };
    struct jq_msg ping = { .tag = JQ_MSG_PING, .correlation = 4 };
    struct jq_msg error;
    struct wire stranger;

    jobqd_start(d, NULL);
    wire_open(d, &stranger, 5);
    wire_send(&stranger, &ping);
    wire_expect(&stranger, JQ_MSG_ERROR, &error);
    assert_int_equal(error.u.error.error, JQ_ENOHELLO);
    assert_int_equal(error.correlation, 4);
    wire_raw(&stranger, newer, sizeof(newer), false);
    wire_expect(&stranger, JQ_MSG_ERROR, &error);
    assert_int_equal(error.u.error.error, JQ_EVERSION);
    assert_int_equal(error.correlation, 5);
    wire_close(&stranger);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
}

/* ---- below ZeroMQ ---- */

static int connect_raw(const struct jobqd *d)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->url + 6);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool is_closed_by_broker(int fd)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    char bytes[256];

    while (poll(&wait, 1, JOBQD_WAIT_MS) == 1) {
        if (recv(fd, bytes, sizeof(bytes), 0) <= 0)
            return true;
    }
    return false;
}

static void another_protocol_is_hung_up_on(void **state)
{
    struct jobqd *d = *state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct wire honest;

    jobqd_start(d, NULL);
    open_honest(d, &honest);
    const int fd = connect_raw(d);
    assert_int_equal(send(fd, http, sizeof(http) - 1, MSG_NOSIGNAL), sizeof(http) - 1);
    assert_true(is_closed_by_broker(fd));
    close(fd);
    expect_service(&honest, 1);
    wire_close(&honest);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_non_null(strstr(jobqd_log(d), "connections_foreign=1"));
}

/* The broker's greeting and READY: whoever speaks before them is hung up on by libzmq. */
static void await_handshake(int fd)
{
    uint8_t bytes[256];
    size_t got = 0;

    while (got < 66 || got < 66U + bytes[65]) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&wait, 1, JOBQD_WAIT_MS), 1);
        const ssize_t part = recv(fd, bytes + got, sizeof(bytes) - got, 0);
        assert_true(part > 0);
        got += (size_t)part;
    }
}

/* A message of parts without end is kept by libzmq until memory runs out, unless it is stopped. */
static void an_endless_message_is_cut_off(void **state)
{
    struct jobqd *d = *state;
    static const char *const flags[] = { "--peers-in-max", "40M", NULL };
    static const uint8_t greeting[64] = { 0xff, 0,    0, 0, 0,   0,   0,   0,
                                          1,    0x7f, 3, 0, 'N', 'U', 'L', 'L' };
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06"
                                   "DEALER";
    uint8_t part[65536 + 9] = { 1 | 2, 0, 0, 0, 0, 0, 1, 0, 0 };
    struct wire honest;
    ssize_t sent = 0;
    int64_t total = 0;

    jobqd_start(d, flags);
    open_honest(d, &honest);
    const int fd = connect_raw(d);
    assert_int_equal(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL), sizeof(greeting));
    assert_int_equal(send(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL), sizeof(ready) - 1);
    await_handshake(fd);
    while (sent >= 0 && total < 400 << 20) {
        sent = send(fd, part, sizeof(part), MSG_NOSIGNAL);
        total += sent > 0 ? sent : 0;
    }
    assert_true(sent < 0);
    assert_true(total > 30 << 20);
    close(fd);
    expect_service(&honest, 1);
    wire_close(&honest);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_non_null(strstr(jobqd_log(d), "connections_flooding=1"));
}

static void more_connections_than_allowed_are_closed_at_once(void **state)
{
    struct jobqd *d = *state;
    static const char *const flags[] = { "--peers-max", "8", NULL };
    enum { MANY = 200 };
    struct wire honest;
    int fds[MANY];

    jobqd_start(d, flags);
    open_honest(d, &honest);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_raw(d);
    assert_true(is_closed_by_broker(fds[MANY - 1]));
    expect_service(&honest, 1);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    expect_service(&honest, 2);
    wire_close(&honest);
    assert_int_equal(jobqd_end(d, SIGTERM), 0);
    assert_non_null(strstr(jobqd_log(d), "connections_refused="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(garbage_of_every_kind_harms_nobody_else, jobqd_setup,
                                        jobqd_teardown),
        cmocka_unit_test_setup_teardown(
            a_stranger_is_told_to_say_hello_and_a_newer_one_which_versions, jobqd_setup,
            jobqd_teardown),
        cmocka_unit_test_setup_teardown(another_protocol_is_hung_up_on, jobqd_setup,
                                        jobqd_teardown),
        cmocka_unit_test_setup_teardown(an_endless_message_is_cut_off, jobqd_setup, jobqd_teardown),
        cmocka_unit_test_setup_teardown(more_connections_than_allowed_are_closed_at_once,
                                        jobqd_setup, jobqd_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
