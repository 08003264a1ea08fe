/* SPDX-License-Identifier: MIT
 *
 * get_many.c - jobq get -n: the first item is waited for, then come those that are there. Each is
 * written by itself; those that were are settled together, the others given back.
 *
 * Threads: main gets and writes, one takes the signals. While main is in write, which may never
 * return, and there alone, the other may have the items. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/get.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"
#include "proto/base/alloc.h"

enum { GIVE_BACK_MS = 2000 };

struct many {
    struct jq_cli *cli;
    struct jobq_queue *queue;
    const struct jq_get_values *values;
    struct jq_get_signals signals;
    pthread_mutex_t lock;     /* main has it, but in write */
    _Atomic bool is_waiting;  /* for items */
    struct jobq_item **items; /* values->count; NULL: settled or given back */
    size_t from, written, to; /* of this round: the first, those that were written end, all end */
    int64_t *dues;
    uint64_t *ids;
    struct jq_buf bytes; /* one, as it is written: its item may be given back meanwhile */
};

/* ---- signals ---- */

/* False: the broker has not said that it has them back. */
static bool give_back_rest(struct many *m)
{
    for (size_t i = m->written; i < m->to; i++)
        jobq_item_free(&m->items[i]);
    m->to = m->written;
    return jobq_ping(m->cli->client, GIVE_BACK_MS, NULL) == 0; /* answered behind it */
}

static int done(struct many *m)
{
    return jobq_task_done_many(m->items + m->from, m->written - m->from);
}

static void leave(struct many *m, int number)
{
    const size_t count = m->to - m->written;

    if (!m->values->lease_ms && done(m) != 0)
        jq_cli_notice(m->cli, "not all that was written is settled");
    if (give_back_rest(m))
        jq_cli_notice(m->cli, "%zu items were given back", count);
    _exit(128 + number);
}

static void signal_came(void *arg, int number)
{
    struct many *m = arg;

    if (atomic_load(&m->is_waiting)) {
        jq_client_interrupt(m->cli->client);
        return;
    }
    pthread_mutex_lock(&m->lock);
    if (m->written < m->to) /* nobody is there to read it: the writer hangs */
        leave(m, number);
    pthread_mutex_unlock(&m->lock);
}

/* ---- writing ---- */

static const char *delimiter(const struct jq_get_values *values, size_t *ret_size)
{
    const char *text = values->delimiter ? values->delimiter : values->null ? "\0" : "\n";

    *ret_size = values->delimiter ? strlen(text) : 1;
    return text;
}

static ssize_t keep(void *arg, const char *data, size_t size)
{
    jq_buf_append(arg, data, size);
    return (ssize_t)size;
}

/* As it is to be written, without a look at the item afterwards. 0 or an errno. */
static int format_json(struct many *m, size_t at)
{
    FILE *out = fopencookie(&m->bytes, "w", (cookie_io_functions_t){ .write = keep });
    const int error = out ? jq_get_write_json(m->items[at], m->dues[at], out) : errno;

    return out && fclose(out) != 0 && !error ? errno : error;
}

static int format(struct many *m, size_t at)
{
    size_t size, end_size;
    const void *data = jobq_item_data(m->items[at], &size);
    const char *end = delimiter(m->values, &end_size);

    jq_buf_clear(&m->bytes);
    if (m->cli->format != JQ_FORMAT_TABLE)
        return format_json(m, at);
    jq_buf_append(&m->bytes, data, size);
    jq_buf_append(&m->bytes, end, end_size);
    return 0;
}

/* 0 or an errno. */
static int write_one(struct many *m, size_t at)
{
    const bool has_receipt = m->values->lease_ms && m->cli->format == JQ_FORMAT_TABLE;
    const uint64_t id = jobq_item_id(m->items[at]), fence = jobq_item_fence(m->items[at]);
    int error = format(m, at);

    if (error || !jq_buf_ok(&m->bytes))
        return error ? error : ENOMEM;
    pthread_mutex_unlock(&m->lock);
    error = jq_write_all(STDOUT_FILENO, m->bytes.data, m->bytes.size);
    if (!error && has_receipt)
        error = jq_get_write_receipt(id, fence);
    pthread_mutex_lock(&m->lock);
    return error;
}

