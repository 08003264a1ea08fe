/* SPDX-License-Identifier: MIT
 *
 * autostart.h - a private broker for whoever has none: `jobqd --local` at the default endpoint,
 * started once however many jobq ask for it at a time. */
#ifndef JQ_CLI_AUTOSTART_H
#define JQ_CLI_AUTOSTART_H

#include <stdbool.h>

#include "client/cli/local.h"
#include "proto/base/err.h"

/* `url` is an ipc:// endpoint. OK: somebody serves it now; *ret_started says whether that was our
 * doing. Only one process of those that ask starts it: the others wait for the lock
 * `autostart.lock` beside the socket, and look again. AUTH, IO, UNREACH with detail: jobqd's own
 * words where there are any. */
JQ_MUST_USE enum jq_err jq_autostart(const char *url, struct jq_local_broker *ret_broker,
                                     bool *ret_started, struct jq_detail *ret_detail);

#endif
