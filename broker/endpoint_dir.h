/* SPDX-License-Identifier: MIT
 *
 * endpoint_dir.h - the directory of an ipc socket: made when missing, and refused when somebody
 * else could put things into it. */
#ifndef JQ_BROKER_ENDPOINT_DIR_H
#define JQ_BROKER_ENDPOINT_DIR_H

#include "proto/base/err.h"

/* Opens the directory of `path` (absolute). A missing last component is made, 0700.
 *
 * A directory named jobq or jobq-<uid> is jobq's own: it must be ours, no symbolic link, and closed
 * to all others. Any other was chosen by the user: it must belong to us or to root, and others may
 * write to it only under the sticky bit. AUTH, IO with detail. */
JQ_MUST_USE enum jq_err jq_endpoint_dir_open(const char *path, int *ret_fd,
                                             struct jq_detail *ret_detail);

#endif
