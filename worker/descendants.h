/* SPDX-License-Identifier: MIT
 *
 * descendants.h - the end of everything below this process. For a child subreaper (prctl): what its
 * children leave behind comes to it, also what has left every process group and session. */
#ifndef JQ_WORKER_DESCENDANTS_H
#define JQ_WORKER_DESCENDANTS_H

#include <stdbool.h>

#include "proto/base/time.h"

/* KILLs and reaps children until none is left. False: some would not die in time. Blocks. */
bool jq_descendants_kill(jq_ms within);

#endif
