/* SPDX-License-Identifier: MIT
 *
 * scenario.c - a fixed scenario for counting instructions: frames in, the core, frames and batches
 * out, one client and one worker, no socket, no file, no thread and no clock. The same work each
 * time, so that its instructions do not depend on the machine's mood: instructions.sh.
 *
 *     jobq_scenario plain|items|priority JOBS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/core.h"
#include "proto/base/alloc.h"
#include "proto/states.h"

enum { GROUP = 256, CLIENT = 1, WORKER = 2, PAYLOAD = 100 };

struct scenario {
    const char *handler;
    bool by_priority;
    struct jq_core *core;
    struct jq_now now;
    uint64_t correlation;
    struct jq_held *held; /* granted or given, and not ended */
    size_t held_count;
};

static void must(enum jq_err err)
{
    if (err != JQ_OK) {
        (void)fprintf(stderr, "jobq_scenario: %s\n", jq_err_text(err));
        exit(1);
    }
}

/* ---- out ---- */

static void hold(struct scenario *s, uint64_t id, uint64_t fence)
{
    s->held[s->held_count++] = (struct jq_held){ .id = id, .fence = fence };
}

static void hear(struct scenario *s, struct jq_view frame)
{
    struct jq_grant grant;
    struct jq_msg msg;

    must(jq_msg_decode(frame, &msg));
    if (msg.tag == JQ_MSG_ITEM)
        hold(s, msg.u.item.id, msg.u.item.fence);
    if (msg.tag != JQ_MSG_GRANTS)
        return;
    for (struct jq_reader r = jq_records_reader(msg.u.grants.jobs); jq_grant_next(&r, &grant);)
        hold(s, grant.id, grant.fence);
}

static void take_effects(struct scenario *s)
{
    struct jq_effect effect;

    while (jq_core_take_effect(s->core, s->now, &effect)) {
        if (effect.kind == JQ_EFFECT_SEND)
            hear(s, jq_view(effect.u.frame.data, effect.u.frame.size));
        jq_effect_fini(&effect);
    }
}

/* A disk that takes no time. */
static void commit(struct scenario *s)
{
    struct jq_batch *batch = jq_core_take_batch(s->core, s->now);

    if (batch) {
        must(jq_core_durable(s->core, s->now, batch->number, false));
        jq_core_give_batch(s->core, batch);
    }
    take_effects(s);
}

/* ---- in ---- */

static void say(struct scenario *s, uint64_t peer, const struct jq_msg *msg)
{
    struct jq_buf frame = { 0 };
    struct jq_msg decoded;

    must(jq_msg_encode(msg, &frame));
    must(jq_msg_decode(jq_buf_view(&frame), &decoded));
    must(jq_core_apply(s->core, s->now, peer, &decoded));
    jq_buf_fini(&frame);
    take_effects(s);
}

static void hello(struct scenario *s, uint64_t peer, enum jq_role role)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = JQ_PROTOCOL_MIN,
                     .version_max = JQ_PROTOCOL_MAX,
                     .role = role,
                     .session = peer,
                     .name = jq_view_str("scenario") },
    };
    say(s, peer, &msg);
}

static void submit_group(struct scenario *s)
{
    static const uint8_t payload[PAYLOAD];
    struct jq_buf specs = { 0 };

    for (int i = 0; i < GROUP; i++) {
        const struct jq_job_spec spec = {
            .handler = jq_view_str(s->handler),
            .payload = jq_view(payload, sizeof payload),
            .priority =
                s->by_priority ? (int)(s->correlation * 7919 + (unsigned)i * 104729) % 1000 : 0,
            .flags = JQ_JOB_DISCARD,
        };
        jq_job_spec_write(&specs, &spec);
    }
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = ++s->correlation,
        .u.submit = { .queue = jq_view_str("scenario"),
                      .answered = s->correlation - 1,
                      .jobs = jq_records_of(GROUP, &specs) },
    };
    say(s, CLIENT, &msg);
    jq_buf_fini(&specs);
    commit(s);
}

