/* SPDX-License-Identifier: MIT
 *
 * error.c - the public error numbers are those of errors.def: this does not compile when they
 * differ. And the version of the library. */
#include "client/include/jobq/jobq.h"
#include "proto/base/err.h"
#include "proto/limits.h"
#include "proto/states.h"

#define ERR(name, number, text) \
    _Static_assert(JOBQ_E##name == -(number), "jobq.h and errors.def differ: " #name);
#include "proto/errors.def"

_Static_assert((int)JOBQ_BLOCKED == (int)JQ_BLOCKED && (int)JOBQ_DELAYED == (int)JQ_DELAYED &&
                   (int)JOBQ_READY == (int)JQ_READY && (int)JOBQ_RUNNING == (int)JQ_RUNNING &&
                   (int)JOBQ_SUCCEEDED == (int)JQ_SUCCEEDED && (int)JOBQ_FAILED == (int)JQ_FAILED &&
                   (int)JOBQ_CANCELLED == (int)JQ_CANCELLED &&
                   (int)JOBQ_EXPIRED == (int)JQ_EXPIRED && (int)JOBQ_SKIPPED == (int)JQ_SKIPPED,
               "jobq.h and states.h differ");
_Static_assert(JOBQ_JOB_DISCARD == JQ_JOB_DISCARD && JOBQ_JOB_TIE == JQ_JOB_TIE &&
                   JOBQ_EXEC_MERGE == JQ_EXEC_MERGE,
               "flags of jobq.h and states.h differ");
_Static_assert((JOBQ_JOB_STRICT & JQ_JOB_FLAGS) == 0, "STRICT is the SUBMIT's, not the job's");

_Static_assert((int)JOBQ_AFTER_OK == (int)JQ_AFTER_OK && (int)JOBQ_AFTER_ANY == (int)JQ_AFTER_ANY &&
                   (int)JOBQ_AFTER_FAIL == (int)JQ_AFTER_FAIL &&
                   JOBQ_WHILE_QUEUED == JQ_WHILE_QUEUED && JOBQ_WHILE_RUNNING == JQ_WHILE_RUNNING,
               "options of jobq.h and states.h differ");

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *jobq_strerror(int error)
{
    return error == 0 ? "success" : jq_err_text((enum jq_err)error);
}

const char *jobq_version(void)
{
    return TEXT(JOBQ_VERSION_MAJOR) "." TEXT(JOBQ_VERSION_MINOR) "." TEXT(JOBQ_VERSION_PATCH);
}
