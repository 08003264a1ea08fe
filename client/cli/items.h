/* SPDX-License-Identifier: MIT
 *
 * items.h - what the commands of queues and items share. */
#ifndef JQ_CLI_ITEMS_H
#define JQ_CLI_ITEMS_H

#include "client/cli/cli.h"
#include "client/cli/format_json.h"

/* Connects, and opens queue `name`. */
int jq_items_open(struct jq_cli *cli, const char *name, int64_t lease_ms,
                  struct jobq_queue **ret_queue);

/* A usage error when it can be no name of a `what`, of a queue. */
int jq_cli_name(const struct jq_cli *cli, const char *what, const char *name);
int jq_cli_queue_name(const struct jq_cli *cli, const char *name);
/* jobq join, of an open queue. */
int jq_join(struct jq_cli *cli, struct jobq_queue *queue, const char *name);

/* "17:4294967297" */
enum { JQ_RECEIPT_BYTES = 42 };
void jq_receipt_text(uint64_t id, uint64_t fence, char text[static JQ_RECEIPT_BYTES]);

/* The bytes alone to standard output. 0 or an errno. */
int jq_items_write(struct jq_view payload);
/* An item that is too large, after `put` others: limit and size as an error. `is_all`: it has no
 * more bytes than these. */
int jq_items_too_large(const struct jq_cli *cli, const char *what, uint64_t bytes, bool is_all,
                       uint64_t put);

#endif
