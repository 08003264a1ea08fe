/* SPDX-License-Identifier: MIT
 *
 * turn_clock.h - the time that the core is told: the monotonic clock without the time in which
 * nobody listened.
 *
 * A lease must not run out because the broker was stopped, or because it read no frames while a
 * slow disk made it wait: the heartbeats were there, unread. Such time is taken out, for all timers
 * alike. Pure. */
#ifndef JQ_BROKER_TURN_CLOCK_H
#define JQ_BROKER_TURN_CLOCK_H

#include <stdbool.h>

#include "proto/base/time.h"

enum { JQ_TURN_ABSENT_MS = 500 }; /* a turn may last this long before it counts as absence */

struct jq_turn_clock {
    jq_ms last;    /* real, at the last turn; 0: none yet */
    jq_ms taken;   /* out of the real clock so far */
    jq_ms absence; /* found by the last read, for the log; 0: none */
};

/* `real` now; since the last call the loop meant to sleep at most `slept` (JQ_NEVER: until
 * something happens) and read frames when there were any, or did not (`listened`). Never runs
 * backwards. */
struct jq_now jq_turn_clock_read(struct jq_turn_clock *clock, struct jq_now real, jq_ms slept,
                                 bool listened);

#endif
