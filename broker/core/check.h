/* SPDX-License-Identifier: MIT
 *
 * check.h - parts of jq_core_check that have a file of their own. */
#ifndef JQ_CORE_CHECK_H
#define JQ_CORE_CHECK_H

struct jq_core;
struct jq_job;
struct jq_lane;

void jq_check_life_of(const struct jq_core *core, const struct jq_job *job);
void jq_check_life(const struct jq_core *core);
void jq_check_spill(const struct jq_core *core, const struct jq_lane *lane);

#endif
