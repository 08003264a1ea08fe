/* SPDX-License-Identifier: MIT
 *
 * odd.c - shared objects that a worker must refuse, each by its macro. */
#include <stdio.h>

#include <jobq/handler.h>

int run_odd(struct jobq_call *call, void *state);
int run_odd(struct jobq_call *call, void *state)
{
    (void)state;
    return jobq_result_int(call, 1);
}

#if defined(JQ_ODD_ABI)
static const struct jobq_handler handlers[] = { { "odd", NULL, run_odd, NULL, NULL, 0 } };
const struct jobq_plugin jobq_plugin = { 99, sizeof handlers[0], 1, handlers };
#elif defined(JQ_ODD_TAKEN)
static const struct jobq_handler handlers[] = {
    { "odd", NULL, run_odd, NULL, NULL, 0 },
    { "sleep", NULL, run_odd, NULL, NULL, 0 },
};
JOBQ_PLUGIN(handlers);
#elif defined(JQ_ODD_NAME)
static const struct jobq_handler handlers[] = { { "o d d", NULL, run_odd, NULL, NULL, 0 } };
JOBQ_PLUGIN(handlers);
#elif defined(JQ_ODD_INIT)
static int init_odd(struct jobq_slot *slot)
{
    (void)snprintf(slot->why, sizeof slot->why, "slot %u of %s has no database", slot->number,
                   slot->executor);
    return 4;
}
static const struct jobq_handler handlers[] = { { "odd", init_odd, run_odd, NULL, NULL, 0 } };
JOBQ_PLUGIN(handlers);
#endif
