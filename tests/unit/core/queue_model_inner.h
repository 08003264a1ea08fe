/* SPDX-License-Identifier: MIT
 *
 * queue_model_inner.h - what the files of the model share. */
#ifndef JQ_TESTS_QUEUE_MODEL_INNER_H
#define JQ_TESTS_QUEUE_MODEL_INNER_H

#include "tests/unit/core/queue_model.h"

struct model_told *model_tell(struct model *m, int client, enum jq_tag tag, uint64_t correlation,
                              bool held);
void model_refuse(struct model *m, int client, uint64_t correlation, enum jq_err err);
void model_said(struct model *m, int client, uint64_t correlation, uint64_t count);
void model_ask(struct model_asks *asks, struct model_ask new);
void model_withdraw(struct model_asks *asks, int client, uint64_t correlation);
struct model_ask model_take_ask(struct model_asks *asks, size_t at);
void model_end_item(struct model *m, struct model_item *item, enum jq_job_state state);
void model_becomes_ready(struct model *m, struct model_item *item);
void model_holder_ends(struct model *m, int client);
void model_disconnect(struct model *m, int client);
void model_follow(struct model *m);
void model_end_getters(struct model *m);
uint64_t model_waiting(const struct model *m);
uint64_t model_doomed(const struct model *m);
uint64_t model_putters(const struct model *m);
uint64_t model_places_taken(const struct model *m);
struct model_item *model_end_of(struct model *m, enum jq_job_state state, bool first);

#endif
