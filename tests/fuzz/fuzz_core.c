/* SPDX-License-Identifier: MIT
 *
 * fuzz_core.c - any bytes as a history of the broker: connections, requests, ends of jobs, time,
 * commits, crashes, in any order, from peers that obey the protocol and peers that do not. After
 * each step every invariant of broker/STATES.md is checked (the driver calls jq_core_check). */
#include <stdint.h>
#include <stdlib.h>

#include "broker/core/parts.h"
#include "proto/base/check.h"
#include "tests/support/core_driver.h"
#include "tests/support/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    STEPS_MAX = 300,
    PEERS_MAX = 12,
    GRANTS_MAX = 64,
    SESSIONS = 4,
    SPILLS = 0xfd, /* a history that begins so is one of a broker that may have few jobs in memory:
                      the next byte says how few */
    SPILLS_TIMES = 5, /* as many jobs are submitted in it */
};

struct history {
    struct driver d;
    const uint8_t *at, *end; /* input not yet read */
    uint64_t peers[PEERS_MAX];
    size_t peer_count;
    struct jq_held grants[GRANTS_MAX]; /* told to any worker, oldest overwritten */
    size_t grant_count;
    uint64_t number; /* of requests */
    uint32_t times;  /* jobs of each SUBMIT, as often */
    struct jq_buf arena;
};

/* ---- the input ---- */

static uint8_t next_byte(struct history *h)
{
    return h->at == h->end ? 0 : *h->at++;
}

static uint64_t some_peer(struct history *h)
{
    const uint8_t byte = next_byte(h);
    return h->peer_count ? h->peers[byte % h->peer_count] : 1;
}

static uint64_t some_id(struct history *h)
{
    const uint8_t byte = next_byte(h);
    return byte == 0xff ? UINT64_MAX : byte % 48 * h->times;
}

static struct jq_held some_held(struct history *h)
{
    const uint8_t byte = next_byte(h);
    const size_t known = h->grant_count < GRANTS_MAX ? h->grant_count : GRANTS_MAX;
    if (known == 0 || byte >= 0xf0)
        return (struct jq_held){ .id = byte % 16, .fence = (uint64_t)byte << 28 };
    return h->grants[byte % known];
}

/* ---- what peers were told ---- */

static void read_frames(struct history *h)
{
    for (size_t i = 0; i < h->d.count; i++) {
        struct driver_frame *frame = &h->d.frames[i];
        struct jq_grant grant;
        struct jq_given given;
        if (frame->msg.tag == JQ_MSG_GRANTS)
            for (struct jq_reader r = jq_records_reader(frame->msg.u.grants.jobs);
                 jq_grant_next(&r, &grant);)
                h->grants[h->grant_count++ % GRANTS_MAX] =
                    (struct jq_held){ .id = grant.id, .fence = grant.fence };
        if (frame->msg.tag == JQ_MSG_ITEM && frame->msg.u.item.fence)
            h->grants[h->grant_count++ % GRANTS_MAX] =
                (struct jq_held){ .id = frame->msg.u.item.id, .fence = frame->msg.u.item.fence };
        if (frame->msg.tag == JQ_MSG_ITEMS)
            for (struct jq_reader r = jq_records_reader(frame->msg.u.items.items);
                 jq_given_next(&r, &given);)
                h->grants[h->grant_count++ % GRANTS_MAX] =
                    (struct jq_held){ .id = given.id, .fence = given.fence };
        driver_frame_free(frame);
    }
    h->d.count = 0;
    if (h->d.read_count > DRIVER_READS_MAX / 2 || h->d.batch_count > DRIVER_BATCHES_MAX / 2)
        driver_commit(&h->d);
}

/* ---- steps ---- */

static void apply(struct history *h, uint64_t peer, const struct jq_msg *msg)
{
    driver_apply(&h->d, peer, msg);
    read_frames(h);
}

