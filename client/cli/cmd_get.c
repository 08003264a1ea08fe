/* SPDX-License-Identifier: MIT
 *
 * cmd_get.c - jobq get: an item's bytes to standard output. It is settled when they have been
 * written, and given back when they could not be, or when a signal comes before. Threads: main gets
 * and writes, one takes the signals. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/items.h"
#include "client/cli/job_list.h"
#include "client/cli/keeper.h"
#include "client/cli/stdio.h"

struct values {
    bool nowait;
    int64_t lease_ms; /* 0: settle it */
};

static const struct jq_flag flags[] = {
    { "nowait", 0, JQ_FLAG_BOOL, offsetof(struct values, nowait), 0, 0, NULL,
      "an empty queue is an error at once" },
    { "lease", 0, JQ_FLAG_DURATION, offsetof(struct values, lease_ms), 1, INT64_MAX / 1000000,
      "TIME", "keep it for so long; done, nack and extend take its receipt" },
};

static const struct values defaults;

enum phase { WAITING, WRITING, SETTLING };

struct getting {
    struct jq_cli *cli;
    const struct values *values;
    struct jobq_item *item;
    uint64_t id, fence;
    bool is_kept;
    _Atomic int phase;
    _Atomic int signal; /* that came first; 0 */
    sigset_t signals;
    pthread_t thread;
};

/* ---- signals ---- */

/* Nobody is there to read it: the writer hangs. */
static void leave_while_writing(struct getting *g, int number)
{
    if (jobq_settle_nack(g->cli->client, g->id, g->fence, 0) == 0)
        jq_cli_notice(g->cli, "item %" PRIu64 " was given back", g->id);
    _exit(128 + number);
}

static void *signal_main(void *arg)
{
    struct getting *g = arg;

    for (;;) {
        const int number = sigwaitinfo(&g->signals, NULL);
        if (number < 0)
            continue;
        if (atomic_exchange(&g->signal, number) != 0)
            _exit(128 + number);
        const int phase = atomic_load(&g->phase);
        if (phase == WRITING)
            leave_while_writing(g, number);
        if (phase == WAITING)
            jq_client_interrupt(g->cli->client);
    }
    return NULL;
}

/* Signals that our caller ignores stay ignored. */
static int start_signals(struct getting *g)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    struct sigaction action;

    sigemptyset(&g->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&g->signals, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &g->signals, NULL);
    const int error = pthread_create(&g->thread, NULL, signal_main, g);
    return error ? jq_cli_fail(g->cli, JQ_EBUSY, "a thread: %s", strerror(error)) : 0;
}

static void stop_signals(struct getting *g)
{
    pthread_cancel(g->thread);
    pthread_join(g->thread, NULL);
}

/* ---- the item's way out ---- */

static int note_due(void *arg, const struct jq_job_info *info)
{
    *(int64_t *)arg = info->error == 0 ? info->due_at : 0;
    return 0;
}

/* 0 or an errno. */
static int write_json(struct getting *g, struct jq_view payload)
{
    char receipt[JQ_RECEIPT_BYTES];
    struct jq_json_object *object = jq_json_open();
    const struct jq_ids ids = { .list = &g->id, .count = 1 };
    int64_t due = 0;

    jq_receipt_text(g->id, g->fence, receipt);
    if (g->values->lease_ms)
        jq_job_infos(g->cli, &ids, note_due, &due);
    jq_json_id(object, "id", g->id);
    jq_json_text(object, "receipt", receipt);
    jq_json_number(object, "priority", jobq_item_priority(g->item));
    jq_json_number(object, "attempt", jobq_item_attempt(g->item));
    jq_json_time(object, "lease_until", due);
    jq_json_bytes(object, "payload", payload);
    if (!jq_json_close(object, stdout))
        return ENOMEM;
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : errno ? errno : EIO;
}

static int write_item(struct getting *g)
{
    size_t size;
    const void *data = jobq_item_data(g->item, &size);
    const struct jq_view payload = jq_view(data, size);
    char receipt[JQ_RECEIPT_BYTES];

    if (g->cli->format != JQ_FORMAT_TABLE)
        return write_json(g, payload);
    const int error = jq_items_write(payload);
    if (error || !g->values->lease_ms)
        return error;
    jq_receipt_text(g->id, g->fence, receipt);
    return fprintf(stderr, "receipt %s\n", receipt) < 0 ? errno : 0;
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
    if (atomic_load(&g->signal)) {
        (void)jobq_nack(&g->item, 0);
        return 128 + atomic_load(&g->signal);
    }
    const int error = write_item(g);
    atomic_store(&g->phase, SETTLING);
    return error ? give_back(g, error) : settle(g);
}

static int get(struct getting *g, struct jobq_queue *queue)
{
    const int64_t timeout_ms = g->values->nowait ? 0 : g->cli->globals.timeout_ms;
    int status = start_signals(g);

    if (status != 0)
        return status;
    const int error = jobq_get(queue, timeout_ms, &g->item);
    if (error == 0)
        status = deliver(g);
    else if (atomic_load(&g->signal))
        status = 128 + atomic_load(&g->signal);
    else
        status = jq_cli_fail_call(g->cli, error, "get");
    stop_signals(g);
    return status;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    struct getting g = { .cli = cli, .values = values };
    struct jobq_queue *queue = NULL;

    if (cli->format == JQ_FORMAT_ID)
        return jq_cli_usage(cli, &jq_cmd_get, "get has no -o id: the item's bytes would be lost");
    if (!jq_stdio_can_print())
        return jq_cli_fail(cli, JQ_EIO, "standard output takes no data: nothing was taken");
    int status = jq_items_open(cli, words->list[0], g.values->lease_ms, &queue);
    if (status != 0)
        return status;
    if (!g.values->nowait)
        jq_keeper_start(cli);
    status = get(&g, queue);
    jobq_queue_free(&queue);
    if (g.is_kept) { /* to free it now would give it back */
        jq_keeper_stop(&cli->keeper);
        jobq_close(&cli->client);
    }
    jobq_item_free(&g.item);
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
        "  jobq get --timeout 10s mail >letter\n"
        "  receipt=$(jobq -o json get --lease 1m mail | jq -r .receipt); jobq done $receipt\n",
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
