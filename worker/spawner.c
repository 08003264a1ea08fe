/* SPDX-License-Identifier: MIT
 *
 * spawner.c - the spawner process: its birth, its loop, its end. */
#include "worker/spawner_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "worker/descendants.h"

enum {
    EVENTS = 64,
    FILES_PER_JOB = 6, /* pipes, pidfd, input, directory: at most at once */
    FILES_OWN = 64,
    KILL_WITHIN_MS = 10000,
    EXIT_OSERR = 71,
};

/* --- birth --- */

/* Jobs run with the limit that the worker was started with (see prlimit in spawner_launch.c). */
static void raise_file_limit(struct jq_spawner *spawner)
{
    const rlim_t need = (rlim_t)spawner->conf.slots * FILES_PER_JOB + FILES_OWN;
    if (getrlimit(RLIMIT_NOFILE, &spawner->files) != 0 || spawner->files.rlim_cur >= need)
        return;
    struct rlimit raised = spawner->files;
    raised.rlim_cur = need < raised.rlim_max ? need : raised.rlim_max;
    spawner->files_raised = setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

/* What a job must not inherit from the worker: blocked and ignored signals, its process group. */
static bool init_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    /* sigfillset leaves out the two signals of glibc's own, which jobs would then get ignored. */
    memset(&all, 0xff, sizeof all);
    return posix_spawnattr_init(attributes) == 0 &&
           posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF) == 0 &&
           posix_spawnattr_setpgroup(attributes, 0) == 0 &&
           posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &all) == 0;
}

static bool watch(const struct jq_spawner *spawner, int operation, int fd, uint32_t events,
                  struct jq_source *source)
{
    struct epoll_event event = { .events = events, .data = { .ptr = source } };
    return epoll_ctl(spawner->epoll, operation, fd, &event) == 0;
}

static bool spawner_init(struct jq_spawner *spawner, const struct jq_spawner_conf *conf, int fd)
{
    *spawner = (struct jq_spawner){
        .conf = *conf,
        .link_source = { .kind = JQ_SOURCE_LINK },
        .child_source = { .kind = JQ_SOURCE_CHILD },
    };
    jq_spawn_link_init(&spawner->link, fd);
    jq_heap_init(&spawner->deadlines, jq_deadline_before);
    raise_file_limit(spawner);
    sigset_t children;
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    spawner->epoll = epoll_create1(EPOLL_CLOEXEC);
    spawner->signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    spawner->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    spawner->jobs = jq_alloc_zero(conf->slots, sizeof(struct jq_job *));
    spawner->scratch = jq_alloc(JQ_SCRATCH_BYTES);
    return spawner->epoll >= 0 && spawner->signals >= 0 && spawner->null >= 0 &&
           spawner->jobs != NULL && spawner->scratch != NULL &&
           jq_heap_reserve(&spawner->deadlines, conf->slots) == JQ_OK &&
           init_attributes(&spawner->attributes) &&
           watch(spawner, EPOLL_CTL_ADD, fd, EPOLLIN, &spawner->link_source) &&
           watch(spawner, EPOLL_CTL_ADD, spawner->signals, EPOLLIN, &spawner->child_source);
}

/* --- its turns --- */

static void on_link(struct jq_spawner *spawner)
{
    struct jq_spawn_frame frame;
    jq_spawn_link_fill(&spawner->link);
    while (jq_spawn_link_next(&spawner->link, &frame)) {
        if (frame.kind == JQ_SPAWN_START)
            jq_job_start(spawner, &frame);
        else if (frame.kind == JQ_SPAWN_CANCEL)
            jq_job_cancel(spawner, &frame);
        else if (frame.kind == JQ_SPAWN_READ)
            jq_job_read(spawner, &frame);
        else
            spawner->link.dead = true;
    }
}

static void on_child(struct jq_spawner *spawner)
{
    struct signalfd_siginfo ignored[8];
    while (read(spawner->signals, ignored, sizeof ignored) == (ssize_t)sizeof ignored)
        ;
    spawner->orphans = true;
}

static bool is_leader(const struct jq_spawner *spawner, pid_t pid)
{
    for (uint32_t i = 0; i < spawner->conf.slots; i++) {
        if (spawner->jobs[i] != NULL && spawner->jobs[i]->pid == pid)
            return true;
    }
    return false;
}

/* Reaps what jobs have left to us. A dead leader is in the way until its job is finished, which is
 * soon; finish() then asks for this again. */
static void reap_orphans(struct jq_spawner *spawner)
{
    spawner->orphans = false;
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
            is_leader(spawner, info.si_pid))
            return;
        (void)waitpid(info.si_pid, NULL, WNOHANG);
    }
}

