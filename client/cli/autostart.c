/* SPDX-License-Identifier: MIT
 *
 * autostart.c - see autostart.h. */
#include "client/cli/autostart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/endpoint.h"

enum {
    LOCK_MS = 90000,  /* somebody else's start, and our turn after it */
    READY_MS = 60000, /* a long recovery */
    RIVAL_MS = 5000,  /* a broker that others started is about to serve */
    NAP_MS = 10,
    PROGRAM_MAX = 4096,
    READY_FD = 3, /* the first number that is free in jobqd */
};

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = NAP_MS * 1000000L }, NULL);
}

static uint64_t now_ms(void)
{
    return jq_clock_mono_ns() / 1000000;
}

static enum jq_err fail(struct jq_detail *detail, const char *what)
{
    jq_detail_set(detail, "%s: %s", what, strerror(errno));
    return JQ_EIO;
}

/* ---- which program ---- */

struct programs {
    char broker[PROGRAM_MAX]; /* a path, or the bare name: then PATH is searched */
    char worker[PROGRAM_MAX]; /* "": jobqd finds it by itself */
};

/* `relative` to the directory `dir`, if there is such a program. */
static bool find_at(const char *dir, const char *relative, char ret[PROGRAM_MAX])
{
    char path[PROGRAM_MAX];

    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, relative) >= sizeof path ||
        access(path, X_OK) != 0)
        return false;
    memcpy(ret, path, sizeof path);
    return true;
}

static void find_programs(struct programs *ret)
{
    char dir[PROGRAM_MAX];
    const ssize_t size = readlink("/proc/self/exe", dir, sizeof dir - 1);

    *ret = (struct programs){ .broker = "jobqd" };
    if (size <= 0)
        return;
    dir[size] = '\0';
    char *slash = strrchr(dir, '/');
    if (!slash)
        return;
    *slash = '\0';
    if (find_at(dir, "jobqd", ret->broker))
        return;
    /* Beside a build's client/cli are its broker and its worker. */
    if (find_at(dir, "../../broker/jobqd", ret->broker))
        find_at(dir, "../../worker/jobq-worker", ret->worker);
}

/* ---- starting it ---- */

struct start {
    pid_t pid;
    int ready_fd;  /* reads "READY=1 url pid", or the end when it has died */
    int stderr_fd; /* what it said before it served: a file in memory, which nobody must read */
};

static void start_fini(struct start *start)
{
    if (start->ready_fd >= 0)
        close(start->ready_fd);
    if (start->stderr_fd >= 0)
        close(start->stderr_fd);
}

static int prepare_files(posix_spawn_file_actions_t *actions, int ready_fd, int stderr_fd)
{
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);

    /* Descriptors of the shell that called us must not live on in a daemon. */
    error = error ? error : posix_spawn_file_actions_adddup2(actions, 0, 1);
    error = error ? error : posix_spawn_file_actions_adddup2(actions, stderr_fd, 2);
    error = error ? error : posix_spawn_file_actions_adddup2(actions, ready_fd, READY_FD);
    error = error ? error : posix_spawn_file_actions_addclosefrom_np(actions, READY_FD + 1);
    return error ? error : posix_spawn_file_actions_addchdir_np(actions, "/");
}

static int prepare_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    const short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

    sigfillset(&all);
    sigemptyset(&none);
    int error = posix_spawnattr_setsigdefault(attributes, &all);
    error = error ? error : posix_spawnattr_setsigmask(attributes, &none);
    return error ? error : posix_spawnattr_setflags(attributes, flags);
}

