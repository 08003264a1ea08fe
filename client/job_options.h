/* SPDX-License-Identifier: MIT
 *
 * job_options.h - a job's options as one encoded record. */
#ifndef JQ_CLIENT_JOB_OPTIONS_H
#define JQ_CLIENT_JOB_OPTIONS_H

#include "client/include/jobq/jobq.h"
#include "proto/base/buf.h"

/* Appends a job_options record, or nothing when all is as it is without options. 0, or EINVAL,
 * EMSGSIZE, ENOMEM with *ret_detail set. */
JQ_MUST_USE enum jq_err jq_job_options_encode(const struct jobq_job_options *options,
                                              struct jq_buf *out, struct jq_detail *ret_detail);

#endif
