/* SPDX-License-Identifier: MIT
 *
 * store_contract.h - the tests of the stores' contract. Each has a fixture as its state. */
#ifndef JQ_TESTS_STORE_CONTRACT_H
#define JQ_TESTS_STORE_CONTRACT_H

#include "tests/contract/store_fixture.h"

#define TEST(name) void name(void **state);
#include "tests/contract/store_contract.def"

/* Memory forgets: only where it should remember. */
void reopen_if_kept(struct fixture *f);

#endif
