/* SPDX-License-Identifier: MIT
 *
 * logfile.h - the descriptors 0, 1 and 2 of a broker that serves without a person or a service
 * manager at them: log lines go to a file, and so does what the worker it started prints. */
#ifndef JQ_BROKER_LOGFILE_H
#define JQ_BROKER_LOGFILE_H

#include <stddef.h>

#include "proto/base/err.h"

/* What the log_file setting comes to: "" is standard error. With --local and no setting: jobqd.log
 * beside the store, where that is a file. INVAL: longer than `size`. */
JQ_MUST_USE enum jq_err jq_logfile_path(const char *setting, const char *store, int is_local,
                                        char *ret_path, size_t size);
/* Makes `path` standard error, appending; standard input and output become /dev/null, so that no
 * pipe of whoever started us stays open. A file that has grown past 16 MiB is renamed to "<path>.1"
 * first. Again: the file is opened anew. IO with detail, and nothing has changed. */
JQ_MUST_USE enum jq_err jq_logfile_open(const char *path, struct jq_detail *ret_detail);

#endif