static void hello(struct history *h, enum jq_role role)
{
    const uint8_t who = next_byte(h), count = next_byte(h);
    const bool shared = who >= 0xe0; /* a worker and a client may have the same session */
    const uint64_t session = 1u + who % SESSIONS + (role == JQ_ROLE_CLIENT && !shared ? 16u : 0);
    struct jq_buf records = { 0 }, tags = { 0 };
    struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .correlation = 1,
        .u.hello = { .version_min = 1,
                     .version_max = 1,
                     .role = role,
                     .session = session,
                     .name = jq_view_str("fuzz"),
                     .software = jq_view_str("fuzz"),
                     .slots = 4 },
    };

    if (role != JQ_ROLE_BEAT)
        for (uint8_t i = 0; i < count % 4; i++) {
            const struct jq_held held = some_held(h);
            jq_held_write(&records, &held);
            msg.u.hello.held = jq_records_of(i + 1u, &records);
        }
    if (count & 0x40) {
        jq_word_write(&tags, &(struct jq_word){ .name = jq_view_str(count & 0x80 ? "b" : "a") });
        msg.u.hello.tags = jq_records_of(1, &tags);
    }
    const uint64_t peer = h->d.next_peer++;
    h->peers[h->peer_count % PEERS_MAX] = peer;
    h->peer_count += h->peer_count < PEERS_MAX;
    apply(h, peer, &msg);
    jq_buf_fini(&records);
    jq_buf_fini(&tags);
}

static void submit(struct history *h)
{
    static const char *const keys[] = { "", "", "", "one", "two" };
    static const char *const queues[] = { "default", "other", "", "no such name!" };
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h), what = next_byte(h);
    const struct driver_submit it = {
        .number = how & 1 ? ++h->number : h->number,
        .answered = how & 2 ? h->number - 1 : 0,
        .flags = (how >> 2) & 3,
        .job_flags = (how >> 4) & 3,
        .count = h->times * (1u + (how >> 6)),
        .queue = queues[what & 3],
        .key = keys[(what >> 2) % 5],
        .priority = (int8_t)what,
    };
    driver_submit(&h->d, peer, it);
    read_frames(h);
}

/* DONE and RELEASE of up to four jobs, held by this worker or not. */
static void finish(struct history *h, bool release)
{
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h);
    const uint32_t count = 1 + (how & 3);
    struct jq_buf records = { 0 };
    struct jq_msg msg = { .tag = release ? JQ_MSG_RELEASE : JQ_MSG_DONE };

    for (uint32_t i = 0; i < count; i++) {
        const struct jq_held held = some_held(h);
        const struct jq_outcome outcome = {
            .id = held.id,
            .fence = held.fence,
            .kind = (how >> 2) & 7,
            .code = how >> 5,
            .stdout_bytes = 3,
            .stdout_head = jq_view_str("out"),
        };
        if (release)
            jq_held_write(&records, &held);
        else
            jq_outcome_write(&records, &outcome);
    }
    if (release)
        msg.u.release.jobs = jq_records_of(count, &records);
    else
        msg.u.done.outcomes = jq_records_of(count, &records);
    apply(h, peer, &msg);
    jq_buf_fini(&records);
}

/* A request about jobs: WAIT, INFO and CANCEL have a list of the same shape. */
static void ask(struct history *h, enum jq_tag tag)
{
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h);
    struct jq_buf records = { 0 };
    struct jq_msg msg = { .tag = tag, .correlation = how & 31 };

    for (uint32_t i = 0; i < 1u + how % 3; i++) {
        const struct jq_job_ref ref = { .id = some_id(h) };
        jq_job_ref_write(&records, &ref);
    }
    const struct jq_records jobs = jq_records_of(1u + how % 3, &records);
    if (tag == JQ_MSG_WAIT)
        msg.u.wait = (struct jq_wait){ .jobs = jobs, .states = how & 4 ? how >> 3 : 0 };
    else if (tag == JQ_MSG_INFO)
        msg.u.info.jobs = jobs;
    else
        msg.u.cancel.jobs = jobs;
    apply(h, peer, &msg);
    jq_buf_fini(&records);
}

