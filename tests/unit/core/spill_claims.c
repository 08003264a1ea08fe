/* SPDX-License-Identifier: MIT
 *
 * spill_claims.c - see spill_claims.h. */
#include "tests/unit/core/spill_claims.h"

enum { GETTING = 3000, AT_ONCE = 1000 };

int spill_set_up(void **state)
{
    claim_set_up(state);
    struct driver *d = *state;
    d->conf.resident_jobs_max = SPILL_RESIDENT;
    driver_crash(d);
    return 0;
}

void spill_fill(struct driver *d, uint64_t client, const char *handler, int32_t priority,
                uint32_t count)
{
    for (uint32_t put = 0; put < count; put += AT_ONCE) {
        claim_put(d, client, handler, priority, count - put < AT_ONCE ? count - put : AT_ONCE,
                  NULL);
        driver_commit(d);
    }
    while (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
    driver_tick(d, 1);
    driver_commit(d);
    assert_in_range(d->core->jobs.count, 0, SPILL_RESIDENT);
}

uint64_t spill_alone(const struct driver *d)
{
    return jq_spilled_of(claim_queue(d, "q"));
}

uint64_t spill_first_alone(const struct driver *d, uint64_t from)
{
    while (claim_job(d, from))
        from++;
    assert_true(from < d->core->meta.next_id);
    return from;
}

struct jq_held spill_get(struct driver *d, uint64_t client)
{
    claim_get(d, client, GETTING, false, 0);
    for (int i = 0; !driver_has(d, client, JQ_MSG_ITEM); i++) {
        assert_false(driver_has(d, client, JQ_MSG_ERROR));
        assert_true(i < 3);
        driver_commit(d);
    }
    return claim_taken(d, client).held;
}

bool spill_drain(struct driver *d, uint64_t client, uint64_t count)
{
    uint64_t last = 0;
    bool in_order = true;

    for (uint64_t i = 0; i < count; i++) {
        const struct jq_held held = spill_get(d, client);
        in_order &= held.id > last;
        last = held.id;
        assert_int_equal(claim_settle(d, client, held, JQ_SETTLE_DONE, 0), 0);
    }
    claim_get(d, client, GETTING, false, 0);
    assert_int_equal(claim_expect_error(d, client), JQ_EEMPTY);
    return in_order;
}

uint64_t spill_one_alone(struct driver *d, uint64_t client, uint32_t count)
{
    spill_fill(d, client, "noop", 0, count);
    return spill_first_alone(d, 1);
}

void spill_run_up_to(struct driver *d, uint64_t worker, uint64_t first, uint64_t last, int64_t code)
{
    for (uint64_t id = first; id <= last; id++) {
        driver_credit(d, worker, id);
        driver_commit(d);
        claim_run(d, worker, id, id == last ? code : 0);
    }
}
