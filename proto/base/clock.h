/* SPDX-License-Identifier: MIT
 *
 * clock.h - the only caller of clock_gettime and getrandom. Edges only: pure code gets both as
 * arguments. Any thread. */
#ifndef JQ_BASE_CLOCK_H
#define JQ_BASE_CLOCK_H

#include <stdint.h>

#include "proto/base/time.h"

struct jq_now jq_clock_now(void);
uint64_t jq_clock_mono_ns(void);
uint64_t jq_clock_entropy(void); /* 64 random bits of the kernel, never 0 */

#endif
