/* SPDX-License-Identifier: MIT
 *
 * rng.c - xoshiro256** by Blackman and Vigna (2018), seeded by splitmix64. */
#include "proto/base/rng.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void jq_rng_init(struct jq_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix(&seed);
}

uint64_t jq_rng_next(struct jq_rng *rng)
{
    uint64_t *s = rng->s;
    const uint64_t result = rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t jq_rng_below(struct jq_rng *rng, uint64_t bound)
{
    /* Reject the few values that would favour small results. */
    const uint64_t threshold = (0 - bound) % bound;
    for (;;) {
        const uint64_t value = jq_rng_next(rng);
        if (value >= threshold)
            return value % bound;
    }
}
