/* SPDX-License-Identifier: MIT
 *
 * core_claims.h - what the tests of the core share: one driver for each claim, and what is expected
 * of it. All fail the test when it is otherwise. */
#ifndef JQ_TESTS_CORE_CLAIMS_H
#define JQ_TESTS_CORE_CLAIMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/order.h"
#include "tests/support/core_driver.h"

int claim_set_up(void **state);
int claim_tear_down(void **state);
/* What is told a moment late comes now. */
void claim_late(struct driver *d);
void claim_drop(struct driver *d, uint64_t peer, enum jq_tag tag);
int64_t claim_expect_error(struct driver *d, uint64_t peer);
uint64_t claim_submitted_id(struct driver *d, uint64_t client);
/* Exactly one result in the frame. */
struct jq_result claim_expect_result(struct driver *d, uint64_t client, struct driver_frame *frame);
void claim_expect_end(struct driver *d, uint64_t client, uint64_t id, enum jq_job_state state);
int64_t claim_cancel(struct driver *d, uint64_t client, uint64_t id);
struct jq_job_info claim_info_of(struct driver *d, uint64_t client, uint64_t id,
                                 struct driver_frame *frame);
enum jq_job_state claim_state_of(struct driver *d, uint64_t client, uint64_t id);
uint64_t claim_counter(struct driver *d, uint64_t client, const char *name);

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, claim_set_up, claim_tear_down)

#endif