static int give_back(struct many *m, int error)
{
    const size_t count = m->to - m->written;

    clearerr(stdout); /* said here */
    const bool is_back = give_back_rest(m);
    return jq_cli_fail(m->cli, JQ_EIO, "standard output: %s: %zu items %s", strerror(error), count,
                       is_back ? "were given back"
                               : "could not be given back, and come back alone");
}

/* ---- a round ---- */

static int settle(struct many *m)
{
    if (m->values->lease_ms) /* held by their receipts, not by us */
        return 0;
    const int error = done(m);
    if (error == JOBQ_EFENCED)
        return jq_cli_fail(m->cli, error,
                           "items were written, but the lease of some had been lost: somebody else "
                           "gets them, too");
    return error ? jq_cli_fail_call(m->cli, error, "get: the items were written") : 0;
}

static void look_up_dues(struct many *m)
{
    for (size_t i = m->from; i < m->to; i++)
        m->ids[i] = jobq_item_id(m->items[i]);
    jq_get_dues(m->cli, m->ids + m->from, m->to - m->from, m->dues + m->from);
}

/* A signal ends it; while one is being written signal_came sees to the others. */
static int deliver(struct many *m)
{
    int error = 0, status = 0;

    if (m->values->lease_ms && m->cli->format != JQ_FORMAT_TABLE)
        look_up_dues(m);
    while (m->written < m->to && error == 0 && !atomic_load(&m->signals.signal)) {
        error = write_one(m, m->written);
        m->written += error == 0;
    }
    if (error)
        status = give_back(m, error);
    else if (m->written < m->to)
        (void)give_back_rest(m);
    const int settled = settle(m);
    return status ? status : settled;
}

/* The first waits as the user says; the others are there, or are not. */
static int get_some(struct many *m, size_t *ret_count)
{
    const bool at_once = m->values->nowait || m->from > 0;
    int error = JOBQ_EINTR;

    *ret_count = 0;
    atomic_store(&m->is_waiting, true);
    if (!atomic_load(&m->signals.signal))
        error =
            jobq_get_many(m->queue, (size_t)m->values->count - m->from,
                          at_once ? 0 : m->cli->globals.timeout_ms, m->items + m->from, ret_count);
    atomic_store(&m->is_waiting, false);
    if (m->from > 0 && (error == JOBQ_EEMPTY || error == JOBQ_ECLOSED))
        return 0;
    if (error && atomic_load(&m->signals.signal))
        return 128 + atomic_load(&m->signals.signal);
    return error ? jq_cli_fail_call(m->cli, error, "get") : 0;
}

static int rounds(struct many *m)
{
    size_t count = 1;
    int status = 0;

    while (status == 0 && m->from < (size_t)m->values->count) {
        status = get_some(m, &count);
        if (status != 0 || count == 0)
            break;
        m->to = m->from + count;
        status = deliver(m);
        if (status == 0 && atomic_load(&m->signals.signal))
            status = 128 + atomic_load(&m->signals.signal);
        m->from = m->to;
    }
    return status;
}

static int get(struct many *m)
{
    int status = jq_get_signals_start(m->cli, &m->signals);

    if (status != 0)
        return status;
    pthread_mutex_lock(&m->lock);
    status = rounds(m);
    pthread_mutex_unlock(&m->lock);
    jq_get_signals_stop(&m->signals);
    return status;
}

int jq_get_many(struct jq_cli *cli, struct jobq_queue *queue, const struct jq_get_values *values)
{
    const size_t count = (size_t)values->count;
    struct many m = {
        .cli = cli,
        .queue = queue,
        .values = values,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .items = jq_alloc_zero(count, sizeof(struct jobq_item *)),
        .dues = jq_alloc_zero(count, sizeof(int64_t)),
        .ids = jq_alloc_zero(count, sizeof(uint64_t)),
    };

    m.signals.came = signal_came;
    m.signals.arg = &m;
    const bool has_room = m.items && m.dues && m.ids;
    const int status = has_room ? get(&m) : jq_cli_fail(cli, JQ_ENOMEM, "get: out of memory");
    if (has_room && values->lease_ms) { /* to free them now would give them back */
        jq_keeper_stop(&cli->keeper);
        jobq_close(&cli->client);
    }
    for (size_t i = 0; has_room && i < count; i++)
        jobq_item_free(&m.items[i]);
    jq_buf_fini(&m.bytes);
    jq_free(m.items);
    jq_free(m.dues);
    jq_free(m.ids);
    return status;
}
