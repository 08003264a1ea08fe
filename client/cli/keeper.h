/* SPDX-License-Identifier: MIT
 *
 * keeper.h - while a command waits for long at the private endpoint, somebody must see to it that a
 * broker is there: nobody else starts one. */
#ifndef JQ_CLI_KEEPER_H
#define JQ_CLI_KEEPER_H

#include "client/cli/cli.h"

struct jq_keeper;

/* After jq_cli_connect, which says whether a broker may be started here; else nothing happens. Best
 * effort: without memory or threads the command waits all the same. A thread of its own. */
void jq_keeper_start(struct jq_cli *cli);
/* Before the connection is closed. NULL is fine. */
void jq_keeper_stop(struct jq_keeper **keeper);

#endif
