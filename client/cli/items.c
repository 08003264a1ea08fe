/* SPDX-License-Identifier: MIT
 *
 * items.c - see items.h. */
#include "client/cli/items.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/cli/stdio.h"
#include "client/names.h"

int jq_cli_name(const struct jq_cli *cli, const char *what, const char *name)
{
    if (jq_is_name(jq_view_str(name)))
        return 0;
    return jq_cli_usage(cli, cli->command, "'%s' is no name of a %s: 1 to 128 of A-Z a-z 0-9 . _ -",
                        name, what);
}

int jq_cli_queue_name(const struct jq_cli *cli, const char *name)
{
    return jq_cli_name(cli, "queue", name);
}

int jq_items_open(struct jq_cli *cli, const char *name, int64_t lease_ms,
                  struct jobq_queue **ret_queue)
{
    struct jobq_queue_options options = JOBQ_QUEUE_OPTIONS_INIT;
    int status = jq_cli_queue_name(cli, name);

    if (status == 0)
        status = jq_cli_connect(cli);
    if (status != 0)
        return status;
    options.lease_ms = lease_ms;
    const int error = jobq_queue_open(cli->client, name, &options, ret_queue);
    return error ? jq_cli_fail_call(cli, error, "queue") : 0;
}

void jq_receipt_text(uint64_t id, uint64_t fence, char text[static JQ_RECEIPT_BYTES])
{
    snprintf(text, JQ_RECEIPT_BYTES, "%" PRIu64 ":%" PRIu64, id, fence);
}

int jq_items_write(struct jq_view payload)
{
    if (fflush(stdout) != 0)
        return errno;
    return jq_write_all(STDOUT_FILENO, payload.data, payload.size);
}

int jq_items_too_large(const struct jq_cli *cli, const char *what, uint64_t bytes, bool is_all,
                       uint64_t put)
{
    return jq_cli_fail(cli, JQ_EMSGSIZE,
                       "%s has %s%" PRIu64
                       " bytes: an item has at most %d; items that were put: %" PRIu64,
                       what, is_all ? "" : "at least ", bytes, JQ_PAYLOAD_MAX, put);
}