static void ask_more(struct history *h)
{
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h);
    struct jq_msg msg = { .correlation = how & 31 };

    switch (how >> 5) {
    case 0:
        msg.tag = JQ_MSG_LIST;
        msg.u.list.limit = how & 7;
        msg.u.list.before_id = some_id(h);
        msg.u.list.label = jq_view_str(how & 8 ? "label" : "");
        msg.u.list.states = how & 16 ? 1u << JQ_RUNNING | 1u << JQ_CANCELLED : 0;
        break;
    case 1:
        msg.tag = JQ_MSG_WHY;
        msg.u.why.id = some_id(h);
        break;
    case 2:
        msg.tag = JQ_MSG_LOG_READ;
        msg.u.log_read = (struct jq_log_read){ .id = some_id(h),
                                               .stream = 1 + (how & 1),
                                               .offset = how & 6,
                                               .limit = 9,
                                               .follow = how & 1 };
        break;
    case 3:
        msg.tag = JQ_MSG_WATCH;
        msg.u.watch.id = some_id(h) * (how & 1);
        msg.u.watch.after = how & 2 ? h->d.core->meta.incarnation << 40 | (how & 28) : how & 4;
        msg.u.watch.queue = jq_view_str(how & 8 ? "other" : "");
        break;
    case 4:
        msg.tag = JQ_MSG_UNWATCH;
        break;
    case 5:
        msg.tag = JQ_MSG_UNWAIT;
        break;
    case 6:
        msg.tag = JQ_MSG_STATS;
        break;
    default:
        msg.tag = how & 1 ? JQ_MSG_BYE : JQ_MSG_BEAT;
    }
    apply(h, peer, &msg);
}

/* ---- steps of queues ---- */

static const char *const queue_names[] = { "default", "other", "bounded", "none" };

static struct jq_view some_queue(uint8_t byte)
{
    return jq_view_str(queue_names[byte % 4]);
}

/* Items, and jobs with options that matter for their queue. */
static void submit_more(struct history *h)
{
    static const char *const handlers[] = { "item", "noop", "item", "noop" };
    const uint64_t peer = some_peer(h);
    const uint8_t what = next_byte(h), how = next_byte(h);
    const bool is_item = what % 2 == 0;
    struct jq_buf needs = { 0 }, limits = { 0 }, after = { 0 };
    struct jq_job_options options = {
        .delay_ms = how & 1 ? 40 : 0,
        .expires_ms = how & 2 ? 3000 : 0,
        .unique = jq_view_str(how & 4 ? "one" : ""),
        .attempts_max = is_item ? 0 : how >> 6,
    };

    if ((how & 8) && !is_item) {
        jq_word_write(&needs, &(struct jq_word){ .name = jq_view_str(how & 1 ? "a" : "b") });
        options.needs = jq_records_of(1, &needs);
    }
    if ((how & 16) && !is_item) {
        jq_limit_write(&limits, &(struct jq_limit){ .name = jq_view_str("l"), .max = 1 });
        options.limits = jq_records_of(1, &limits);
    }
    if (how & 32) {
        jq_dependency_write(&after, &(struct jq_dependency){ .id = some_id(h), .kind = how % 3 });
        options.after = jq_records_of(1, &after);
    }
    const struct driver_submit it = {
        .number = ++h->number,
        .job_flags = (what >> 6) & 3,
        .count = h->times * (1u + ((what >> 4) & 3)),
        .queue = queue_names[(what >> 2) & 3],
        .handler = handlers[what & 3],
        .options = &options,
        .priority = (int8_t)how,
    };
    driver_submit(&h->d, peer, it);
    read_frames(h);
    jq_buf_fini(&needs);
    jq_buf_fini(&limits);
    jq_buf_fini(&after);
}

/* GET, PEEK or ROOM. */
static void want(struct history *h)
{
    static const uint64_t leases[] = { 0, 0, 20, UINT64_MAX };
    const uint64_t peer = some_peer(h);
    const uint8_t what = next_byte(h), how = next_byte(h);
    struct jq_msg msg = { .correlation = what >> 5 };

    if (how < 0xa0) {
        msg.tag = JQ_MSG_GET;
        msg.u.get = (struct jq_get){ .queue = some_queue(what),
                                     .wait = how & 1,
                                     .lease_ms = leases[(how >> 1) & 3],
                                     .count = how >> 3 & 3 };
    } else if (how < 0xf0) {
        msg.tag = JQ_MSG_ROOM;
        msg.u.room = (struct jq_room){ .queue = some_queue(what), .count = how & 7 };
    } else {
        msg.tag = JQ_MSG_PEEK;
        msg.u.peek.queue = some_queue(what);
    }
    apply(h, peer, &msg);
}

