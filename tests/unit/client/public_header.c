/* SPDX-License-Identifier: MIT
 *
 * public_header.c - every initialiser of the public header, as a C11 and a C++11 program use it;
 * compiled, never run. */
#include "jobq/jobq.h"

int main(void)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_job job = JOBQ_JOB_INIT;
    struct jobq_job_options job_options = JOBQ_JOB_OPTIONS_INIT;
    struct jobq_queue_options queue_options = JOBQ_QUEUE_OPTIONS_INIT;

    job.options = &job_options;
    return !(options.size && job.size && job_options.size && queue_options.size);
}
