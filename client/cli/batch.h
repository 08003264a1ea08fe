/* SPDX-License-Identifier: MIT
 *
 * batch.h - a job for each line of a file. */
#ifndef JQ_CLI_BATCH_H
#define JQ_CLI_BATCH_H

#include "client/cli/spec.h"

/* Where lines are in what was read. Pure. */
struct jq_lines {
    struct jq_buf bytes; /* read and not yet taken; NUL-ended lines are cut in place */
    size_t at;
    uint64_t number; /* of the last line that was taken, from 1 */
    char end;        /* '\n' or '\0' */
    bool at_end;     /* nothing comes after `bytes`: the last line needs no end */
};
/* The next line, as a string, or NULL: more must be read. Blank lines are left out. EINVAL with
 * detail: a NUL within a line. ENOMEM. */
JQ_MUST_USE enum jq_err jq_lines_next(struct jq_lines *lines, char **ret_line,
                                      struct jq_detail *ret_detail);
void jq_lines_drop_taken(struct jq_lines *lines);

/* Submits all lines of the file `path` (NULL: standard input), and prints the ids in their order.
 * What was submitted before an error stays submitted, and its ids are printed. */
int jq_batch_submit(struct jq_cli *cli, const struct jq_spec *spec, const char *path, char end);

#endif
