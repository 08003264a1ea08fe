/* SPDX-License-Identifier: MIT
 *
 * mark.h - FILE.mark, the watermark: what the store has last said to be durable. SQLite drops the
 * rest of its log without a word behind a damaged frame; a store that is behind its mark has lost
 * commits that somebody relies on, and is refused.
 *
 * Written after every commit without fsync: it is true across a crash of the process at once, and
 * across one of the machine up to the last sync. Never ahead of the store: the commit was synced
 * before. Two slots, written in turn, so that a torn write leaves the other. */
#ifndef JQ_STORE_MARK_H
#define JQ_STORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/store_op.h"
#include "broker/store/path.h"
#include "proto/base/err.h"

struct jq_mark {
    int fd;      /* -1: closed */
    bool dirty;  /* written since the last sync */
    bool exists; /* `last` was read from a file */
    struct jq_store_meta last;
};

/* Reads the mark beside the store, if there is one. ECORRUPT: there is one and it cannot be read
 * (then ret_mark is set all the same, as if there were none), EIO. */
JQ_MUST_USE enum jq_err jq_mark_open(const struct jq_store_path *path, struct jq_mark *ret_mark,
                                     struct jq_detail *ret_detail);
/* Makes FILE.mark with `meta` in both slots, synced. */
JQ_MUST_USE enum jq_err jq_mark_make(struct jq_mark *mark, const struct jq_store_path *path,
                                     const struct jq_store_meta *meta,
                                     struct jq_detail *ret_detail);
JQ_MUST_USE enum jq_err jq_mark_write(struct jq_mark *mark, const struct jq_store_meta *meta);
JQ_MUST_USE enum jq_err jq_mark_sync(struct jq_mark *mark);
void jq_mark_close(struct jq_mark *mark);

#endif
