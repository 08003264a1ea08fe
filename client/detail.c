/* SPDX-License-Identifier: MIT
 *
 * detail.c - texts of failures, by thread. */
#include "client/detail.h"

#include "proto/base/alloc.h"

struct jq_detail_entry {
    struct jq_detail_entry *older;
    pthread_t thread;
    struct jq_detail detail;
};

/* The link that leads to this thread's entry, or with none and a full table to the oldest. */
static struct jq_detail_entry **place_of(struct jq_details *details, pthread_t thread)
{
    struct jq_detail_entry **at = &details->newest;

    while (*at && !pthread_equal((*at)->thread, thread)) {
        if (!(*at)->older && details->count >= JQ_DETAIL_THREADS_MAX)
            return at;
        at = &(*at)->older;
    }
    return at;
}

struct jq_detail *jq_details_get(struct jq_details *details)
{
    const pthread_t self = pthread_self();
    struct jq_detail_entry **at = place_of(details, self);
    struct jq_detail_entry *entry = *at;

    if (entry) {
        *at = entry->older;
    } else {
        entry = jq_alloc_zero(1, sizeof *entry);
        if (!entry)
            return NULL;
        details->count++;
    }
    entry->thread = self;
    entry->older = details->newest;
    details->newest = entry;
    return &entry->detail;
}

const char *jq_details_find(const struct jq_details *details)
{
    const pthread_t self = pthread_self();

    for (const struct jq_detail_entry *at = details->newest; at; at = at->older)
        if (pthread_equal(at->thread, self))
            return at->detail.text;
    return "";
}

void jq_details_fini(struct jq_details *details)
{
    while (details->newest) {
        struct jq_detail_entry *entry = details->newest;
        details->newest = entry->older;
        jq_free(entry);
    }
    details->count = 0;
}
