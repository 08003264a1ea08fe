/* SPDX-License-Identifier: MIT
 *
 * limits.h - every bound that two processes share. A bound of one process alone is a setting and
 * stands in that program's config.def. */
#ifndef JQ_PROTO_LIMITS_H
#define JQ_PROTO_LIMITS_H

enum {
    JQ_PROTOCOL_MIN = 1, /* oldest protocol version this build speaks */
    JQ_PROTOCOL_MAX = 1, /* newest */

    JQ_NAME_MAX = 128,     /* queue, handler, worker, host and key names, bytes */
    JQ_TITLE_MAX = 512,    /* what a listing shows as the job's command, bytes */
    JQ_REASON_MAX = 512,   /* a sentence that says why, bytes */
    JQ_SOFTWARE_MAX = 64,  /* "jobq 0.1.0" */
    JQ_CONFIG_MAX = 16384, /* a worker's effective settings, as text */

    JQ_PAYLOAD_MAX = 16 << 20,    /* one job's payload, bytes */
    JQ_VALUE_MAX = 16 << 20,      /* one job's result value, bytes */
    JQ_OUTPUT_PART_MAX = 4 << 20, /* head or tail of one stream kept with a result, bytes */
    JQ_LOG_CHUNK_MAX = 256 << 10, /* bytes in one LOG_DATA */
    JQ_ARGUMENTS_MAX = 1 << 16,   /* arguments, or variables, of one command */
    JQ_NAMED_MAX = 1024,          /* arguments by name of one job */
    JQ_JOB_DEPTH_MAX = 32,        /* jobs that were submitted by jobs, one within the other */
    JQ_PATH_MAX = 4096,           /* a path, bytes */
    JQ_OPTIONS_MAX = 64 << 10,    /* a job's options, encoded, bytes */
    JQ_AFTER_MAX = 1024,          /* jobs that one job waits for */
    JQ_TAGS_MAX = 16,             /* tags of a worker, or needed by a job */
    JQ_LIMITS_MAX = 16,           /* limits, or mutexes, of one job */
    JQ_LABELS_MAX = 32,           /* of one job */
    JQ_ENDINGS_MAX = 64,          /* codes and signals in one list of a retry policy */
    JQ_HISTORY_MAX = 32,          /* attempts remembered of a job beside its last */
    JQ_FRAME_MAX = 36 << 20,      /* one frame: the largest result (value or four parts) fits */
    JQ_FRAME_SOFT = 256 << 10,    /* a sender that batches closes its frame past this */

    JQ_JOBS_PER_FRAME = 8192, /* records of one list in one frame, but for the next */
    JQ_QUEUES_MAX = 16384,    /* of a broker: one STATISTICS lists them all */
    JQ_HELD_MAX = 32768,      /* jobs a worker may hold, its unacknowledged ends included: one HELLO
                                 lists them all. Fewer, and short jobs would wait for commits */
    JQ_DEPTH_MAX = 8,         /* nesting of a frame */
    JQ_NODES_MAX = 1 << 19,   /* msgpack tokens of a frame: as many job_info as a list has fit */
    JQ_VERSION_TEXT_MAX = 32,
};

#endif
