/* SPDX-License-Identifier: MIT
 *
 * stdio.h - the three standard descriptors: open at the start, written for sure at the end. */
#ifndef JQ_CLI_STDIO_H
#define JQ_CLI_STDIO_H

#include <stddef.h>

#include "client/cli/cli.h"
#include "proto/base/buf.h"

/* Whatever is closed is opened, so that no file of ours becomes number 0, 1 or 2: what is written
 * to a closed standard output still fails, a closed standard input is empty. Ignores SIGPIPE. Main
 * thread, first of all. False: /dev/null cannot be opened. */
bool jq_stdio_init(void);
/* Standard output takes data: what cannot be told need not be begun. */
bool jq_stdio_can_print(void);
/* Flushes standard output; `status`, or JQ_EXIT_FAILED after saying that it could not be written.
 * A reader that left (EPIPE) is not told about. */
int jq_stdio_finish(const struct jq_cli *cli, int status);
/* All of `size` bytes to a descriptor. 0 or an errno. */
int jq_write_all(int fd, const void *data, size_t size);
/* Reads once; *ret_got 0: the end. 0 or an errno. */
int jq_read_some(int fd, void *to, size_t size, size_t *ret_got);
/* Reads `fd` to its end; at most `max` bytes. 0 or an errno, EFBIG: it has more. */
int jq_read_all(int fd, size_t max, struct jq_buf *out);
/* Columns of the terminal on standard output; 0: it is none. */
size_t jq_stdio_width(void);

#endif
