/* SPDX-License-Identifier: MIT
 *
 * supervise.c - see supervise.h. */
#include "broker/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/process.h"
#include "proto/base/alloc.h"
#include "proto/base/log.h"

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 10000,
    STEADY_MS = 10000, /* a worker that lived this long starts the backoff anew */
    PATH_TEXT_MAX = 4096,
};

struct jq_supervise {
    char *program;
    char *url;
    int64_t slots;
    int fd_limit;
    pid_t pid; /* 0: none runs */
    bool is_stopping;
    jq_ms started_at;
    jq_ms start_at; /* JQ_NEVER: not due */
    jq_ms backoff_ms;
};

/* Beside our own executable, where an installation and a build put it; else its bare name, which
 * posix_spawnp looks for on PATH. */
static char *find_program(void)
{
    static const char name[] = "jobq-worker";
    char path[PATH_TEXT_MAX + sizeof(name)];

    const ssize_t size = readlink("/proc/self/exe", path, PATH_TEXT_MAX - 1);
    if (size > 0) {
        path[size] = '\0';
        char *slash = strrchr(path, '/');
        if (slash) {
            memcpy(slash + 1, name, sizeof(name));
            if (access(path, X_OK) == 0)
                return jq_strdup(path);
        }
    }
    return jq_strdup(name);
}

struct jq_supervise *jq_supervise_new(const struct jq_supervise_conf *conf)
{
    struct jq_supervise *supervise = jq_alloc_zero(1, sizeof(*supervise));

    if (!supervise)
        return NULL;
    supervise->program = *conf->program ? jq_strdup(conf->program) : find_program();
    supervise->url = jq_strdup(conf->url);
    supervise->slots = conf->slots;
    supervise->fd_limit = conf->fd_limit;
    supervise->backoff_ms = BACKOFF_MIN_MS;
    if (!supervise->program || !supervise->url)
        jq_supervise_free(&supervise);
    return supervise;
}

void jq_supervise_free(struct jq_supervise **supervise)
{
    struct jq_supervise *s = *supervise;

    if (!s)
        return;
    if (s->pid) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    jq_free(s->program);
    jq_free(s->url);
    jq_free(s);
    *supervise = NULL;
}

/* The worker hands its limits on to jobs, and programs that use select() break when a descriptor
 * may be large: it gets the limit that we found. Lowering ours for a moment only makes accept shed.
 */
static rlim_t swap_fd_limit(rlim_t soft)
{
    struct rlimit limit;

    if (soft == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    const rlim_t old = limit.rlim_cur;
    limit.rlim_cur = soft;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? old : 0;
}

static int spawn(struct jq_supervise *s, pid_t *ret_pid)
{
    char slots[24];
    char die_with[24];
    char flag_url[] = "--url";
    char flag_slots[] = "--slots";
    char flag_die_with[] = "--die-with";
    char *argv[] = { s->program, flag_url, s->url, flag_die_with, die_with, NULL, NULL, NULL };
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;

    snprintf(die_with, sizeof(die_with), "%ld", (long)getpid());
    if (s->slots > 0) {
        snprintf(slots, sizeof(slots), "%" PRId64, s->slots);
        argv[5] = flag_slots;
        argv[6] = slots;
    }
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_init(&attributes);
    if (error)
        return error;
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    const rlim_t ours = swap_fd_limit((rlim_t)s->fd_limit);
    /* The worker's jobs make the user's files. What the store thread makes meanwhile is made with
     * its mode spelled out, in a directory of mode 0700. */
    const mode_t broker_umask = umask(jq_process_user_umask());
    error = posix_spawnp(ret_pid, s->program, NULL, &attributes, argv, environ);
    umask(broker_umask);
    (void)swap_fd_limit(ours);
    posix_spawnattr_destroy(&attributes);
    return error;
}

static void start_later(struct jq_supervise *s, jq_ms now)
{
    s->start_at = s->is_stopping ? JQ_NEVER : now + s->backoff_ms;
    s->backoff_ms = jq_ms_min(s->backoff_ms * 2, BACKOFF_MAX_MS);
}

void jq_supervise_tick(struct jq_supervise *s, jq_ms now)
{
    if (s->pid || s->is_stopping || now < s->start_at)
        return;
    const int error = spawn(s, &s->pid);
    if (error) {
        s->pid = 0;
        jq_log(JQ_ERROR, "worker.nostart", "program=%s error=\"%s\" again_ms=%" PRId64, s->program,
               strerror(error), s->backoff_ms);
        start_later(s, now);
        return;
    }
    s->started_at = now;
    s->start_at = JQ_NEVER;
    jq_log(JQ_INFO, "worker.started", "pid=%ld program=%s", (long)s->pid, s->program);
}

jq_ms jq_supervise_next_at(const struct jq_supervise *s)
{
    return s->pid || s->is_stopping ? JQ_NEVER : s->start_at;
}

void jq_supervise_reap(struct jq_supervise *s, jq_ms now)
{
    int status;

    if (!s->pid || waitpid(s->pid, &status, WNOHANG) != s->pid)
        return;
    if (now - s->started_at >= STEADY_MS)
        s->backoff_ms = BACKOFF_MIN_MS;
    const enum jq_log_level level = s->is_stopping ? JQ_INFO : JQ_WARN;
    if (WIFSIGNALED(status))
        jq_log(level, "worker.ended", "pid=%ld signal=%d", (long)s->pid, WTERMSIG(status));
    else
        jq_log(level, "worker.ended", "pid=%ld code=%d", (long)s->pid, WEXITSTATUS(status));
    s->pid = 0;
    start_later(s, now);
}

void jq_supervise_stop(struct jq_supervise *s)
{
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    s->start_at = JQ_NEVER;
    if (s->pid)
        kill(s->pid, SIGTERM);
}

bool jq_supervise_runs(const struct jq_supervise *s)
{
    return s->pid != 0;
}
