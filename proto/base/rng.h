/* SPDX-License-Identifier: MIT
 *
 * rng.h - seeded random numbers (xoshiro256**, seeded by splitmix64). Not for secrets. */
#ifndef JQ_BASE_RNG_H
#define JQ_BASE_RNG_H

#include <stdint.h>

struct jq_rng {
    uint64_t s[4];
};

void jq_rng_init(struct jq_rng *rng, uint64_t seed);
uint64_t jq_rng_next(struct jq_rng *rng);
uint64_t jq_rng_below(struct jq_rng *rng, uint64_t bound); /* [0, bound); bound > 0 */

#endif
