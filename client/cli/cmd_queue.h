/* SPDX-License-Identifier: MIT
 *
 * cmd_queue.h - the verbs of jobq queue, and what they share. */
#ifndef JQ_CLI_CMD_QUEUE_H
#define JQ_CLI_CMD_QUEUE_H

#include "client/cli/cli.h"

extern const struct jq_command jq_queue_pause, jq_queue_resume, jq_queue_close, jq_queue_open,
    jq_queue_drain, jq_queue_purge, jq_queue_rm; /* cmd_queue_do.c */

/* Decodes QUEUE_SAID. False: it says nothing. */
bool jq_queue_said(const struct jq_answer *answer, struct jq_queue_info *ret_info,
                   struct jq_queue_conf *ret_conf);

#endif
