/* SPDX-License-Identifier: MIT
 *
 * test_exit_code.c - the table of exit codes that jobq(1) promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/exit_code.h"

static const struct {
    enum jq_job_state state;
    int64_t code;
    uint64_t signal;
    const char *reason;
    int exit_code;
    const char *name;
} table[] = {
    { JQ_SUCCEEDED, 0, 0, "", 0, "succeeded" },
    { JQ_FAILED, 7, 0, "", 7, "failed" },
    { JQ_FAILED, 255, 0, "", 255, "failed" },
    { JQ_FAILED, 0, 9, "", 137, "signalled" },
    { JQ_FAILED, 0, 15, "", 143, "signalled" },
    { JQ_FAILED, 126, 0, "not executable", 126, "failed" },
    { JQ_FAILED, 127, 0, "no such file", 127, "failed" },
    { JQ_FAILED, 256, 0, "", 1, "failed" },
    { JQ_FAILED, -1, 0, "", 1, "failed" },
    { JQ_FAILED, 0, 0, "", 1, "failed" },
    { JQ_FAILED, 0, 128, "", 1, "signalled" },
    { JQ_FAILED, 0, 15, "timed out after 100 ms", 124, "timed_out" },
    { JQ_FAILED, 0, 0, "poison: 2 workers were lost while they ran it", 122, "lost" },
    { JQ_CANCELLED, 0, 15, "cancelled", 121, "cancelled" },
    { JQ_CANCELLED, 3, 0, "", 121, "cancelled" },
    { JQ_EXPIRED, 0, 0, "", 121, "expired" },
    { JQ_SKIPPED, 0, 0, "", 121, "skipped" },
    { JQ_RUNNING, 0, 0, "", 125, "running" },
};

static void each_ending_has_its_exit_code_and_its_name(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct jq_ending ending = { table[i].state, table[i].code, table[i].signal,
                                          jq_view_str(table[i].reason) };
        if (jq_exit_code(&ending) != table[i].exit_code ||
            strcmp(jq_outcome_name(&ending), table[i].name) != 0)
            fail_msg("row %zu: %d %s", i, jq_exit_code(&ending), jq_outcome_name(&ending));
    }
}

static void each_error_has_the_exit_code_of_its_kind(void **state)
{
    static const struct {
        enum jq_err error;
        int exit_code;
    } codes[] = {
        { JQ_OK, 0 },        { JQ_EEMPTY, 4 },   { JQ_EFULL, 5 },      { JQ_ENOENT, 6 },
        { JQ_EGONE, 6 },     { JQ_EAUTH, 7 },    { JQ_EVERSION, 8 },   { JQ_ECLOSED, 9 },
        { JQ_EEXIST, 17 },   { JQ_EINVAL, 2 },   { JQ_EMSGSIZE, 2 },   { JQ_EUNREACH, 3 },
        { JQ_ETIMEDOUT, 3 }, { JQ_EALREADY, 1 }, { JQ_EFENCED, 1 },    { JQ_ESTATE, 1 },
        { JQ_EIO, 125 },     { JQ_ENOMEM, 125 }, { JQ_ENOSPC, 125 },   { JQ_EPROTO, 125 },
        { JQ_EFORKED, 125 }, { JQ_EBUSY, 125 },  { JQ_ECORRUPT, 125 }, { JQ_EUNKNOWN, 125 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (jq_exit_of_error(codes[i].error) != codes[i].exit_code)
            fail_msg("%s: %d", jq_err_name(codes[i].error), jq_exit_of_error(codes[i].error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_the_exit_code_of_its_kind),
        cmocka_unit_test(each_ending_has_its_exit_code_and_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
