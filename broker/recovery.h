/* SPDX-License-Identifier: MIT
 *
 * recovery.h - from an opened store to a core that may serve: everything is loaded, the start is
 * durable. Loop thread, before any endpoint is bound; blocks. */
#ifndef JQ_BROKER_RECOVERY_H
#define JQ_BROKER_RECOVERY_H

#include <stdint.h>

#include "broker/core/core.h"
#include "broker/store/store.h"
#include "proto/base/err.h"

struct jq_recovered {
    uint64_t queues, jobs, damaged, requests, workers;
    uint64_t incarnation;
    uint64_t number; /* of the batch that made the start durable */
    bool space_low;
};

/* Loads, starts the core and the store's thread, and waits until the new incarnation is durable.
 * Whatever the error, neither core nor store can be used any more, only freed. */
JQ_MUST_USE enum jq_err jq_recover(struct jq_store *store, struct jq_core *core,
                                   struct jq_recovered *ret_recovered,
                                   struct jq_detail *ret_detail);

#endif
