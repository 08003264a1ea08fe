/* SPDX-License-Identifier: MIT
 *
 * deployment.c - starts and stops the programs under test, in a directory of their own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

extern char **environ;

static pid_t spawn(char *const argv[], const char *log, int keep_fd)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (keep_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, keep_fd, keep_fd); /* loses close-on-exec */
    const int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        bench_fail("%s: %s", argv[0], strerror(error));
    return pid;
}

static char *text(const char *value) /* argv wants char *, and changes nothing */
{
    union {
        const char *in;
        char *out;
    } both = { .in = value };
    return both.out;
}

void deployment_start(struct deployment *d, const struct deployment_conf *conf)
{
    char store[128], log[128], fd_text[16], line[256];
    int ready[2];

    memset(d, 0, sizeof *d);
    snprintf(d->directory, sizeof d->directory, "%s/jobq-bench-XXXXXX", conf->directory);
    if (!mkdtemp(d->directory))
        bench_fail("%s: %s", d->directory, strerror(errno));
    snprintf(d->url, sizeof d->url, "ipc://%s/sock", d->directory);
    snprintf(store, sizeof store, "%s/jobq.db", d->directory);
    snprintf(log, sizeof log, "%s/jobqd.log", d->directory);
    if (pipe2(ready, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    snprintf(fd_text, sizeof fd_text, "%d", ready[1]);
    char *const argv[] = { text(conf->jobqd),
                           text("--url"),
                           d->url,
                           text("--store"),
                           conf->memory ? text("memory:") : store,
                           text("--ready-fd"),
                           fd_text,
                           NULL };
    d->broker = spawn(argv, log, ready[1]);
    close(ready[1]);
    const ssize_t got = read(ready[0], line, sizeof line);
    close(ready[0]);
    if (got <= 0) {
        fprintf(stderr, "see %s\n", log);
        d->directory[0] = '\0';
        bench_fail("jobqd did not start");
    }
}

void deployment_start_worker(struct deployment *d, const struct deployment_conf *conf)
{
    char log[128], slots[16];

    snprintf(log, sizeof log, "%s/worker.log", d->directory);
    snprintf(slots, sizeof slots, "%d", conf->slots);
    char *const argv[] = {
        text(conf->worker), text("--url"), d->url, text("--slots"), slots, NULL
    };
    d->worker = spawn(argv, log, -1);
}

static double stop(pid_t *pid)
{
    struct rusage usage = { 0 };

    if (*pid <= 0)
        return 0;
    kill(*pid, SIGTERM);
    while (wait4(*pid, NULL, 0, &usage) < 0 && errno == EINTR)
        continue;
    *pid = 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void deployment_stop(struct deployment *d)
{
    struct dirent *entry;

    d->worker_cpu_us = stop(&d->worker);
    d->broker_cpu_us = stop(&d->broker);
    DIR *directory = d->directory[0] ? opendir(d->directory) : NULL;
    if (!directory)
        return;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(d->directory);
    d->directory[0] = '\0';
}
