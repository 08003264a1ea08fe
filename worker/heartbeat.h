/* SPDX-License-Identifier: MIT
 *
 * heartbeat.h - BEAT, from a thread and a connection of its own: whatever the loop or a job does,
 * the session's leases are renewed while this process lives. It decides nothing: which jobs are
 * lost is what WELCOME says. All calls are the loop thread's. */
#ifndef JQ_WORKER_HEARTBEAT_H
#define JQ_WORKER_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/time.h"

struct jq_heartbeat;

struct jq_heartbeat_conf {
    uint64_t session;
    const char *url; /* all three are copied or used at once */
    const char *name;
    const char *software;
};

/* Starts the thread; it is quiet until the first interval. EIO, ENOMEM, EINVAL with detail. */
JQ_MUST_USE enum jq_err jq_heartbeat_start(const struct jq_heartbeat_conf *conf,
                                           struct jq_heartbeat **ret_heartbeat,
                                           struct jq_detail *ret_detail);
/* As WELCOME says: beat this often, starting now. */
void jq_heartbeat_interval(struct jq_heartbeat *heartbeat, jq_ms interval);
void jq_heartbeat_stop(struct jq_heartbeat **heartbeat);

#endif