static int spawn(const struct programs *programs, const char *url, int ready_fd, int stderr_fd,
                 pid_t *ret_pid)
{
    char *argv[] = {
        (char[]){ "jobqd" }, (char[]){ "--local" }, (char[]){ "--ready-fd=3" }, NULL, NULL, NULL
    };
    char url_flag[JQ_URL_MAX + 8], worker_flag[PROGRAM_MAX + 32];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    snprintf(url_flag, sizeof url_flag, "--url=%s", url);
    snprintf(worker_flag, sizeof worker_flag, "--worker-program=%s", programs->worker);
    argv[3] = url_flag;
    if (programs->worker[0])
        argv[4] = worker_flag;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = prepare_files(&actions, ready_fd, stderr_fd);
        error = error ? error : prepare_attributes(&attributes);
        error = error
                    ? error
                    : posix_spawnp(ret_pid, programs->broker, &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static enum jq_err start_broker(const char *url, struct start *ret, struct jq_detail *detail)
{
    struct programs programs;
    int ready[2];

    find_programs(&programs);
    if (pipe2(ready, O_CLOEXEC) != 0)
        return fail(detail, "pipe");
    *ret = (struct start){ .ready_fd = ready[0], .stderr_fd = memfd_create("jobqd", MFD_CLOEXEC) };
    int error = ret->stderr_fd < 0 ? errno : 0;
    if (!error)
        error = spawn(&programs, url, ready[1], ret->stderr_fd, &ret->pid);
    close(ready[1]);
    if (!error)
        return JQ_OK;
    start_fini(ret);
    jq_detail_set(detail, "cannot start %s: %s%s", programs.broker, strerror(error),
                  strchr(programs.broker, '/') ? "" : " (it is neither beside jobq nor on PATH)");
    return JQ_EIO;
}

/* ---- waiting for it ---- */

/* Its last line, without the time stamps that only a log needs. */
static void read_words(int fd, char *ret, size_t size)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    const off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
    ssize_t got = end > 0 ? pread(fd, ret, size - 1, from) : 0;

    while (got > 0 && ret[got - 1] == '\n')
        got--;
    ret[got > 0 ? got : 0] = '\0';
    const char *line = strrchr(ret, '\n');
    if (line)
        memmove(ret, line + 1, strlen(line + 1) + 1);
    char *text = strstr(ret, "text=\""), *quote;
    if (text && (quote = strrchr(text + 6, '"'))) {
        *quote = '\0';
        memmove(ret, text + 6, strlen(text + 6) + 1);
    }
}

static enum jq_err explain_end(const struct start *start, int *ret_status, struct jq_detail *detail)
{
    char words[400];
    int status = 0;

    while (waitpid(start->pid, &status, 0) < 0 && errno == EINTR)
        ;
    read_words(start->stderr_fd, words, sizeof words);
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (WIFSIGNALED(status))
        jq_detail_set(detail, "jobqd was killed by signal %d before it served", WTERMSIG(status));
    else if (words[0])
        jq_detail_set(detail, "jobqd did not start: %s", words);
    else
        jq_detail_set(detail, "jobqd did not start: exit status %d", *ret_status);
    return JQ_EUNREACH;
}

/* *ret_status: its exit status when it has ended, else -1. */
static enum jq_err await_ready(const struct start *start, int *ret_status, struct jq_detail *detail)
{
    const uint64_t deadline = now_ms() + READY_MS;
    char line[JQ_URL_MAX + 64];
    size_t size = 0;

    *ret_status = -1;
    for (;;) {
        struct pollfd poller = { .fd = start->ready_fd, .events = POLLIN };
        const uint64_t now = now_ms();
        if (now >= deadline)
            break;
        if (poll(&poller, 1, (int)(deadline - now)) <= 0)
            continue;
        const ssize_t got = read(start->ready_fd, line + size, sizeof line - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return explain_end(start, ret_status, detail);
        size += (size_t)got;
        if (memchr(line, '\n', size) || size == sizeof line)
            return JQ_OK;
    }
    jq_detail_set(detail, "jobqd (process %ld) was started, but does not serve after %d s",
                  (long)start->pid, READY_MS / 1000);
    return JQ_EUNREACH;
}

/* ---- once ---- */

static enum jq_err take_lock(int dir_fd, int *ret_fd, struct jq_detail *detail)
{
    const uint64_t deadline = now_ms() + LOCK_MS;
    const int fd =
        openat(dir_fd, "autostart.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail(detail, "autostart.lock");
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            const enum jq_err err = fail(detail, "autostart.lock");
            close(fd);
            return err;
        }
        if (now_ms() >= deadline) {
            jq_detail_set(detail, "another jobq has been starting a broker for %d s",
                          LOCK_MS / 1000);
            close(fd);
            return JQ_EUNREACH;
        }
        nap();
    }
    *ret_fd = fd;
    return JQ_OK;
}

/* Somebody else's broker holds the endpoint (a service manager's, say) but does not serve yet. */
static enum jq_err await_rival(const char *path, struct jq_local_broker *ret_broker)
{
    const uint64_t deadline = now_ms() + RIVAL_MS;
    enum jq_err err;

    while ((err = jq_local_probe(path, ret_broker, NULL)) == JQ_EUNREACH && now_ms() < deadline)
        nap();
    return err;
}

static enum jq_err start_and_wait(const char *url, struct jq_local_broker *ret_broker,
                                  bool *ret_started, struct jq_detail *detail)
{
    const char *path = jq_url_ipc_path(url);
    struct start start;
    int status;

    JQ_TRY(start_broker(url, &start, detail));
    enum jq_err err = await_ready(&start, &status, detail);
    start_fini(&start);
    if (err == JQ_OK) {
        *ret_started = true;
        return jq_local_probe(path, ret_broker, detail);
    }
    if (status != EX_UNAVAILABLE)
        return err;
    if (await_rival(path, ret_broker) == JQ_OK)
        return JQ_OK;
    const struct jq_detail why = *detail;
    jq_detail_set(detail,
                  "%.200s; if that is a broker at another endpoint than %s, give its URL by --url "
                  "or JOBQ_URL, or set XDG_RUNTIME_DIR as it was there",
                  why.text, url);
    return err;
}

static enum jq_err check_environment(struct jq_detail *detail)
{
    const char *store = getenv("JOBQ_STORE");

    /* It will not run in this directory. */
    if (!store || !*store || *store == '/' || strcmp(store, "memory:") == 0)
        return JQ_OK;
    jq_detail_set(detail, "JOBQ_STORE: '%s' must be an absolute path for a broker that jobq starts",
                  store);
    return JQ_EINVAL;
}

enum jq_err jq_autostart(const char *url, struct jq_local_broker *ret_broker, bool *ret_started,
                         struct jq_detail *ret_detail)
{
    const char *path = jq_url_ipc_path(url);
    int dir_fd = -1, lock_fd = -1;

    *ret_started = false;
    enum jq_err err = jq_local_probe(path, ret_broker, ret_detail);
    if (err != JQ_EUNREACH)
        return err;
    JQ_TRY(check_environment(ret_detail));
    JQ_TRY(jq_local_dir_open(path, &dir_fd, ret_detail));
    err = take_lock(dir_fd, &lock_fd, ret_detail);
    if (err == JQ_OK) {
        err = jq_local_probe(path, ret_broker, ret_detail);
        if (err == JQ_EUNREACH)
            err = start_and_wait(url, ret_broker, ret_started, ret_detail);
        close(lock_fd);
    }
    close(dir_fd);
    return err;
}