static void settle(struct history *h)
{
    static const uint64_t times[] = { 0, 30, 5000, UINT64_MAX };
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h);
    const uint32_t count = 1 + (how & 3);
    struct jq_buf records = { 0 };

    for (uint32_t i = 0; i < count; i++) {
        const struct jq_held held = some_held(h);
        jq_settling_write(&records, &(struct jq_settling){ .id = held.id,
                                                           .fence = held.fence,
                                                           .action = (how >> 2) % 3,
                                                           .ms = times[(how >> 4) & 3] });
    }
    const struct jq_msg msg = { .tag = JQ_MSG_SETTLE,
                                .correlation = how >> 6,
                                .u.settle.items = jq_records_of(count, &records) };
    apply(h, peer, &msg);
    jq_buf_fini(&records);
}

static void set_queue(struct history *h)
{
    static const char *const orders[] = { "fifo", "lifo", "priority", "priority" };
    const uint64_t peer = some_peer(h);
    const uint8_t what = next_byte(h), how = next_byte(h);
    struct jq_buf confs = { 0 };
    const struct jq_queue_conf conf = {
        .order = jq_view_str(orders[how & 3]),
        .maxsize = (how >> 2) & 3,
        .durability = (how >> 4) % 3,
        .concurrency = (how >> 6) & 3,
        .aging_ms = how & 8   ? INT32_MAX
                    : how & 4 ? 1000
                              : 0,
    };

    jq_queue_conf_write(&confs, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .u.queue_set = { .name = some_queue(what),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = (what >> 2 & 15) | (what & 64 ? JQ_QUEUE_AGING : 0),
                         .conf = jq_records_of(1, &confs) },
    };
    apply(h, peer, &msg);
    jq_buf_fini(&confs);
}

static void do_queue(struct history *h)
{
    const uint64_t peer = some_peer(h);
    const uint8_t what = next_byte(h);
    struct jq_msg msg = { .tag = JQ_MSG_QUEUE_DO };

    msg.u.queue_do.name = some_queue(what);
    msg.u.queue_do.action = (what >> 2) % (JQ_QUEUE_ACTIONS + 1u);
    if ((what >> 2) >= 48) {
        msg.tag = JQ_MSG_JOIN;
        msg.correlation = what & 31;
        msg.u.join.queue = some_queue(what);
    }
    apply(h, peer, &msg);
}

/* RETRY and REMOVE of jobs that have ended. */
static void revive(struct history *h)
{
    const uint64_t peer = some_peer(h);
    const uint8_t how = next_byte(h);
    struct jq_buf refs = { 0 };
    struct jq_msg msg = { .tag = how & 1 ? JQ_MSG_REMOVE : JQ_MSG_RETRY };

    jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = some_id(h) });
    if (how & 1)
        msg.u.remove.jobs = jq_records_of(1, &refs);
    else
        msg.u.retry.jobs = jq_records_of(1, &refs);
    apply(h, peer, &msg);
    jq_buf_fini(&refs);
}

static void step_of_queues(struct history *h, uint8_t op)
{
    switch (op % 8) {
    case 0:
    case 1:
        submit_more(h);
        break;
    case 2:
    case 3:
        want(h);
        break;
    case 4:
        settle(h);
        break;
    case 5:
        set_queue(h);
        break;
    case 6:
        do_queue(h);
        break;
    default:
        if (op & 8)
            revive(h);
        else
            h->d.fail_in = next_byte(h); /* memory runs out, a little later */
    }
}

static void credit(struct history *h)
{
    const uint64_t peer = some_peer(h);
    const struct jq_msg msg = {
        .tag = JQ_MSG_CREDIT,
        .u.credit = { .total = next_byte(h) % 64, .draining = next_byte(h) == 1 },
    };
    apply(h, peer, &msg);
}

