/* SPDX-License-Identifier: MIT
 *
 * spill_claims.h - what the tests of spilled jobs share: a broker that may have 16 jobs in memory,
 * and who takes items of its queue "q". */
#ifndef JQ_TESTS_SPILL_CLAIMS_H
#define JQ_TESTS_SPILL_CLAIMS_H

#include "tests/unit/core/queue_claims.h"

enum { SPILL_RESIDENT = 16 };

int spill_set_up(void **state);
#define SPILL_CLAIM(name) cmocka_unit_test_setup_teardown(name, spill_set_up, claim_tear_down)

/* "q" of that order with so many jobs of this handler and priority; more than may be in memory, and
 * settled: durable, and none is about to leave. */
void spill_fill(struct driver *d, uint64_t client, const char *handler, int32_t priority,
                uint32_t count);
/* Those of "q" in the store alone. */
uint64_t spill_alone(const struct driver *d);
/* From this id on, the first waiting job that is in the store alone. */
uint64_t spill_first_alone(const struct driver *d, uint64_t from);
/* GET that does not wait: the item when it has come, after a page if need be. Never EMPTY. */
struct jq_held spill_get(struct driver *d, uint64_t client);
/* Takes and settles all there are, which are so many; true: in the order of their ids. */
bool spill_drain(struct driver *d, uint64_t client, uint64_t count);
/* So many jobs for workers; one of them that is in the store alone. */
uint64_t spill_one_alone(struct driver *d, uint64_t client, uint32_t count);
/* All jobs up to this one run; it ends so. */
void spill_run_up_to(struct driver *d, uint64_t worker, uint64_t first, uint64_t last,
                     int64_t code);

#endif
