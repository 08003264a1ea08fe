/* SPDX-License-Identifier: MIT
 *
 * fuzz_frame.c - any bytes as a frame. What is refused must cost nothing; what is read must be
 * written and read again as the same message, and printed. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_each_way(struct jq_view bytes)
{
    uint64_t u;
    int64_t i;
    bool b;
    uint32_t count;
    struct jq_view view;
    const struct jq_reader start = jq_reader(bytes);
    struct jq_reader r = start;

    /* One of them takes each object; whichever does, the cursor stays within the bytes. */
    while (r.at != r.end && (jq_read_u64(&r, &u) == JQ_OK || jq_read_i64(&r, &i) == JQ_OK ||
                             jq_read_bool(&r, &b) == JQ_OK || jq_read_bin(&r, &view) == JQ_OK ||
                             jq_read_array(&r, &count) == JQ_OK ||
                             jq_read_map(&r, &count) == JQ_OK || jq_skip(&r) == JQ_OK))
        JQ_CHECK(r.at > start.at && r.at <= r.end);
}

static void write_and_read_again(const struct jq_msg *msg)
{
    struct jq_buf first = { 0 }, second = { 0 }, text = { 0 };
    struct jq_msg again;

    JQ_CHECK(jq_msg_encode(msg, &first) == JQ_OK);
    JQ_CHECK(jq_msg_decode(jq_buf_view(&first), &again) == JQ_OK);
    JQ_CHECK(jq_msg_equal(msg, &again));
    JQ_CHECK(jq_msg_encode(&again, &second) == JQ_OK);
    JQ_CHECK(jq_view_equal(jq_buf_view(&first), jq_buf_view(&second)));
    jq_msg_print(&again, &text);
    JQ_CHECK(jq_buf_ok(&text) && text.size > 0);
    jq_buf_fini(&first);
    jq_buf_fini(&second);
    jq_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jq_msg msg;

    (void)jq_alloc_fail_after(-1, 0);
    const enum jq_err err = jq_msg_decode(jq_view(data, size), &msg);
    JQ_CHECK(jq_alloc_fail_after(-1, 0) == 0);
    JQ_CHECK(err == JQ_OK || err == JQ_EPROTO || err == JQ_EVERSION);
    if (err == JQ_OK)
        write_and_read_again(&msg);
    read_each_way(jq_view(data, size));
    return 0;
}
