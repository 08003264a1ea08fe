/* SPDX-License-Identifier: MIT
 *
 * log.c - one line, one write(2). The sink's format and level are the only mutable globals of the
 * project; both are atomics. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"

enum format { FORMAT_LOGFMT, FORMAT_TERMINAL, FORMAT_JOURNAL };
enum { LINE_MAX_BYTES = 2048 };

static _Atomic int max_level = JQ_INFO;
static _Atomic int format = FORMAT_LOGFMT;
static const char *_Atomic program_name = "jobq";

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* JOURNAL_STREAM is "device:inode" of the journal's socket: systemd.exec(5). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (!stream || fstat(STDERR_FILENO, &status) != 0)
        return false;
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino);
    return strcmp(stream, expected) == 0;
}

void jq_log_open(const char *program, enum jq_log_level max)
{
    atomic_store(&program_name, program);
    jq_log_set_level(max);
    if (stderr_is_journal())
        atomic_store(&format, FORMAT_JOURNAL);
    else
        atomic_store(&format, isatty(STDERR_FILENO) ? FORMAT_TERMINAL : FORMAT_LOGFMT);
}

void jq_log_set_level(enum jq_log_level max)
{
    atomic_store(&max_level, (int)max);
}

bool jq_log_enabled(enum jq_log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

enum jq_err jq_log_level_parse(const char *text, enum jq_log_level *ret_level)
{
    for (int i = JQ_ERROR; i <= JQ_DEBUG; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum jq_log_level)i;
            return JQ_OK;
        }
    return JQ_EINVAL;
}

static size_t put_head(char *line, size_t size, enum jq_log_level level, const char *event)
{
    static const int syslog_levels[] = { 3, 4, 6, 7 };
    const char *program = atomic_load(&program_name);
    int length = 0;
    if (atomic_load(&format) == FORMAT_JOURNAL) {
        length = snprintf(line, size, "<%d>%s", syslog_levels[level], event);
    } else {
        const jq_ns wall = jq_clock_now().wall;
        const time_t seconds = (time_t)(wall / 1000000000);
        const int ms = (int)(wall / 1000000 % 1000);
        struct tm utc;
        char stamp[32] = "";
        if (gmtime_r(&seconds, &utc))
            (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
        if (atomic_load(&format) == FORMAT_TERMINAL)
            length = snprintf(line, size, "%s.%03dZ %s %-5s %s", stamp, ms, program,
                              level_names[level], event);
        else
            length = snprintf(line, size, "time=%s.%03dZ program=%s level=%s event=%s", stamp, ms,
                              program, level_names[level], event);
    }
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

void jq_log(enum jq_log_level level, const char *event, const char *text, ...)
{
    if (!jq_log_enabled(level))
        return;
    char line[LINE_MAX_BYTES];
    size_t used = put_head(line, sizeof line - 2, level, event);
    if (text && *text) {
        line[used++] = ' ';
        va_list arguments;
        va_start(arguments, text);
        const int length = vsnprintf(line + used, sizeof line - 1 - used, text, arguments);
        va_end(arguments);
        const size_t room = sizeof line - 2 - used;
        const size_t start = used;
        used += length < 0 ? 0 : (size_t)length < room ? (size_t)length : room;
        /* One event is one line, whatever a peer called itself. */
        for (size_t i = start; i < used; i++)
            if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                line[i] = '?';
    }
    line[used++] = '\n';
    /* A log that cannot be written has nowhere to complain. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}
