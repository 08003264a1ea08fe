/* SPDX-License-Identifier: MIT
 *
 * local.h - the socket file of a local broker: does anybody listen there, who, and is its directory
 * safe. The only sockets that jobq opens by itself. */
#ifndef JQ_CLI_LOCAL_H
#define JQ_CLI_LOCAL_H

#include <sys/types.h>

#include "proto/base/err.h"

struct jq_local_broker {
    pid_t pid; /* 0: it is in another pid namespace */
    uid_t uid;
};

/* Connects and leaves. UNREACH: nobody listens (no file, or one that a dead broker left). AUTH with
 * detail: it is not ours to talk to. IO with detail. */
JQ_MUST_USE enum jq_err jq_local_probe(const char *path, struct jq_local_broker *ret_broker,
                                       struct jq_detail *ret_detail);

/* Opens the directory of a socket; a missing last component is made, 0700. AUTH with detail: others
 * could put things into it. IO with detail. */
JQ_MUST_USE enum jq_err jq_local_dir_open(const char *path, int *ret_fd,
                                          struct jq_detail *ret_detail);

#endif
