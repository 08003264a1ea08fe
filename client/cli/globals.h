/* SPDX-License-Identifier: MIT
 *
 * globals.h - the flags that every command takes, before its name or after it. */
#ifndef JQ_CLI_GLOBALS_H
#define JQ_CLI_GLOBALS_H

#include "client/cli/cli.h"

extern const struct jq_flag jq_global_flags[];
extern const size_t jq_global_flag_count;

#endif
