/* SPDX-License-Identifier: MIT
 *
 * why.h - between why.c and why_ended.c. */
#ifndef JQ_CORE_WHY_H
#define JQ_CORE_WHY_H

#include "broker/core/parts.h"

struct jq_reasons {
    struct jq_buf blockers;
    uint32_t count;
    uint64_t about; /* the sentences are about this job; 0: the one that was asked about */
};

void jq_reasons_add(struct jq_reasons *b, const char *kind, uint64_t subject, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
/* The answer; frees what is in *b. */
void jq_why_tell(struct jq_core *core, struct jq_peer *peer, uint64_t correlation, uint64_t batch,
                 enum jq_job_state state, struct jq_reasons *b);
/* Of a job that has not ended. */
void jq_why_live(struct jq_core *core, struct jq_peer *peer, uint64_t correlation,
                 const struct jq_job *job);
/* Of one that has: from the store, after this batch. */
JQ_MUST_USE enum jq_err jq_why_ended(struct jq_core *core, struct jq_peer *peer,
                                     uint64_t correlation, uint64_t id, uint64_t after);

#endif
