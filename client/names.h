/* SPDX-License-Identifier: MIT
 *
 * names.h - what a queue, a handler, a key may be called. */
#ifndef JQ_CLIENT_NAMES_H
#define JQ_CLIENT_NAMES_H

#include <stdbool.h>

#include "proto/base/view.h"

/* [A-Za-z0-9._-]{1,128} */
bool jq_is_name(struct jq_view name);

#endif
