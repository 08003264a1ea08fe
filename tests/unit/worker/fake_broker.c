/* SPDX-License-Identifier: MIT
 *
 * fake_broker.c - see fake_broker.h. */
#include "fake_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

int broker_setup(void **state)
{
    struct fake_broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        return -1;
    broker->heartbeat_ms = 30000;
    strcpy(broker->directory, "/tmp/jq-fake-XXXXXX");
    if (mkdtemp(broker->directory) == NULL)
        return -1;
    snprintf(broker->url, sizeof broker->url, "ipc://%s/socket", broker->directory);
    broker->context = zmq_ctx_new();
    *state = broker;
    broker_bind(broker);
    return 0;
}

int broker_teardown(void **state)
{
    struct fake_broker *broker = *state;
    if (broker->pid != 0) {
        kill(broker->pid, SIGKILL);
        waitpid(broker->pid, NULL, 0);
    }
    broker_unbind(broker);
    zmq_ctx_term(broker->context);
    char path[64];
    snprintf(path, sizeof path, "%s/socket", broker->directory);
    unlink(path);
    rmdir(broker->directory);
    free(broker->frame);
    free(broker);
    return 0;
}

void broker_bind(struct fake_broker *broker)
{
    const int linger = 0;
    broker->router = zmq_socket(broker->context, ZMQ_ROUTER);
    assert_non_null(broker->router);
    zmq_setsockopt(broker->router, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_bind(broker->router, broker->url), 0);
}

void broker_unbind(struct fake_broker *broker)
{
    if (broker->router != NULL)
        zmq_close(broker->router);
    broker->router = NULL;
    broker->worker.size = 0;
    broker->beat.size = 0;
}

static bool has_partner(const char *const *flags)
{
    for (; *flags != NULL; flags++) {
        if (strcmp(*flags, "--die-with") == 0)
            return true;
    }
    return false;
}

void broker_worker(struct fake_broker *broker, const char *const *flags)
{
    enum { WORDS = 24 };
    char *argv[WORDS];
    int count = 0;
    argv[count++] = strdup(JQ_TEST_WORKER);
    argv[count++] = strdup("--url");
    argv[count++] = strdup(broker->url);
    if (!has_partner(flags)) {
        char pid[16];
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        argv[count++] = strdup("--die-with"); /* nothing is left if the test is stopped */
        argv[count++] = strdup(pid);
    }
    for (; *flags != NULL && count < WORDS - 1; flags++)
        argv[count++] = strdup(*flags);
    argv[count] = NULL;
    assert_int_equal(posix_spawn(&broker->pid, JQ_TEST_WORKER, NULL, NULL, argv, environ), 0);
    while (count > 0)
        free(argv[--count]);
}

