/* SPDX-License-Identifier: MIT
 *
 * limits.c - what this machine can do, without jobq: fdatasync, writing, processes. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum {
    SYNCS = 200,
    SYNC_BYTES = 4096,
    WRITES = 32,
    WRITE_BYTES = 1 << 20,
    SPAWNS = 200,
    ALIVE = 8,
};

/* ---- disk ---- */

static void sync_often(int fd, const char *name, bool append)
{
    char block[SYNC_BYTES];
    double us[SYNCS];

    memset(block, 'x', sizeof block);
    for (int i = 0; i < SYNCS; i++) {
        const off_t at = append ? (off_t)i * SYNC_BYTES : 0;
        const uint64_t start = bench_now_ns();
        if (pwrite(fd, block, sizeof block, at) != (ssize_t)sizeof block || fdatasync(fd) != 0)
            bench_fail("fdatasync: %s", strerror(errno));
        us[i] = bench_us_since(start);
    }
    bench_add_percentiles(name, us, SYNCS);
}

static double write_mb(int fd)
{
    static char block[WRITE_BYTES];
    const uint64_t start = bench_now_ns();

    memset(block, 'x', sizeof block);
    for (int i = 0; i < WRITES; i++)
        if (pwrite(fd, block, sizeof block, (off_t)i * WRITE_BYTES) != (ssize_t)sizeof block)
            bench_fail("write: %s", strerror(errno));
    if (fdatasync(fd) != 0)
        bench_fail("fdatasync: %s", strerror(errno));
    return (double)WRITES * WRITE_BYTES / bench_us_since(start); /* bytes per us: MB per s */
}

static int scratch_file(const char *directory)
{
    char path[128];

    snprintf(path, sizeof path, "%s/jobq-bench-XXXXXX", directory);
    const int fd = mkstemp(path);
    if (fd < 0)
        bench_fail("%s: %s", path, strerror(errno));
    unlink(path);
    return fd;
}

static void disk(const char *directory)
{
    int fd = scratch_file(directory);

    sync_often(fd, "fdatasync_append", true);
    sync_often(fd, "fdatasync_overwrite", false);
    close(fd);
    fd = scratch_file(directory);
    bench_add("disk_write", write_mb(fd));
    close(fd);
}

/* ---- processes ---- */

static pid_t start_true(void)
{
    char *const argv[] = { (char[]){ "true" }, NULL };
    pid_t pid;

    if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1) != 0)
        bench_fail("posix_spawn failed");
    return pid;
}

static void one_at_a_time(void)
{
    static double us[SPAWNS];
    const uint64_t start = bench_now_ns();

    for (int i = 0; i < SPAWNS; i++) {
        const uint64_t begin = bench_now_ns();
        waitpid(start_true(), NULL, 0);
        us[i] = bench_us_since(begin);
    }
    bench_add("posix_spawn", SPAWNS / (bench_us_since(start) / 1e6));
    bench_add_percentiles("spawn_exit", us, SPAWNS);
}

/* The next one starts when the oldest has ended. */
static void some_alive(void)
{
    pid_t pids[ALIVE];
    const uint64_t start = bench_now_ns();

    for (int i = 0; i < SPAWNS; i++) {
        if (i >= ALIVE)
            waitpid(pids[i % ALIVE], NULL, 0);
        pids[i % ALIVE] = start_true();
    }
    for (int i = 0; i < ALIVE; i++)
        waitpid(pids[i], NULL, 0);
    bench_add("posix_spawn_8", SPAWNS / (bench_us_since(start) / 1e6));
}

void bench_limits(const char *directory)
{
    disk(directory);
    bench_limits_zmq(directory);
    bench_limits_sqlite(directory);
    one_at_a_time();
    some_alive();
}
