/* SPDX-License-Identifier: MIT
 *
 * deployment.c - starts and stops the programs under test, in a directory of their own, and looks
 * at their processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

extern char **environ;

/* ---- starting ---- */

pid_t bench_spawn(char *const argv[], const char *log, int keep_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;

    sigemptyset(&none); /* ours are blocked: main.c */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (keep_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, keep_fd, keep_fd); /* loses close-on-exec */
    const int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        bench_fail("%s: %s", argv[0], strerror(error));
    return pid;
}

char *bench_text(const char *value)
{
    union {
        const char *in;
        char *out;
    } both = { .in = value };
    return both.out;
}

void deployment_restart_broker(struct deployment *d, const struct deployment_conf *conf)
{
    char store[128], log[128], fd_text[16], line[256];
    int ready[2];

    snprintf(store, sizeof store, "%s/jobq.db", d->directory);
    snprintf(log, sizeof log, "%s/jobqd.log", d->directory);
    if (pipe2(ready, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    snprintf(fd_text, sizeof fd_text, "%d", ready[1]);
    char *const argv[] = { bench_text(conf->jobqd),
                           bench_text("--url"),
                           d->url,
                           bench_text("--store"),
                           conf->memory ? bench_text("memory:") : store,
                           bench_text("--ready-fd"),
                           fd_text,
                           NULL };
    d->broker = bench_spawn(argv, log, ready[1]);
    close(ready[1]);
    const ssize_t got = read(ready[0], line, sizeof line);
    close(ready[0]);
    if (got <= 0) {
        fprintf(stderr, "see %s\n", log);
        d->directory[0] = '\0'; /* stays */
        bench_fail("jobqd did not start");
    }
}

void deployment_start(struct deployment *d, const struct deployment_conf *conf)
{
    char directory[sizeof d->directory];

    memset(d, 0, sizeof *d);
    snprintf(directory, sizeof directory, "%s/jobq-bench-XXXXXX", conf->directory);
    if (!mkdtemp(directory))
        bench_fail("%s: %s", directory, strerror(errno));
    memcpy(d->directory, directory, sizeof directory);
    snprintf(d->url, sizeof d->url, "ipc://%s/sock", d->directory);
    deployment_restart_broker(d, conf);
}

void deployment_start_worker(struct deployment *d, const struct deployment_conf *conf)
{
    char log[128], slots[16], name[32];

    if (d->worker_count == WORKERS_MAX)
        bench_fail("too many workers");
    snprintf(log, sizeof log, "%s/worker.log", d->directory);
    snprintf(slots, sizeof slots, "%d", conf->slots);
    snprintf(name, sizeof name, "bench-%zu", d->worker_count);
    char *const argv[] = { bench_text(conf->worker),
                           bench_text("--url"),
                           d->url,
                           bench_text("--slots"),
                           slots,
                           bench_text("--name"),
                           name,
                           NULL };
    d->workers[d->worker_count++] = bench_spawn(argv, log, -1);
}

/* ---- stopping ---- */

static double stop(pid_t *pid, int number)
{
    struct rusage usage = { 0 };

    if (*pid <= 0)
        return 0;
    kill(*pid, number);
    while (wait4(*pid, NULL, 0, &usage) < 0 && errno == EINTR)
        continue;
    *pid = 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void deployment_kill_broker(struct deployment *d)
{
    d->broker_cpu_us += stop(&d->broker, SIGKILL);
}

void deployment_stop(struct deployment *d)
{
    struct dirent *entry;

    for (size_t i = 0; i < d->worker_count; i++) /* all at once: each takes its time */
        kill(d->workers[i], SIGTERM);
    for (; d->worker_count > 0; d->worker_count--)
        d->worker_cpu_us += stop(&d->workers[d->worker_count - 1], SIGTERM);
    d->broker_cpu_us += stop(&d->broker, SIGTERM);
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

/* ---- looking ---- */

double deployment_store_bytes(const struct deployment *d)
{
    static const char *const names[] = { "jobq.db", "jobq.db-wal" };
    double bytes = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        struct stat stat_buf;
        snprintf(path, sizeof path, "%s/%s", d->directory, names[i]);
        if (stat(path, &stat_buf) == 0)
            bytes += (double)stat_buf.st_size;
    }
    return bytes;
}

double bench_rss_bytes(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return kib * 1024;
}

double bench_cpu_us(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        bench_fail("process %d has no clock", (int)pid);
    return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}
