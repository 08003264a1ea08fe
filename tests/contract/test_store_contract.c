/* SPDX-License-Identifier: MIT
 *
 * test_store_contract.c - what every store must do: the same tests over each backend, directly and
 * through the store thread. */
#include "tests/contract/store_contract.h"

#include <stdlib.h>

static int setup(void **state)
{
    const struct variant *variant = *state;
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_open(f, variant);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

void reopen_if_kept(struct fixture *f)
{
    if (f->directory[0])
        fixture_reopen(f);
}

static const struct variant variants[] = {
    { "memory", &jq_store_memory, false },
    { "sqlite", &jq_store_sqlite, false },
    { "memory, threaded", &jq_store_memory, true },
    { "sqlite, threaded", &jq_store_sqlite, true },
};

int main(void)
{
    struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, NULL),
#include "tests/contract/store_contract.def"
    };
    const size_t count = sizeof(tests) / sizeof(tests[0]);
    int failed = 0;

    for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
        struct variant variant = variants[v];
        for (size_t i = 0; i < count; i++)
            tests[i].initial_state = &variant;
        failed += _cmocka_run_group_tests(variant.name, tests, count, NULL, NULL);
    }
    return failed != 0;
}
