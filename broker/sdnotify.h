/* SPDX-License-Identifier: MIT
 *
 * sdnotify.h - telling systemd: ready, what we do, that the loop turns, that we stop. Without a
 * service manager every call does nothing. Loop thread only. */
#ifndef JQ_BROKER_SDNOTIFY_H
#define JQ_BROKER_SDNOTIFY_H

#include "proto/base/time.h"

struct jq_sdnotify {
    int fd;            /* -1: nobody listens */
    jq_ms watchdog_ms; /* a WATCHDOG=1 is owed this often; 0: none */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment, so
 * that a child does not speak for us. */
void jq_sdnotify_open(struct jq_sdnotify *ret_notify);
/* "READY=1\nSTATUS=...": lines as sd_notify(3) has them. Truncated at 1 KiB; a loss is no error. */
void jq_sdnotify_send(const struct jq_sdnotify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void jq_sdnotify_close(struct jq_sdnotify *notify);

#endif
