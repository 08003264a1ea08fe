/* SPDX-License-Identifier: MIT
 *
 * jobqd_proc.c - see jobqd_proc.h. */
#include "jobqd_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "proto/base/clock.h"

/* ---- the process ---- */

int jobqd_setup(void **state)
{
    static struct jobqd jobqd;

    memset(&jobqd, 0, sizeof(jobqd));
    snprintf(jobqd.directory, sizeof(jobqd.directory), "/tmp/jq-d-XXXXXX");
    if (!mkdtemp(jobqd.directory))
        return -1;
    snprintf(jobqd.url, sizeof(jobqd.url), "ipc://%s/q.sock", jobqd.directory);
    snprintf(jobqd.store, sizeof(jobqd.store), "%s/q.db", jobqd.directory);
    snprintf(jobqd.log, sizeof(jobqd.log), "%s/stderr", jobqd.directory);
    jobqd.context = zmq_ctx_new();
    *state = &jobqd;
    return jobqd.context ? 0 : -1;
}

static void remove_directory(const char *directory)
{
    char path[512];
    struct dirent *entry;
    DIR *dir = opendir(directory);

    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (unlink(path) != 0 && errno == EISDIR)
            remove_directory(path);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(directory);
}

int jobqd_teardown(void **state)
{
    struct jobqd *d = *state;

    if (d->pid) {
        kill(d->pid, SIGKILL);
        waitpid(d->pid, NULL, 0);
    }
    for (int i = 0; i < JOBQD_WIRES_MAX; i++) {
        if (d->sockets[i])
            zmq_close(d->sockets[i]);
    }
    zmq_ctx_term(d->context);
    remove_directory(d->directory);
    return 0;
}

/* Starts `flags` behind the program's name; what comes over fd 3 until its end is in `ready`. */
static void spawn(struct jobqd *d, char *const *argv, char *ready, size_t size)
{
    posix_spawn_file_actions_t actions;
    int fds[2];
    size_t got = 0;
    ssize_t part;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 3);
    posix_spawn_file_actions_addopen(&actions, 2, d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&d->pid, JOBQD_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    struct pollfd wait = { .fd = fds[0], .events = POLLIN };
    while (got + 1 < size && poll(&wait, 1, JOBQD_WAIT_MS) == 1 &&
           (part = read(fds[0], ready + got, size - 1 - got)) > 0)
        got += (size_t)part;
    ready[got] = '\0';
    close(fds[0]);
}

static void add(char **argv, int *count, const char *word)
{
    assert_true(*count + 1 < JOBQD_ARGS_MAX);
    argv[*count] = (char *)(uintptr_t)word;
    argv[++*count] = NULL;
}

static void start(struct jobqd *d, const char *const *flags, bool as_given, char *ready,
                  size_t size)
{
    char *argv[JOBQD_ARGS_MAX];
    int count = 0;

    add(argv, &count, "jobqd");
    if (!as_given) {
        const char *const own[] = { "--ready-fd", "3",      "--url",    d->url,
                                    "--store",    d->store, "--config", "/dev/null" };
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            add(argv, &count, own[i]);
    }
    for (; flags && *flags; flags++)
        add(argv, &count, *flags);
    spawn(d, argv, ready, size);
}

void jobqd_start(struct jobqd *d, const char *const *flags)
{
    char ready[256];
    long pid = 0;

    start(d, flags, false, ready, sizeof(ready));
    if (sscanf(ready, "READY=1 %95s %ld", d->url, &pid) != 2)
        fail_msg("jobqd is not ready: '%s'\n%s", ready, jobqd_log(d));
    assert_int_equal(pid, d->pid);
}

int jobqd_refused(struct jobqd *d, const char *const *flags, bool as_given)
{
    const pid_t running = d->pid;
    char ready[256];

    start(d, flags, as_given, ready, sizeof(ready));
    const int status = jobqd_wait(d);
    d->pid = running;
    assert_string_equal(ready, "");
    return status;
}

