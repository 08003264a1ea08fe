/* SPDX-License-Identifier: MIT
 *
 * things.c - a plug-in as users write one: arguments, state in each slot, waiting with an eye on
 * the cancel, errors that another attempt does not cure.
 *
 *   cc -shared -fPIC -o things.so things.c
 *   jobq-worker --plugin ./things.so
 *   jobq submit --handler area --arg-json 3 --arg-json 4
 *   jobq submit --handler area --named-json width=3 --named-json height=4
 *   jobq submit --handler sum --arg-json '[1, 2.5, 3]'
 *   jobq submit --handler wait --named-json ms=60000
 *   jobq submit --handler count */
#include <poll.h>
#include <stdlib.h>

#include <jobq/handler.h>

/* Two numbers, by position or by name. What is missing, or no number, fails the job by itself. */
static int run_area(struct jobq_call *call, void *state)
{
    double width = 0, height = 0;

    (void)state;
    if (jobq_arg_double(call, 0, "width", &width) != 0 ||
        jobq_arg_double(call, 1, "height", &height) != 0)
        return JOBQ_RUN_FAILED;
    if (width < 0 || height < 0)
        return jobq_fail(call, 3, JOBQ_FAIL_NO_RETRY, "an area of %g x %g", width, height);
    return jobq_result_double(call, width * height);
}

/* An array of numbers; the result is a map. */
static int run_sum(struct jobq_call *call, void *state)
{
    struct jobq_cursor numbers;
    struct jobq_value value;
    double sum = 0, number = 0;
    int64_t count = 0;
    int more;

    (void)state;
    if (jobq_arg_array(call, 0, "numbers", &numbers) != 0)
        return JOBQ_RUN_FAILED;
    while ((more = jobq_cursor_next(call, &numbers, NULL, &value)) > 0) {
        if (jobq_value_double(call, &value, &number) != 0)
            return JOBQ_RUN_FAILED;
        sum += number;
        count++;
    }
    jobq_log(call, "%lld numbers", (long long)count);
    jobq_result_map(call, 2);
    jobq_result_str(call, "count", 5);
    jobq_result_int(call, count);
    jobq_result_str(call, "sum", 3);
    return jobq_result_double(call, sum);
}

/* Sleeps, but ends at once when it is cancelled. */
static int run_wait(struct jobq_call *call, void *state)
{
    int64_t ms = 1000;
    struct pollfd cancel = { .events = POLLIN };

    (void)state;
    if (jobq_arg_int(call, 0, "ms", &ms) < 0) /* absent: the default */
        return JOBQ_RUN_FAILED;
    if (ms < 0 || ms > 86400000)
        return jobq_fail(call, 2, JOBQ_FAIL_NO_RETRY, "ms: %lld is not 0 to a day", (long long)ms);
    cancel.fd = jobq_cancel_fd(call);
    (void)poll(&cancel, cancel.fd >= 0, (int)ms);
    return jobq_result_bool(call, !jobq_cancelled(call));
}

/* How many jobs this slot has run: state that no lock guards, as nobody else has it. */
static int init_count(struct jobq_slot *slot)
{
    slot->state = calloc(1, sizeof(int64_t));
    return slot->state == NULL;
}

static int run_count(struct jobq_call *call, void *state)
{
    int64_t *runs = state;

    return jobq_result_int(call, ++*runs);
}

static void fini_count(void *state)
{
    free(state);
}

static const struct jobq_handler handlers[] = {
    { "area", NULL, run_area, NULL, NULL, 0 },
    { "sum", NULL, run_sum, NULL, NULL, 0 },
    { "wait", NULL, run_wait, NULL, NULL, 0 },
    { "count", init_count, run_count, fini_count, NULL, 0 },
};
JOBQ_PLUGIN(handlers);
