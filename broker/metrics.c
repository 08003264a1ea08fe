/* SPDX-License-Identifier: MIT
 *
 * metrics.c - the table behind metrics.h, and its log line. */
#include "broker/metrics.h"

#include <inttypes.h>
#include <stddef.h>

#include "broker/guard.h"
#include "proto/base/buf.h"
#include "proto/base/log.h"

#include <stdio.h>

struct row {
    const char *name;
    size_t offset;
};

static const struct row rows[] = {
#define COUNTER(name, help) { #name, offsetof(struct jq_metrics, name) },
#include "broker/metrics.def"
};

static void append(struct jq_buf *line, const char *name, uint64_t value)
{
    char text[96];

    if (value == 0)
        return;
    const int size =
        snprintf(text, sizeof(text), "%s%s=%" PRIu64, line->size ? " " : "", name, value);
    if (size > 0)
        jq_buf_append(line, text, (size_t)size);
}

void jq_metrics_log(const struct jq_metrics *metrics)
{
    struct jq_buf line = { 0 };
    struct jq_guard_counts guard;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value;
        __builtin_memcpy(&value, (const char *)metrics + rows[i].offset, sizeof(value));
        append(&line, rows[i].name, value);
    }
    jq_guard_read(&guard);
    append(&line, "connections_accepted", guard.accepted);
    append(&line, "connections_refused", guard.refused);
    append(&line, "connections_shed", guard.shed);
    append(&line, "connections_flooding", guard.flooding);
    append(&line, "connections_foreign", guard.foreign);
    if (jq_buf_ok(&line))
        jq_log(JQ_INFO, "counters", "%.*s", JQ_VIEW_ARG(jq_buf_view(&line)));
    jq_buf_fini(&line);
}
