/* SPDX-License-Identifier: MIT
 *
 * terms_make.c - terms.h for a command: errors are said, and "last" becomes an id. */
#include "client/cli/terms.h"
#include "proto/base/clock.h"

static int resolve(struct jq_cli *cli, struct jq_terms *terms)
{
    uint64_t id = 0;
    const int status = jq_cli_newest(cli, &id);

    for (size_t i = 0; status == 0 && i < terms->options.after_count; i++)
        if (terms->after[i].id == JQ_ID_LAST)
            terms->after[i].id = id;
    return status;
}

int jq_terms_make(struct jq_cli *cli, const struct jq_terms_flags *flags,
                  struct jq_terms **ret_terms)
{
    struct jq_detail detail = { "out of memory" };
    struct jq_terms *terms = NULL;

    const enum jq_err err = jq_terms_read(flags, jq_clock_now().wall, &terms, &detail);
    if (err != JQ_OK)
        return err == JQ_EINVAL ? jq_cli_usage(cli, cli->command, "%s", detail.text)
                                : jq_cli_fail(cli, err, "%s", detail.text);
    const int status = terms->has_last ? resolve(cli, terms) : 0;
    if (status != 0) {
        jq_terms_free(terms);
        return status;
    }
    *ret_terms = terms;
    return 0;
}
