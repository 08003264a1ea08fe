/* SPDX-License-Identifier: MIT
 *
 * ending.h - how a job has ended, for people: a sentence; and the exit code that goes with it. */
#ifndef JQ_CLI_ENDING_H
#define JQ_CLI_ENDING_H

#include "client/cli/cli.h"
#include "proto/base/buf.h"

/* "exit code 3", "killed by signal 9 (KILL)", "cancelled: text", "timed out after 100 ms"; pure. */
void jq_ending_text(struct jq_buf *out, const struct jq_ending *ending);

/* The exit code; says on standard error what an exit code alone does not tell: everything but a
 * plain success or a plain exit code. */
int jq_ending_tell(const struct jq_cli *cli, const struct jobq_result *result);

#endif
