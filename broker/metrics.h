/* SPDX-License-Identifier: MIT
 *
 * metrics.h - the counters of metrics.def. Loop thread only; the accept guard keeps its own, as
 * libzmq's thread counts there. */
#ifndef JQ_BROKER_METRICS_H
#define JQ_BROKER_METRICS_H

#include <stdint.h>

struct jq_metrics {
#define COUNTER(name, help) uint64_t name;
#include "broker/metrics.def"
};

/* One log line, event "counters", with all that are not zero. */
void jq_metrics_log(const struct jq_metrics *metrics);

#endif
