/* SPDX-License-Identifier: MIT
 *
 * handler_job.h - a handler's job as submit is told of it: its name, its arguments, its payload. */
#ifndef JQ_CLI_HANDLER_JOB_H
#define JQ_CLI_HANDLER_JOB_H

#include "client/cli/cli.h"

struct jq_handler_flags {
    const char *name; /* NULL: the job is a command */
    struct jq_words
        given; /* "arg", "arg-json", "named" or "named-json", then its value; in order */
};

/* How deep a job is that is submitted here: 1, or one more than the job that this is. 0 or an exit
 * code: it would be too deep. */
int jq_own_depth(const struct jq_cli *cli, uint64_t *ret_depth);

/* What was given, then `words`, as the arguments; timeout_ms 0: none. The caller frees *ret_payload
 * with jobq_payload_free. 0 or an exit code. */
int jq_handler_args(const struct jq_cli *cli, const struct jq_handler_flags *flags,
                    char *const *words, size_t count, uint64_t depth, int64_t timeout_ms,
                    void **ret_payload, size_t *ret_size);

#endif
