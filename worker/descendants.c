/* SPDX-License-Identifier: MIT
 *
 * descendants.c - see descendants.h. A killed child's own children become ours, so this ends when
 * there are none, however deep they were. */
#include "worker/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/base/clock.h"

static void kill_children_of(const char *thread)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/children", thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    int pid;
    while (fscanf(file, "%d", &pid) == 1) {
        /* Ours and not reaped, so the number is nobody else's. */
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
    }
    (void)fclose(file);
}

static void kill_children(void)
{
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] != '.')
            kill_children_of(entry->d_name);
    }
    (void)closedir(threads);
}

bool jq_descendants_kill(jq_ms within)
{
    const jq_ms end = jq_ms_add(jq_clock_now().mono, within);
    for (;;) {
        kill_children();
        pid_t reaped;
        do {
            reaped = waitpid(-1, NULL, WNOHANG);
        } while (reaped > 0);
        if (reaped < 0 && errno == ECHILD)
            return true;
        if (jq_clock_now().mono >= end)
            return false;
        const struct timespec pause = { .tv_nsec = 1000000 };
        (void)nanosleep(&pause, NULL);
    }
}
