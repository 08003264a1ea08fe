/* SPDX-License-Identifier: MIT
 *
 * loop.h - jobq-worker's loop thread: it joins fetch, the executors, the broker's socket, signals
 * and time. It decides nothing: fetch does. */
#ifndef JQ_WORKER_LOOP_H
#define JQ_WORKER_LOOP_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/err.h"
#include "proto/base/view.h"
#include "worker/handlers.h"
#include "worker/settings.h"

struct jq_worker;

struct jq_worker_parts {
    const struct jq_worker_settings *settings; /* outlive the worker */
    struct jq_view config;                     /* the effective settings, as text */
    struct jq_records tags;
    const struct jq_handlers *handlers; /* outlive the worker */
    int spawner_fd;                     /* taken */
    pid_t spawner;
};

/* Opens everything; blocks this thread's signals, which the loop reads. EIO, EINVAL, ENOMEM with
 * detail. The spawner is ended on failure too. */
JQ_MUST_USE enum jq_err jq_worker_open(const struct jq_worker_parts *parts,
                                       struct jq_worker **ret_worker, struct jq_detail *ret_detail);
/* Until the worker has left; what the process is to exit with. */
int jq_worker_run(struct jq_worker *worker);
/* Ends what still runs. False: a handler has not ended; the process is to leave by _exit. */
bool jq_worker_close(struct jq_worker **worker);

#endif
