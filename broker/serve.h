/* SPDX-License-Identifier: MIT
 *
 * serve.h - from settings to a broker that serves, and back: everything is opened in order, the
 * loop runs, everything is closed. The exit status says which step failed. */
#ifndef JQ_BROKER_SERVE_H
#define JQ_BROKER_SERVE_H

#include "broker/settings.h"

#define JQ_BROKER_SOFTWARE "jobqd " JOBQ_VERSION

/* Exit status: 0; EX_UNAVAILABLE (69) endpoint or store is held by another; EX_CANTCREAT (73)
 * EX_IOERR (74) EX_TEMPFAIL (75) EX_CONFIG (78). Says why in one log line. Both are borrowed. */
int jq_serve(const struct jq_command_line *line, const struct jq_broker_config *config);

#endif
