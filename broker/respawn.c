/* SPDX-License-Identifier: MIT
 *
 * respawn.c - see respawn.h. */
#include "broker/respawn.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    CRASHES_MAX = 5, /* within CRASHES_MS: then it stays down, and a person must look */
    CRASHES_MS = 60000,
};

struct parent {
    sigset_t signals;
    pid_t child;
    jq_ms crashes_at[CRASHES_MAX]; /* a ring: the oldest is overwritten */
    unsigned crash_count;
    jq_ms backoff_ms;
    bool is_stopping;
};

bool jq_respawn_helps(int status)
{
    /* A setting, a lock, a damaged store: the next start would end the same way. */
    return status == EX_TEMPFAIL || status == EX_SOFTWARE || status == EX_OSERR;
}

/* Waits for one signal: the child's end as its wait status (true), or one to pass on (false). */
static bool wait_child(struct parent *parent, int *ret_wait_status)
{
    siginfo_t info;
    const int signal_number = sigwaitinfo(&parent->signals, &info);

    if (signal_number < 0)
        return false;
    if (signal_number == SIGCHLD)
        return waitpid(parent->child, ret_wait_status, WNOHANG) == parent->child;
    if (signal_number == SIGTERM || signal_number == SIGINT)
        parent->is_stopping = true;
    kill(parent->child, signal_number);
    return false;
}

static bool crashes_too_often(struct parent *parent, jq_ms now)
{
    jq_ms *slot = &parent->crashes_at[parent->crash_count % CRASHES_MAX];
    const bool full = parent->crash_count >= CRASHES_MAX;
    const bool often = full && now - *slot < CRASHES_MS;

    if (full && now - *slot >= CRASHES_MS)
        parent->backoff_ms = BACKOFF_MIN_MS;
    *slot = now;
    parent->crash_count++;
    return often;
}

/* False: a signal to stop came meanwhile. */
static bool pause_before_start(struct parent *parent)
{
    const struct timespec pause = { .tv_sec = parent->backoff_ms / 1000,
                                    .tv_nsec = parent->backoff_ms % 1000 * 1000000 };
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    if (sigtimedwait(&stop, NULL, &pause) > 0)
        return false;
    parent->backoff_ms = jq_ms_min(parent->backoff_ms * 2, BACKOFF_MAX_MS);
    return true;
}

/* 0 in the child, its pid in the parent, -1 on failure. */
static pid_t start_child(const sigset_t *old_mask)
{
    const pid_t parent = getpid();
    const pid_t child = fork();

    if (child != 0)
        return child;
    /* A group of its own: a terminal's Ctrl-C must come once, through the parent. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EX_TEMPFAIL);
    sigprocmask(SIG_SETMASK, old_mask, NULL);
    return 0;
}

/* True: start it again. */
static bool judge(struct parent *parent, int wait_status, int *ret_status)
{
    const bool by_signal = WIFSIGNALED(wait_status);
    const int number = by_signal ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);

    *ret_status = by_signal ? EX_TEMPFAIL : number;
    if (parent->is_stopping || (!by_signal && !jq_respawn_helps(number)))
        return false;
    if (crashes_too_often(parent, jq_clock_now().mono)) {
        jq_log(JQ_ERROR, "broker.givenup", "crashes=%d within_ms=%d", CRASHES_MAX + 1, CRASHES_MS);
        return false;
    }
    jq_log(JQ_WARN, "broker.ended", "pid=%ld %s=%d again_ms=%" PRId64, (long)parent->child,
           by_signal ? "signal" : "code", number, parent->backoff_ms);
    return pause_before_start(parent);
}

bool jq_respawn(int *ret_status)
{
    struct parent parent = { .backoff_ms = BACKOFF_MIN_MS };
    sigset_t old_mask;
    int wait_status = 0;

    sigemptyset(&parent.signals);
    sigaddset(&parent.signals, SIGTERM);
    sigaddset(&parent.signals, SIGINT);
    sigaddset(&parent.signals, SIGHUP);
    sigaddset(&parent.signals, SIGUSR1);
    sigaddset(&parent.signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &parent.signals, &old_mask);
    do {
        parent.child = start_child(&old_mask);
        if (parent.child == 0)
            return true;
        if (parent.child < 0) {
            jq_log(JQ_ERROR, "broker.nostart", "error=\"%s\"", strerror(errno));
            *ret_status = EX_OSERR;
            return false;
        }
        while (!wait_child(&parent, &wait_status))
            ;
    } while (judge(&parent, wait_status, ret_status));
    return false;
}
