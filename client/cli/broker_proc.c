/* SPDX-License-Identifier: MIT
 *
 * broker_proc.c - see broker_proc.h. */
#include "client/cli/broker_proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t jq_broker_proc_uptime_ms(pid_t pid)
{
    char path[64], text[1024];
    struct timespec now;
    unsigned long long start = 0;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    /* Field 22, in clock ticks since the boot. The second one is a name that may hold anything. */
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
               "%*d %llu",
               &start) != 1 ||
        clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return -1;
    const int64_t at_ms = (int64_t)(start * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - at_ms;
}

/* SQLite keeps FILE-wal open beside FILE. */
static bool is_wal(int dir_fd, const char *name, char *path, size_t size)
{
    static const char suffix[] = "-wal";
    const ssize_t length = readlinkat(dir_fd, name, path, size - 1);

    if (length <= (ssize_t)sizeof suffix - 1)
        return false;
    path[length] = '\0';
    if (strcmp(path + length - 4, suffix) != 0)
        return false;
    path[length - 4] = '\0';
    return path[0] == '/';
}

bool jq_broker_proc_store(pid_t pid, char *ret_path, size_t size)
{
    char path[64];
    bool found = false;

    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(dir));)
        found = is_wal(dirfd(dir), entry->d_name, ret_path, size);
    closedir(dir);
    if (!found)
        ret_path[0] = '\0';
    return found;
}
