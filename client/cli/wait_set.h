/* SPDX-License-Identifier: MIT
 *
 * wait_set.h - WAIT for jobs that are named one after the other, also while some are waited for:
 * ids may come from standard input as somebody writes them. Each job is told of once. */
#ifndef JQ_CLI_WAIT_SET_H
#define JQ_CLI_WAIT_SET_H

#include "client/cli/cli.h"
#include "proto/base/map.h"

struct jq_wait_set {
    struct jq_cli *cli; /* connected */
    uint64_t states;    /* as wait.states */
    size_t total;       /* jobs that were named, each once */
    bool is_reading;    /* standard input may name more */
    struct jq_map asked, told;
    struct jq_wait_part *parts; /* a WAIT each */
    size_t part_count, part_capacity;
    struct jq_buf text; /* read, and not yet a whole word */
};
/* A zeroed struct with cli and states is an empty set. */
void jq_wait_set_fini(struct jq_wait_set *set);
/* Those that were named before are left out. 0 or an exit code. */
int jq_wait_set_add(struct jq_wait_set *set, const struct jq_ids *ids);

/* Called for each job that ended, reached a state, or is unknown. False: enough. */
typedef bool jq_wait_each(void *arg, const struct jq_result *result);
/* Tells what has come, reads ids where some are written, and waits for either at most timeout_ms
 * (-1: for ever) when nothing has. 0 or an exit code; *ret_moved: something has come. */
int jq_wait_set_turn(struct jq_wait_set *set, int64_t timeout_ms, jq_wait_each *each, void *arg,
                     bool *ret_moved);

#endif