static void send_to(struct fake_broker *broker, const struct route *route, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    assert_int_equal(jq_msg_encode(msg, &frame), JQ_OK);
    assert_true(zmq_send(broker->router, route->id, route->size, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(broker->router, frame.data, frame.size, 0) >= 0);
    jq_buf_fini(&frame);
}

void broker_send(struct fake_broker *broker, const struct jq_msg *msg)
{
    assert_true(broker->worker.size > 0);
    send_to(broker, &broker->worker, msg);
}

static void receive(struct fake_broker *broker, struct route *route, struct jq_msg *msg)
{
    zmq_msg_t part;
    const int size = zmq_recv(broker->router, route->id, sizeof route->id, 0);
    assert_true(size > 0);
    route->size = (size_t)size;
    zmq_msg_init(&part);
    assert_true(zmq_msg_recv(&part, broker->router, 0) >= 0);
    assert_false(zmq_msg_more(&part));
    const size_t bytes = zmq_msg_size(&part);
    free(broker->frame);
    broker->frame = malloc(bytes + 1);
    assert_non_null(broker->frame);
    memcpy(broker->frame, zmq_msg_data(&part), bytes);
    zmq_msg_close(&part);
    assert_int_equal(jq_msg_decode(jq_view(broker->frame, bytes), msg), JQ_OK);
}

static bool same(const struct route *a, const struct route *b)
{
    return a->size == b->size && memcmp(a->id, b->id, a->size) == 0;
}

/* What is answered without the test. */
static bool answered(struct fake_broker *broker, const struct route *from, const struct jq_msg *msg)
{
    if (msg->tag == JQ_MSG_HELLO && msg->u.hello.role == JQ_ROLE_BEAT) {
        broker->beat = *from;
        return true;
    }
    if (msg->tag == JQ_MSG_HELLO) {
        broker->worker = *from;
        broker->session = msg->u.hello.session;
        broker->hello_number = msg->correlation;
        return false;
    }
    const bool known = same(from, &broker->worker) || same(from, &broker->beat);
    struct jq_msg answer = { .tag = JQ_MSG_ERROR, .correlation = msg->correlation };
    if (!known)
        answer.u.error.error = JQ_ENOHELLO;
    else if (msg->tag == JQ_MSG_BEAT)
        answer = (struct jq_msg){ .tag = JQ_MSG_BEATEN, .u.beaten.number = msg->u.beat.number };
    else if (msg->tag == JQ_MSG_PING)
        answer = (struct jq_msg){ .tag = JQ_MSG_PONG, .u.pong.stamp = msg->u.ping.stamp };
    else
        return false;
    broker->beats += known && msg->tag == JQ_MSG_BEAT;
    send_to(broker, from, &answer);
    return true;
}

struct jq_msg broker_next(struct fake_broker *broker)
{
    struct route from;
    struct jq_msg msg;
    do {
        receive(broker, &from, &msg);
    } while (answered(broker, &from, &msg));
    return msg;
}

struct jq_msg broker_await(struct fake_broker *broker, enum jq_tag tag)
{
    for (;;) {
        const struct jq_msg msg = broker_next(broker);
        if (msg.tag == tag)
            return msg;
    }
}

void broker_await_beat(struct fake_broker *broker)
{
    const uint64_t before = broker->beats;
    struct route from;
    struct jq_msg msg;
    while (broker->beats == before) {
        receive(broker, &from, &msg);
        (void)answered(broker, &from, &msg);
    }
}

struct jq_msg broker_welcome(struct fake_broker *broker, struct jq_records lost)
{
    const struct jq_msg hello = broker_await(broker, JQ_MSG_HELLO);
    const struct jq_msg welcome = {
        .tag = JQ_MSG_WELCOME,
        .correlation = hello.correlation,
        .u.welcome = {
            .version = 1,
            .session = hello.u.hello.session,
            .incarnation = 1,
            .heartbeat_ms = broker->heartbeat_ms,
            .lease_ms = 60000,
            .software = jq_view_str("fake"),
            .pid = (uint64_t)getpid(),
            .store_id = jq_view_str("0123456789abcdef"),
            .lost = lost,
        },
    };
    broker_send(broker, &welcome);
    return hello;
}

void broker_grant(struct fake_broker *broker, uint64_t id, uint64_t fence, const char *handler,
                  struct jq_view payload)
{
    struct jq_buf jobs = { 0 };
    const struct jq_grant grant = {
        .id = id,
        .fence = fence,
        .attempt = 1,
        .queue = jq_view_str("default"),
        .handler = jq_view_str(handler),
        .payload = payload,
    };
    jq_grant_write(&jobs, &grant);
    const struct jq_msg msg = { .tag = JQ_MSG_GRANTS, .u.grants.jobs = jq_records_of(1, &jobs) };
    broker_send(broker, &msg);
    jq_buf_fini(&jobs);
}

void broker_grant_shell(struct fake_broker *broker, uint64_t id, uint64_t fence, const char *script)
{
    static const char *const words[] = { "/bin/sh", "-c" };
    struct jq_buf argv = { 0 };
    struct jq_buf env = { 0 };
    struct jq_buf payload = { 0 };
    for (int i = 0; i < 2; i++)
        jq_bytes_write(&argv, &(struct jq_bytes){ .value = jq_view_str(words[i]) });
    jq_bytes_write(&argv, &(struct jq_bytes){ .value = jq_view_str(script) });
    jq_bytes_write(&env, &(struct jq_bytes){ .value = jq_view_str("PATH=/usr/bin:/bin") });
    const struct jq_exec_spec spec = {
        .argv = jq_records_of(3, &argv),
        .env = jq_records_of(1, &env),
    };
    jq_exec_spec_write(&payload, &spec);
    broker_grant(broker, id, fence, "exec", jq_buf_view(&payload));
    jq_buf_fini(&argv);
    jq_buf_fini(&env);
    jq_buf_fini(&payload);
}

struct jq_outcome broker_await_done(struct fake_broker *broker, uint64_t id, uint64_t fence)
{
    const struct jq_msg msg = broker_await(broker, JQ_MSG_DONE);
    struct jq_reader reader = jq_records_reader(msg.u.done.outcomes);
    struct jq_outcome outcome;
    assert_int_equal(msg.u.done.outcomes.count, 1);
    assert_true(jq_outcome_next(&reader, &outcome));
    assert_int_equal(outcome.id, id);
    assert_int_equal(outcome.fence, fence);
    return outcome;
}

void broker_ack(struct fake_broker *broker, uint64_t id, uint64_t fence)
{
    struct jq_buf each = { 0 };
    jq_held_write(&each, &(struct jq_held){ .id = id, .fence = fence });
    const struct jq_msg msg = { .tag = JQ_MSG_DONE_ACK,
                                .u.done_ack.each = jq_records_of(1, &each) };
    broker_send(broker, &msg);
    jq_buf_fini(&each);
}

pid_t broker_job_pid(struct fake_broker *broker, uint64_t id)
{
    char text[32] = "";
    size_t size = 0;
    while (strchr(text, '\n') == NULL) {
        const struct jq_msg read = {
            .tag = JQ_MSG_LOG_READ,
            .correlation = 77,
            .u.log_read = { .id = id, .stream = 1, .offset = size, .limit = 16, .follow = 1 },
        };
        broker_send(broker, &read);
        const struct jq_msg data = broker_await(broker, JQ_MSG_LOG_DATA);
        assert_int_equal(data.correlation, 77);
        assert_int_equal(data.u.log_data.error, 0);
        assert_int_equal(data.u.log_data.offset, size);
        assert_true(size + data.u.log_data.bytes.size < sizeof text);
        memcpy(text + size, data.u.log_data.bytes.data, data.u.log_data.bytes.size);
        size += data.u.log_data.bytes.size;
    }
    const long pid = strtol(text, NULL, 10);
    assert_true(pid > 1);
    return (pid_t)pid;
}

int broker_worker_status(struct fake_broker *broker)
{
    int status = 0;
    assert_int_equal(waitpid(broker->pid, &status, 0), broker->pid);
    broker->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void broker_await_gone(pid_t pid)
{
    const int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        assert_int_equal(errno, ESRCH);
        return;
    }
    struct pollfd item = { .fd = fd, .events = POLLIN };
    while (poll(&item, 1, -1) < 0)
        assert_int_equal(errno, EINTR);
    close(fd);
}
