/* SPDX-License-Identifier: MIT
 *
 * spawner.h - the process whose children the commands are.
 *
 * It is forked before its parent has threads or sockets, has one thread itself, and talks with the
 * exec executor over a socket (spawn_link.h). When that socket ends, because its worker closed it
 * or died of anything, SIGKILL included, it kills every group it started, whatever else came from
 * them, and exits. */
#ifndef JQ_WORKER_SPAWNER_H
#define JQ_WORKER_SPAWNER_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/base/err.h"
#include "proto/base/time.h"

struct jq_spawner_conf {
    uint32_t slots;
    uint64_t output_bytes; /* kept of each stream, at most: half head, half tail */
    jq_ms kill_after_ms;   /* between TERM and KILL of a job that timed out */
};

/* Forks it; call while this process has one thread. The caller owns the socket *ret_fd, and the
 * child *ret_pid. EIO with detail. */
JQ_MUST_USE enum jq_err jq_spawner_start(const struct jq_spawner_conf *conf, int *ret_fd,
                                         pid_t *ret_pid, struct jq_detail *ret_detail);

#endif
