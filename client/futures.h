/* SPDX-License-Identifier: MIT
 *
 * futures.h - what future.c and wait.c share. Under the handle's lock. */
#ifndef JQ_CLIENT_FUTURES_H
#define JQ_CLIENT_FUTURES_H

#include <stdbool.h>

#include "client/include/jobq/jobq.h"

bool jq_future_is_ended(void *future); /* a jq_ready_fn */
bool jq_future_succeeded(const struct jobq_future *future);
/* Its end is waited for. 0 or ENOMEM, with detail. */
int jq_future_want(struct jobq_client *client, struct jobq_future *future);

#endif
