/* SPDX-License-Identifier: MIT
 *
 * get_show.c - see get.h: signals of jobq get, and how an item is shown beside its bytes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/get.h"
#include "client/cli/job_list.h"

/* ---- signals ---- */

static void *signal_main(void *arg)
{
    struct jq_get_signals *s = arg;
    int state;

    for (;;) {
        const int number = sigwaitinfo(&s->set, NULL);
        if (number < 0)
            continue;
        if (atomic_exchange(&s->signal, number) != 0)
            _exit(128 + number);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* it takes locks */
        s->came(s->arg, number);
        pthread_setcancelstate(state, NULL);
    }
    return NULL;
}

int jq_get_signals_start(struct jq_cli *cli, struct jq_get_signals *signals)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    struct sigaction action;

    sigemptyset(&signals->set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals->set, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &signals->set, NULL);
    const int error = pthread_create(&signals->thread, NULL, signal_main, signals);
    return error ? jq_cli_fail(cli, JQ_EBUSY, "a thread: %s", strerror(error)) : 0;
}

void jq_get_signals_stop(struct jq_get_signals *signals)
{
    pthread_cancel(signals->thread);
    pthread_join(signals->thread, NULL);
}

/* ---- beside the bytes ---- */

struct dues {
    int64_t *list;
    size_t count, next;
};

static int note_due(void *arg, const struct jq_job_info *info)
{
    struct dues *dues = arg;

    if (dues->next < dues->count)
        dues->list[dues->next++] = info->error == 0 ? info->due_at : 0;
    return 0;
}

void jq_get_dues(struct jq_cli *cli, uint64_t *ids, size_t count, int64_t *dues)
{
    struct dues noted = { .list = dues, .count = count };
    const struct jq_ids list = { .list = ids, .count = count };

    jq_job_infos(cli, &list, note_due, &noted);
}

int jq_get_write_json(const struct jobq_item *item, int64_t due, FILE *out)
{
    char receipt[JQ_RECEIPT_BYTES];
    struct jq_json_object *object = jq_json_open();
    size_t size;
    const void *data = jobq_item_data(item, &size);

    jq_receipt_text(jobq_item_id(item), jobq_item_fence(item), receipt);
    jq_json_id(object, "id", jobq_item_id(item));
    jq_json_text(object, "receipt", receipt);
    jq_json_number(object, "priority", jobq_item_priority(item));
    jq_json_number(object, "attempt", jobq_item_attempt(item));
    jq_json_time(object, "lease_until", due);
    jq_json_bytes(object, "payload", jq_view(data, size));
    if (!jq_json_close(object, out))
        return ENOMEM;
    return fflush(out) == 0 && !ferror(out) ? 0 : errno ? errno : EIO;
}

int jq_get_write_receipt(uint64_t id, uint64_t fence)
{
    char receipt[JQ_RECEIPT_BYTES];

    jq_receipt_text(id, fence, receipt);
    return fprintf(stderr, "receipt %s\n", receipt) < 0 ? errno : 0;
}
