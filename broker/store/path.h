/* SPDX-License-Identifier: MIT
 *
 * path.h - the files of a store: where they are, whose they are, and whether the main one is ours.
 * No SQL. One thread at a time. */
#ifndef JQ_STORE_PATH_H
#define JQ_STORE_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

/* Bytes 68..71 of the file, "JQST". */
#define JQ_STORE_APPLICATION_ID 0x4a515354
/* Bytes 60..63. Raised with every step of the schema (sqlite_schema.c). */
#define JQ_STORE_VERSION 2

struct jq_store_path {
    char file[PATH_MAX]; /* absolute, links resolved: two names of one store have one lock */
    int lock_fd;         /* of FILE.lock; -1: not held */
    bool is_new;         /* there was no store, or an empty file, before open */
};

/* Makes the directory (0700), takes FILE.lock, makes the file (0600) when it is missing, and looks
 * at its header: whatever is not a store of ours is refused before anything could write to it.
 * ELOCKED, ECORRUPT, EVERSION, EIO, with detail. */
JQ_MUST_USE enum jq_err jq_store_path_open(const char *name, struct jq_store_path *ret_path,
                                           struct jq_detail *ret_detail);
void jq_store_path_close(struct jq_store_path *path); /* the lock goes last */
/* A new store is made under another name, and gets its own when it is whole: a crash at any moment
 * leaves a store or none. `make` gives the name of an empty file, 0600; `made` moves it into place.
 */
JQ_MUST_USE enum jq_err jq_store_path_make(const struct jq_store_path *path, char *fresh,
                                           size_t size, struct jq_detail *ret_detail);
JQ_MUST_USE enum jq_err jq_store_path_made(const struct jq_store_path *path, const char *fresh,
                                           struct jq_detail *ret_detail);
/* fsync of the directory the store is in: names made there stay. */
JQ_MUST_USE enum jq_err jq_store_path_sync(const struct jq_store_path *path,
                                           struct jq_detail *ret_detail);
/* A sentence for a damaged store: what is wrong, and what to do. Returns ECORRUPT. */
enum jq_err jq_store_path_damaged(const char *file, const char *what, struct jq_detail *detail);

#endif
