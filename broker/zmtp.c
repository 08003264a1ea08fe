/* SPDX-License-Identifier: MIT
 *
 * zmtp.c - see zmtp.h. */
#include "broker/zmtp.h"

enum { GREETING_BYTES = 64, VERSION_MIN = 3 };
enum { FLAG_MORE = 1, FLAG_LONG = 2, FLAG_COMMAND = 4 };
enum { STATE_FLAGS, STATE_SIZE, STATE_BODY };

/* ff, eight bytes of any kind, 7f, the version. */
static bool greeting_fits(uint8_t place, uint8_t byte)
{
    if (place == 0)
        return byte == 0xff;
    if (place == 9)
        return byte == 0x7f;
    return place != 10 || byte >= VERSION_MIN;
}

static void end_part(struct jq_zmtp *zmtp)
{
    zmtp->state = STATE_FLAGS;
    if (!(zmtp->flags & (FLAG_COMMAND | FLAG_MORE)))
        zmtp->unfinished = 0;
}

static void take_head(struct jq_zmtp *zmtp, uint8_t byte)
{
    if (zmtp->state == STATE_FLAGS) {
        zmtp->flags = byte;
        zmtp->size_left = byte & FLAG_LONG ? 8 : 1;
        zmtp->body_left = 0;
        zmtp->state = STATE_SIZE;
        return;
    }
    zmtp->body_left = zmtp->body_left << 8 | byte;
    if (--zmtp->size_left > 0)
        return;
    if (!(zmtp->flags & FLAG_COMMAND))
        zmtp->unfinished += JQ_ZMTP_PART_COST;
    zmtp->state = STATE_BODY;
    if (zmtp->body_left == 0)
        end_part(zmtp);
}

bool jq_zmtp_feed(struct jq_zmtp *zmtp, const void *data, size_t size)
{
    const uint8_t *at = data;
    const uint8_t *const end = at + size;

    for (; at < end && zmtp->greeting < GREETING_BYTES; at++, zmtp->greeting++) {
        if (!greeting_fits(zmtp->greeting, *at))
            return false;
    }
    while (at < end) {
        if (zmtp->state != STATE_BODY) {
            take_head(zmtp, *at++);
            continue;
        }
        const size_t here = (size_t)(end - at);
        const size_t part = zmtp->body_left < here ? (size_t)zmtp->body_left : here;
        at += part;
        zmtp->body_left -= part;
        if (!(zmtp->flags & FLAG_COMMAND))
            zmtp->unfinished += (int64_t)part;
        if (zmtp->body_left == 0)
            end_part(zmtp);
    }
    return true;
}
