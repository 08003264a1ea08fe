/* SPDX-License-Identifier: MIT
 *
 * cmd_get.c - jobq get: an item's bytes to standard output (of many: get_many.c). It is settled
 * when they have been written, and given back when they could not be, or when a signal comes
 * before. Threads: main gets and writes, one takes the signals. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/get.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"

#define FIELD(member) offsetof(struct jq_get_values, member)
static const struct jq_flag flags[] = {
    { "nowait", 0, JQ_FLAG_BOOL, FIELD(nowait), 0, 0, NULL, "an empty queue is an error at once" },
    { "lease", 0, JQ_FLAG_DURATION, FIELD(lease_ms), 1, INT64_MAX / 1000000, "TIME",
      "keep it for so long; done, nack and extend take its receipt" },
    { "count", 'n', JQ_FLAG_INT, FIELD(count), 1, JQ_HELD_MAX, "N",
      "up to so many items: those that are there, at least one; each on a line" },
    { "null", '0', JQ_FLAG_BOOL, FIELD(null), 0, 0, NULL,
      "with -n: a NUL byte behind each item, not a line feed" },
    { "delimiter", 'd', JQ_FLAG_STRING, FIELD(delimiter), 0, 0, "TEXT",
      "with -n: this behind each item" },
};

static const struct jq_get_values defaults;

enum phase { WAITING, WRITING, SETTLING };

struct getting {
    struct jq_cli *cli;
    const struct jq_get_values *values;
    struct jobq_item *item;
    uint64_t id, fence;
    bool is_kept;
    _Atomic int phase;
    struct jq_get_signals signals;
};

/* ---- signals ---- */

/* Nobody is there to read it: the writer hangs. */
static void leave_while_writing(struct getting *g, int number)
{
    if (jobq_settle_nack(g->cli->client, g->id, g->fence, 0) == 0)
        jq_cli_notice(g->cli, "item %" PRIu64 " was given back", g->id);
    _exit(128 + number);
}

static void signal_came(void *arg, int number)
{
    struct getting *g = arg;
    const int phase = atomic_load(&g->phase);

    if (phase == WRITING)
        leave_while_writing(g, number);
    if (phase == WAITING)
        jq_client_interrupt(g->cli->client);
}

/* ---- the item's way out ---- */

/* 0 or an errno. */
static int write_item(struct getting *g)
{
    size_t size;
    const void *data = jobq_item_data(g->item, &size);
    int64_t due = 0;

    if (g->cli->format != JQ_FORMAT_TABLE) {
        if (g->values->lease_ms)
            jq_get_dues(g->cli, &g->id, 1, &due);
        return jq_get_write_json(g->item, due, stdout);
    }
    const int error = jq_items_write(jq_view(data, size));
    return error || !g->values->lease_ms ? error : jq_get_write_receipt(g->id, g->fence);
}

static int give_back(struct getting *g, int error)
{
    clearerr(stdout); /* said here */
    const int rc = jobq_nack(&g->item, 0);
    return jq_cli_fail(
        g->cli, JQ_EIO, "standard output: %s: item %" PRIu64 " %s", strerror(error), g->id,
        rc == 0 ? "was given back" : "could not be given back, and comes back alone");
}

static int settle(struct getting *g)
{
    if (g->values->lease_ms) { /* held by its receipt, not by us */
        g->is_kept = true;
        return 0;
    }
    const int error = jobq_task_done(&g->item);
    if (error == JOBQ_EFENCED)
        return jq_cli_fail(g->cli, error,
                           "item %" PRIu64 " was written, but the lease had been lost: somebody "
                           "else gets it, too",
                           g->id);
    return error ? jq_cli_fail_call(g->cli, error, "get: the item was written") : 0;
}