static void ask_for_items(struct scenario *s)
{
    for (int i = 0; i < GROUP; i++) {
        const struct jq_msg msg = {
            .tag = JQ_MSG_GET,
            .correlation = ++s->correlation,
            .u.get = { .queue = jq_view_str("scenario"), .wait = 1 },
        };
        say(s, CLIENT, &msg);
    }
}

static void settle(struct scenario *s)
{
    struct jq_buf items = { 0 };

    for (size_t i = 0; i < s->held_count; i++)
        jq_settling_write(&items, &(struct jq_settling){ .id = s->held[i].id,
                                                         .fence = s->held[i].fence,
                                                         .action = JQ_SETTLE_DONE });
    const struct jq_msg msg = {
        .tag = JQ_MSG_SETTLE,
        .correlation = ++s->correlation,
        .u.settle.items = jq_records_of((uint32_t)s->held_count, &items),
    };
    s->held_count = 0;
    say(s, CLIENT, &msg);
    jq_buf_fini(&items);
    commit(s);
}

static void done(struct scenario *s)
{
    struct jq_buf outcomes = { 0 };

    for (size_t i = 0; i < s->held_count; i++)
        jq_outcome_write(&outcomes, &(struct jq_outcome){ .id = s->held[i].id,
                                                          .fence = s->held[i].fence,
                                                          .kind = JQ_OUTCOME_EXITED });
    const struct jq_msg msg = {
        .tag = JQ_MSG_DONE,
        .u.done.outcomes = jq_records_of((uint32_t)s->held_count, &outcomes),
    };
    s->held_count = 0;
    say(s, WORKER, &msg);
    jq_buf_fini(&outcomes);
    commit(s);
}

/* ---- all of it ---- */

/* What is counted: all jobs wait, then all run. */
__attribute__((noinline)) static void measured(struct scenario *s, size_t jobs)
{
    const bool items = strcmp(s->handler, JQ_HANDLER_ITEM) == 0;
    struct jq_msg credit = { .tag = JQ_MSG_CREDIT };

    for (size_t i = 0; i < jobs; i += GROUP)
        submit_group(s);
    for (size_t i = 0; i < jobs; i += GROUP) {
        if (items) {
            ask_for_items(s);
            settle(s);
        } else {
            credit.u.credit.total += GROUP;
            say(s, WORKER, &credit);
            done(s);
        }
    }
}

static void order_by_priority(struct scenario *s)
{
    struct jq_buf conf = { 0 };

    jq_queue_conf_write(&conf, &(struct jq_queue_conf){ .order = jq_view_str("priority") });
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = 1,
        .u.queue_set = { .name = jq_view_str("scenario"),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = JQ_QUEUE_ORDER,
                         .conf = jq_records_of(1, &conf) },
    };
    say(s, CLIENT, &msg);
    jq_buf_fini(&conf);
}

int main(int argc, char **argv)
{
    struct scenario s = { .handler = "noop", .now = { .mono = 1000, .wall = 1000000000 } };
    struct jq_core_conf conf;

    const size_t jobs = argc == 3 ? strtoul(argv[2], NULL, 10) / GROUP * GROUP : 0;
    if (jobs == 0) {
        (void)fprintf(stderr, "usage: jobq_scenario plain|items|priority JOBS (from %d)\n", GROUP);
        return 2;
    }
    if (strcmp(argv[1], "items") == 0)
        s.handler = JQ_HANDLER_ITEM;
    s.by_priority = strcmp(argv[1], "priority") == 0;
    jq_core_conf_default(&conf);
    conf.resident_jobs_max = conf.resident_bytes_max = UINT64_MAX; /* there is no store to read */
    s.core = jq_core_new(&conf, 42);
    s.held = jq_alloc(GROUP * sizeof *s.held);
    if (!s.core || !s.held)
        must(JQ_ENOMEM);
    must(jq_core_start(s.core, s.now));
    commit(&s);
    hello(&s, CLIENT, JQ_ROLE_CLIENT);
    hello(&s, WORKER, JQ_ROLE_WORKER);
    if (s.by_priority)
        order_by_priority(&s);
    commit(&s);
    measured(&s, jobs);
    jq_free(s.held);
    jq_core_free(&s.core);
    return 0;
}