/* A frame of the input as it stands; or a message that no program of ours would send there. */
static void foreign(struct history *h, bool sample)
{
    const uint64_t peer = some_peer(h);
    const uint8_t choice = next_byte(h);
    struct jq_msg msg;

    if (sample) {
        jq_buf_clear(&h->arena);
        if (sample_message(choice % sample_count(), &h->arena, &msg) != JQ_OK)
            abort();
        apply(h, peer, &msg);
        return;
    }
    size_t size = (size_t)choice << 1;
    if (size > (size_t)(h->end - h->at))
        size = (size_t)(h->end - h->at);
    const struct jq_view frame = jq_view(h->at, size);
    h->at += size;
    if (jq_msg_decode(frame, &msg) == JQ_OK) {
        JQ_CHECK(jq_core_apply(h->d.core, h->d.now, peer, &msg) == JQ_OK);
        driver_collect(&h->d);
        read_frames(h);
    }
}

static void lose_peer(struct history *h)
{
    JQ_CHECK(jq_core_gone(h->d.core, h->d.now, some_peer(h)) == JQ_OK);
    driver_collect(&h->d);
    read_frames(h);
}

/* As a loop does, or as one that stood still: from one thing due to the next, a bounded number of
 * them, then at once to the end. The store may be slow meanwhile. */
static void pass_time(struct history *h)
{
    static const jq_ms times[] = { 1, 5, 50, 500, 3000, 16000, 40000, 90000000 };
    const uint8_t how = next_byte(h);
    const jq_ms end = h->d.now.mono + times[how % 8];

    for (int i = 0; h->d.now.mono < end; i++) {
        if (!(how & 8) && jq_core_wants_commit(h->d.core, h->d.now))
            driver_commit(&h->d);
        const jq_ms next = jq_core_next_at(h->d.core);
        h->d.now.mono = i < 16 && next > h->d.now.mono && next < end ? next : end;
        JQ_CHECK(jq_core_tick(h->d.core, h->d.now) == JQ_OK);
        driver_collect(&h->d);
        read_frames(h);
    }
}

static void step(struct history *h)
{
    static const enum jq_role roles[] = { JQ_ROLE_CLIENT, JQ_ROLE_WORKER, JQ_ROLE_BEAT };
    static const enum jq_tag lists[] = { JQ_MSG_WAIT, JQ_MSG_INFO, JQ_MSG_CANCEL };
    const uint8_t choice = next_byte(h), op = choice % 20;

    if (choice >= 160)
        step_of_queues(h, choice);
    else if (op < 3)
        hello(h, roles[op]);
    else if (op < 6)
        submit(h);
    else if (op < 9)
        ask(h, lists[op - 6]);
    else if (op < 11)
        credit(h);
    else if (op < 13)
        finish(h, op == 12);
    else if (op == 13)
        ask_more(h);
    else if (op == 14)
        pass_time(h);
    else if (op == 15)
        driver_commit(&h->d);
    else if (op == 16)
        driver_hand_over(&h->d);
    else if (op == 17)
        lose_peer(h);
    else if (op == 18)
        foreign(h, next_byte(h) & 1);
    else {
        driver_crash(&h->d);
        h->peer_count = 0;
        read_frames(h);
    }
}

static void choose_residency(struct history *h)
{
    h->times = 1;
    if (h->at == h->end || *h->at != SPILLS)
        return;
    next_byte(h);
    const uint8_t how = next_byte(h);
    h->times = SPILLS_TIMES;
    h->d.conf.resident_jobs_max = 1 + (how & 31);
    if (how & 32)
        h->d.conf.resident_bytes_max = 64u << (how >> 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history h = { .at = data, .end = data + size };

    driver_open(&h.d);
    choose_residency(&h);
    h.d.conf.events_kept = 16; /* small enough to be passed */
    h.d.conf.list_looks_max = 3;
    driver_crash(&h.d);
    for (int i = 0; i < STEPS_MAX && h.at != h.end; i++)
        step(&h);
    driver_commit(&h.d);
    read_frames(&h);
    driver_close(&h.d);
    jq_buf_fini(&h.arena);
    return 0;
}
