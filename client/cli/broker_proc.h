/* SPDX-License-Identifier: MIT
 *
 * broker_proc.h - what /proc tells of a broker of this machine and user. Best effort: for people.
 */
#ifndef JQ_CLI_BROKER_PROC_H
#define JQ_CLI_BROKER_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Since it was started; -1: unknown. */
int64_t jq_broker_proc_uptime_ms(pid_t pid);
/* The file that holds its jobs. False: unknown, or none. */
bool jq_broker_proc_store(pid_t pid, char *ret_path, size_t size);

#endif