int jobqd_wait(struct jobqd *d)
{
    const uint64_t until = jq_clock_mono_ns() + JOBQD_WAIT_MS * UINT64_C(1000000);
    const struct timespec pause = { .tv_nsec = 2000000 };
    int status = 0;

    while (waitpid(d->pid, &status, WNOHANG) == 0) {
        if (jq_clock_mono_ns() > until)
            fail_msg("jobqd does not end\n%s", jobqd_log(d));
        nanosleep(&pause, NULL);
    }
    d->pid = 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int jobqd_end(struct jobqd *d, int signal_number)
{
    kill(d->pid, signal_number);
    return jobqd_wait(d);
}

const char *jobqd_log(const struct jobqd *d)
{
    static char text[65536];
    const int fd = open(d->log, O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

/* ---- a peer ---- */

void wire_open(struct jobqd *d, struct wire *wire, uint64_t session)
{
    const int linger = 0;
    const int wait_ms = JOBQD_WAIT_MS;

    *wire = (struct wire){ .socket = zmq_socket(d->context, ZMQ_DEALER), .session = session };
    assert_non_null(wire->socket);
    for (int i = 0; !wire->slot; i++) {
        assert_true(i < JOBQD_WIRES_MAX);
        if (!d->sockets[i])
            wire->slot = &d->sockets[i];
    }
    *wire->slot = wire->socket;
    zmq_setsockopt(wire->socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(wire->socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(wire->socket, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
    assert_int_equal(zmq_connect(wire->socket, d->url), 0);
}

void wire_close(struct wire *wire)
{
    zmq_close(wire->socket);
    *wire->slot = NULL;
    jq_buf_fini(&wire->frame);
}

void wire_raw(struct wire *wire, const void *data, size_t size, bool more)
{
    assert_int_equal(zmq_send(wire->socket, data, size, more ? ZMQ_SNDMORE : 0), size);
}

void wire_send(struct wire *wire, struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };

    if (msg->correlation == 0)
        msg->correlation = ++wire->correlation;
    assert_int_equal(jq_msg_encode(msg, &frame), JQ_OK);
    wire_raw(wire, frame.data, frame.size, false);
    jq_buf_fini(&frame);
}

static bool receive_any(struct wire *wire, int flags)
{
    zmq_msg_t msg;

    zmq_msg_init(&msg);
    const int size = zmq_msg_recv(&msg, wire->socket, flags);
    jq_buf_clear(&wire->frame);
    if (size >= 0)
        jq_buf_append(&wire->frame, zmq_msg_data(&msg), (size_t)size);
    zmq_msg_close(&msg);
    return size >= 0;
}

/* That the broker makes sure of us is for nobody to see. */
static bool receive(struct wire *wire, int flags)
{
    struct jq_msg msg;

    while (receive_any(wire, flags)) {
        if (jq_msg_decode(jq_buf_view(&wire->frame), &msg) != JQ_OK || msg.tag != JQ_MSG_PONG ||
            msg.correlation != 0)
            return true;
    }
    return false;
}

void wire_expect(struct wire *wire, enum jq_tag tag, struct jq_msg *ret)
{
    struct jq_buf text = { 0 };

    if (!receive(wire, 0))
        fail_msg("no %s came", jq_msg_name(tag));
    assert_int_equal(jq_msg_decode(jq_buf_view(&wire->frame), ret), JQ_OK);
    if (ret->tag == tag)
        return;
    jq_msg_print(ret, &text);
    fail_msg("expected %s, got %.*s", jq_msg_name(tag), JQ_VIEW_ARG(jq_buf_view(&text)));
}

bool wire_silent(struct wire *wire)
{
    return !receive(wire, ZMQ_DONTWAIT);
}

void wire_hello(struct wire *wire, enum jq_role role, unsigned slots, struct jq_msg *ret_welcome)
{
    struct jq_msg hello = { .tag = JQ_MSG_HELLO,
                            .u.hello = { .version_min = JQ_PROTOCOL_MIN,
                                         .version_max = JQ_PROTOCOL_MAX,
                                         .role = role,
                                         .session = wire->session,
                                         .name = jq_view_str("test"),
                                         .software = jq_view_str("test 0"),
                                         .pid = (uint64_t)getpid(),
                                         .slots = slots } };

    wire_send(wire, &hello);
    wire_expect(wire, JQ_MSG_WELCOME, ret_welcome);
    assert_int_equal(ret_welcome->u.welcome.session, wire->session);
}

void wire_submit(struct wire *wire, uint64_t number, const char *payload, uint64_t flags)
{
    struct jq_buf jobs = { 0 };
    const struct jq_job_spec spec = { .handler = jq_view_str("noop"),
                                      .payload = jq_view_str(payload) };

    jq_job_spec_write(&jobs, &spec);
    assert_true(jq_buf_ok(&jobs));
    struct jq_msg submit = { .tag = JQ_MSG_SUBMIT,
                             .correlation = number,
                             .u.submit = { .answered = number - 1,
                                           .queue = jq_view_str("default"),
                                           .flags = flags,
                                           .jobs = jq_records_of(1, &jobs) } };
    wire_send(wire, &submit);
    jq_buf_fini(&jobs);
}