static void handle(struct jq_spawner *spawner, struct jq_source *source)
{
    switch (source->kind) {
    case JQ_SOURCE_LINK:
        on_link(spawner);
        break;
    case JQ_SOURCE_CHILD:
        on_child(spawner);
        break;
    case JQ_SOURCE_STDOUT:
    case JQ_SOURCE_STDERR:
        jq_job_stream_readable(spawner, source->job, source->kind == JQ_SOURCE_STDERR);
        break;
    case JQ_SOURCE_EXIT:
        jq_job_exited(spawner, source->job);
        break;
    }
}

static int wait_ms(const struct jq_spawner *spawner)
{
    struct jq_heap_node *first = jq_heap_first(&spawner->deadlines);
    if (first == NULL)
        return -1;
    const jq_ms left = jq_deadline_job(first)->deadline_at - jq_clock_now().mono;
    return left <= 0 ? 0 : left < INT32_MAX ? (int)left : INT32_MAX;
}

static void expire(struct jq_spawner *spawner)
{
    struct jq_heap_node *first = jq_heap_first(&spawner->deadlines);
    if (first == NULL)
        return;
    const jq_ms now = jq_clock_now().mono;
    for (; first != NULL && jq_deadline_job(first)->deadline_at <= now;
         first = jq_heap_first(&spawner->deadlines))
        jq_job_deadline(spawner, jq_deadline_job(first));
}

static void flush(struct jq_spawner *spawner)
{
    jq_spawn_link_flush(&spawner->link);
    const bool wants = jq_spawn_link_pending(&spawner->link) > 0;
    if (wants == spawner->link_wants_write)
        return;
    const uint32_t events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (watch(spawner, EPOLL_CTL_MOD, spawner->link.fd, events, &spawner->link_source))
        spawner->link_wants_write = wants;
}

static void turn(struct jq_spawner *spawner)
{
    struct epoll_event events[EVENTS];
    const int count = epoll_wait(spawner->epoll, events, EVENTS, wait_ms(spawner));
    if (count < 0 && errno != EINTR) {
        spawner->link.dead = true;
        return;
    }
    for (int i = 0; i < count; i++)
        handle(spawner, events[i].data.ptr);
    expire(spawner);
    if (spawner->orphans)
        reap_orphans(spawner);
    flush(spawner);
    /* Only now: an event of this turn may have pointed to them. */
    for (struct jq_job *job; (job = spawner->freed) != NULL;) {
        spawner->freed = job->next_freed;
        jq_job_free(spawner, &job);
    }
}

static void kill_all(struct jq_spawner *spawner)
{
    for (uint32_t i = 0; i < spawner->conf.slots; i++) {
        if (spawner->jobs[i] != NULL)
            (void)kill(-spawner->jobs[i]->pid, SIGKILL);
    }
    if (!jq_descendants_kill(KILL_WITHIN_MS))
        jq_log(JQ_ERROR, "spawner.unkillable", "some processes of jobs would not die");
}

/* --- the process --- */

/* Nothing of the parent's but standard error, for the log. */
static bool let_go_of_files(int *fd)
{
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return false;
    const int place = STDERR_FILENO + 1;
    if (*fd != place && dup3(*fd, place, O_CLOEXEC) < 0)
        return false;
    *fd = place;
    return close_range((unsigned)place + 1, ~0U, 0) == 0;
}

static void __attribute__((noreturn)) spawner_main(const struct jq_spawner_conf *conf, int fd)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* only its socket ends it; and KILL */
    (void)signal(SIGCHLD, SIG_DFL);             /* ignored, children would not be told of */
    (void)prctl(PR_SET_NAME, "jobq-exec");
    (void)setpgid(0, 0);
    struct jq_spawner spawner;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || !let_go_of_files(&fd) ||
        !spawner_init(&spawner, conf, fd)) {
        jq_log(JQ_ERROR, "spawner.failed", "cannot start: %s", strerror(errno));
        _exit(EXIT_OSERR);
    }
    while (!spawner.link.dead)
        turn(&spawner);
    kill_all(&spawner);
    _exit(0);
}

enum jq_err jq_spawner_start(const struct jq_spawner_conf *conf, int *ret_fd, pid_t *ret_pid,
                             struct jq_detail *ret_detail)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        jq_detail_set(ret_detail, "a socket for the spawner: %s", strerror(errno));
        return JQ_EIO;
    }
    (void)fflush(NULL); /* or the child could write what is buffered again */
    const pid_t pid = fork();
    if (pid < 0) {
        jq_detail_set(ret_detail, "cannot fork the spawner: %s", strerror(errno));
        (void)close(ends[0]);
        (void)close(ends[1]);
        return JQ_EIO;
    }
    if (pid == 0) {
        (void)close(ends[0]);
        spawner_main(conf, ends[1]);
    }
    (void)close(ends[1]);
    *ret_fd = ends[0];
    *ret_pid = pid;
    return JQ_OK;
}
