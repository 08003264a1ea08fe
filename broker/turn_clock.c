/* SPDX-License-Identifier: MIT
 *
 * turn_clock.c - see turn_clock.h. */
#include "broker/turn_clock.h"

struct jq_now jq_turn_clock_read(struct jq_turn_clock *clock, struct jq_now real, jq_ms slept,
                                 bool listened)
{
    jq_ms gone = clock->last ? real.mono - clock->last : 0;

    if (gone < 0)
        gone = 0;
    clock->absence = 0;
    if (!listened) {
        clock->taken += gone;
    } else if (slept != JQ_NEVER && gone - slept > JQ_TURN_ABSENT_MS) {
        clock->absence = gone - slept;
        clock->taken += clock->absence;
    }
    clock->last = real.mono;
    return (struct jq_now){ .mono = real.mono - clock->taken, .wall = real.wall };
}
