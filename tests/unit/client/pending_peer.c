/* SPDX-License-Identifier: MIT
 *
 * pending_peer.c - see pending_peer.h. */
#include "tests/unit/client/pending_peer.h"

#include "proto/base/alloc.h"

int peer_setup(void **state)
{
    struct peer *peer = jq_alloc_zero(1, sizeof *peer);

    jq_pending_init(&peer->p, 1);
    jq_pending_set_resend(&peer->p, 1000);
    peer->now = 5000;
    *state = peer;
    return 0;
}

int peer_teardown(void **state)
{
    struct peer *peer = *state;

    jq_frame_drop(&peer->last);
    jq_pending_check(&peer->p);
    jq_pending_fini(&peer->p);
    jq_free(peer);
    return 0;
}

static void start(struct peer *peer, uint64_t flags, const char *key, struct jobq_future *future)
{
    const struct jq_start what = {
        .queue = jq_view_str("q"),
        .flags = flags,
        .spec = { .handler = jq_view_str("noop"), .key = jq_view_str(key ? key : "") },
    };

    assert_int_equal(jq_pending_start(&peer->p, &what, future), JQ_OK);
    jq_pending_check(&peer->p);
}

struct jobq_future *peer_start(struct peer *peer, uint64_t flags, const char *key)
{
    struct jobq_future *future = jq_pending_new_future(&peer->p);

    assert_non_null(future);
    start(peer, flags, key, future);
    return future;
}

void peer_start_plain(struct peer *peer, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        start(peer, 0, NULL, NULL);
}

void peer_take(struct peer *peer, enum jq_tag tag, struct jq_msg *ret)
{
    struct jq_msg msg;

    jq_pending_flush(&peer->p, peer->now);
    struct jq_ask *ask = jq_pending_next(&peer->p);
    assert_non_null(ask);
    jq_frame_drop(&peer->last);
    peer->last = jq_frame_keep(ask->frame);
    assert_int_equal(jq_msg_decode(peer->last->bytes, &msg), JQ_OK);
    assert_int_equal(msg.tag, tag);
    jq_pending_sent(&peer->p, ask, peer->now);
    jq_pending_check(&peer->p);
    if (ret)
        *ret = msg;
}

void peer_take_nothing(struct peer *peer)
{
    jq_pending_flush(&peer->p, peer->now);
    assert_null(jq_pending_next(&peer->p));
}

void peer_answer(struct peer *peer, const struct jq_msg *msg)
{
    struct jq_frame_buf *buf = jq_frame_buf_new();
    struct jq_msg decoded;

    assert_int_equal(jq_msg_encode(msg, &buf->buf), JQ_OK);
    struct jq_frame *frame = jq_frame_buf_end(buf, 0);
    assert_int_equal(jq_msg_decode(frame->bytes, &decoded), JQ_OK);
    jq_pending_receive(&peer->p, peer->now, &decoded, frame);
    jq_frame_drop(&frame);
    jq_pending_check(&peer->p);
}

void peer_submitted(struct peer *peer, uint64_t number, bool durable, uint64_t first_id,
                    uint32_t count)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMITTED,
        .correlation = number,
        .u.submitted = { .durable = durable, .first_id = first_id, .count = count },
    };

    peer_answer(peer, &msg);
}

static void results(struct peer *peer, uint64_t correlation, const struct jq_result *result)
{
    struct jq_buf list = { 0 };

    jq_result_write(&list, result);
    const struct jq_msg msg = {
        .tag = JQ_MSG_RESULTS,
        .correlation = correlation,
        .u.results.results = jq_records_of(1, &list),
    };
    peer_answer(peer, &msg);
    jq_buf_fini(&list);
}

void peer_result(struct peer *peer, uint64_t correlation, uint64_t id, enum jq_job_state state)
{
    const struct jq_result result = { .id = id, .state = state };

    results(peer, correlation, &result);
}

void peer_result_error(struct peer *peer, uint64_t correlation, uint64_t id, enum jq_err err)
{
    const struct jq_result result = { .id = id, .error = err };

    results(peer, correlation, &result);
}

void peer_error(struct peer *peer, uint64_t correlation, enum jq_err err)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ERROR,
        .correlation = correlation,
        .u.error = { .error = err, .text = jq_view_str("as the test says") },
    };

    peer_answer(peer, &msg);
}
