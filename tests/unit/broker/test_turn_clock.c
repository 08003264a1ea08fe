/* SPDX-License-Identifier: MIT
 *
 * test_turn_clock.c - time in which nobody listened is no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/turn_clock.h"

static jq_ms at(struct jq_turn_clock *clock, jq_ms real, jq_ms slept, bool listened)
{
    return jq_turn_clock_read(clock, (struct jq_now){ .mono = real, .wall = 9 }, slept, listened)
        .mono;
}

static void time_passes_while_the_loop_sleeps_as_it_meant_to(void **state)
{
    (void)state;
    struct jq_turn_clock clock = { 0 };

    assert_int_equal(at(&clock, 1000, 0, true), 1000);
    assert_int_equal(at(&clock, 4000, 3000, true), 4000);
    assert_int_equal(at(&clock, 90000, JQ_NEVER, true), 90000);
    assert_int_equal(at(&clock, 90200, 0, true), 90200); /* a long turn, still a turn */
    assert_int_equal(clock.absence, 0);
}

static void a_stopped_process_loses_no_lease(void **state)
{
    (void)state;
    struct jq_turn_clock clock = { 0 };

    assert_int_equal(at(&clock, 1000, 0, true), 1000);
    assert_int_equal(at(&clock, 61010, 10, true), 1010);
    assert_int_equal(clock.absence, 60000);
    assert_int_equal(at(&clock, 61030, 20, true), 1030);
    assert_int_equal(clock.absence, 0);
}

static void time_spent_waiting_for_the_disk_is_taken_out(void **state)
{
    (void)state;
    struct jq_turn_clock clock = { 0 };

    assert_int_equal(at(&clock, 1000, 0, true), 1000);
    assert_int_equal(at(&clock, 1400, 0, false), 1000);
    assert_int_equal(at(&clock, 9000, 50, false), 1000);
    assert_int_equal(at(&clock, 9001, 0, true), 1001);
}

static void it_never_runs_backwards(void **state)
{
    (void)state;
    struct jq_turn_clock clock = { 0 };
    jq_ms before = at(&clock, 5000, 0, true);

    for (jq_ms real = 5000; real < 20000; real += 377) {
        const jq_ms now = at(&clock, real, real % 3 ? 0 : JQ_NEVER, real % 2 == 0);
        assert_true(now >= before);
        before = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_passes_while_the_loop_sleeps_as_it_meant_to),
        cmocka_unit_test(a_stopped_process_loses_no_lease),
        cmocka_unit_test(time_spent_waiting_for_the_disk_is_taken_out),
        cmocka_unit_test(it_never_runs_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
