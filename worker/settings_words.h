/* SPDX-License-Identifier: MIT
 *
 * settings_words.h - the command line of jobq-worker, taken apart for settings.c. */
#ifndef JQ_WORKER_SETTINGS_WORDS_H
#define JQ_WORKER_SETTINGS_WORDS_H

#include "proto/base/buf.h"
#include "worker/settings.h"

/* Zeroed but for `action` before it is split. */
struct jq_worker_words {
    enum jq_worker_action action; /* the last that is named */
    struct jq_buf plugins;        /* of all --plugin, as one flag */
    const char *file;             /* --config; NULL: the default */
    int flag_count;
    char **flags; /* for the settings; [0] is the program's name */
};

/* EINVAL with detail; ENOMEM. Either way to be freed by fini. */
JQ_MUST_USE enum jq_err jq_worker_words_split(int argc, char **argv, struct jq_worker_words *words,
                                              struct jq_detail *detail);
void jq_worker_words_fini(struct jq_worker_words *words);

#endif
