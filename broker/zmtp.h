/* SPDX-License-Identifier: MIT
 *
 * zmtp.h - where messages end in what a ZeroMQ peer sends (ZMTP 3.x,
 * https://rfc.zeromq.org/spec/23), for a guard that looks at the bytes before libzmq does. Reads
 * frame heads only; with encryption the MORE flag would be inside, and the guard would have to see
 * it there.
 *
 * Pure. */
#ifndef JQ_BROKER_ZMTP_H
#define JQ_BROKER_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JQ_ZMTP_PART_COST = 96 }; /* what libzmq keeps for a part beside its bytes */

/* One connection's inward stream. A zeroed struct is its beginning. */
struct jq_zmtp {
    int64_t unfinished; /* cost of the message whose last part has not ended; 0: none */
    uint64_t body_left;
    uint8_t greeting; /* bytes of it seen */
    uint8_t size_left;
    uint8_t flags;
    uint8_t state;
};

/* False: this is no ZMTP 3, and the stream is of no use any more. */
bool jq_zmtp_feed(struct jq_zmtp *zmtp, const void *data, size_t size);

#endif