/* A signal that comes while it is being settled is too late. */
static int deliver(struct getting *g)
{
    g->id = jobq_item_id(g->item);
    g->fence = jobq_item_fence(g->item);
    atomic_store(&g->phase, WRITING);
    if (atomic_load(&g->signals.signal)) {
        (void)jobq_nack(&g->item, 0);
        return 128 + atomic_load(&g->signals.signal);
    }
    const int error = write_item(g);
    atomic_store(&g->phase, SETTLING);
    return error ? give_back(g, error) : settle(g);
}

static int get(struct getting *g, struct jobq_queue *queue)
{
    const int64_t timeout_ms = g->values->nowait ? 0 : g->cli->globals.timeout_ms;
    int status = jq_get_signals_start(g->cli, &g->signals);

    if (status != 0)
        return status;
    const int error = jobq_get(queue, timeout_ms, &g->item);
    if (error == 0)
        status = deliver(g);
    else if (atomic_load(&g->signals.signal))
        status = 128 + atomic_load(&g->signals.signal);
    else
        status = jq_cli_fail_call(g->cli, error, "get");
    jq_get_signals_stop(&g->signals);
    return status;
}

static int get_one(struct jq_cli *cli, struct jobq_queue *queue, const struct jq_get_values *values)
{
    struct getting g = { .cli = cli, .values = values };

    g.signals.came = signal_came;
    g.signals.arg = &g;
    const int status = get(&g, queue);
    if (g.is_kept) { /* to free it now would give it back */
        jq_keeper_stop(&cli->keeper);
        jobq_close(&cli->client);
    }
    jobq_item_free(&g.item);
    return status;
}

static int check(const struct jq_cli *cli, const struct jq_get_values *values)
{
    if (cli->format == JQ_FORMAT_ID)
        return jq_cli_usage(cli, &jq_cmd_get, "get has no -o id: the item's bytes would be lost");
    if (!values->count && (values->null || values->delimiter))
        return jq_cli_usage(cli, &jq_cmd_get, "--null and --delimiter are for -n");
    if (values->null && values->delimiter)
        return jq_cli_usage(cli, &jq_cmd_get, "--null or --delimiter, not both");
    if (!jq_stdio_can_print())
        return jq_cli_fail(cli, JQ_EIO, "standard output takes no data: nothing was taken");
    return 0;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct jq_get_values *v = values;
    struct jobq_queue *queue = NULL;

    int status = check(cli, v);
    if (status == 0)
        status = jq_items_open(cli, words->list[0], v->lease_ms, &queue);
    if (status != 0)
        return status;
    if (!v->nowait)
        jq_keeper_start(cli);
    status = v->count ? jq_get_many(cli, queue, v) : get_one(cli, queue, v);
    jobq_queue_free(&queue);
    return status;
}

const struct jq_command jq_cmd_get = {
    .name = "get",
    .synopsis = "[flags] QUEUE",
    .summary = "take an item out of a queue: its bytes",
    .notes =
        "Waits for an item, as long as --timeout says, prints exactly its bytes, and settles it\n"
        "once they are written out. When they cannot be written, or INT or TERM comes before,\n"
        "the item goes back to its place. With --lease it is kept: standard error says\n"
        "'receipt ID:FENCE' (with -o json the object does), and unless done, nack or extend get\n"
        "that in time, it goes back. Exit codes: 4 empty, also when the time is over; 9 closed\n"
        "and nothing left; 6 no such queue, with --nowait; 1 the lease was lost; 3 no broker.\n"
        "\n"
        "With -n N the first item is waited for, and those that are there come with it: each is\n"
        "followed by a line feed, a NUL (-0) or a TEXT (-d); with -o json each is an object on a\n"
        "line. When one cannot be written it and those behind it go back.\n"
        "\n"
        "  jobq get --timeout 10s mail >letter\n"
        "  receipt=$(jobq -o json get --lease 1m mail | jq -r .receipt); jobq done $receipt\n"
        "  jobq get -n 1000 -0 files | xargs -0 rm\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = 1,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run,
};
