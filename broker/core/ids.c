/* SPDX-License-Identifier: MIT
 *
 * ids.c - lists of ids, as requests bring them. */
#include "broker/core/parts.h"
#include "proto/base/alloc.h"

enum jq_err jq_ids_of(struct jq_records jobs, uint64_t **ret_ids)
{
    uint64_t *ids = jq_alloc(((size_t)jobs.count + 1) * sizeof *ids);
    struct jq_job_ref ref;
    uint32_t i = 0;

    if (!ids)
        return JQ_ENOMEM;
    for (struct jq_reader r = jq_records_reader(jobs); jq_job_ref_next(&r, &ref);)
        ids[i++] = ref.id;
    *ret_ids = ids;
    return JQ_OK;
}

static void sift_down(uint64_t *ids, uint32_t root, uint32_t count)
{
    const uint64_t id = ids[root];

    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && ids[child] < ids[child + 1])
            child++;
        if (ids[child] <= id)
            break;
        ids[root] = ids[child];
    }
    ids[root] = id;
}

/* By a heap, in place: qsort may allocate, and asks the system how much memory there is. */
static void sort(uint64_t *ids, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--)
        sift_down(ids, i - 1, count);
    for (uint32_t end = count; end > 1; end--) {
        const uint64_t greatest = ids[0];
        ids[0] = ids[end - 1];
        ids[end - 1] = greatest;
        sift_down(ids, 0, end - 1);
    }
}

uint32_t jq_ids_sort_out(uint64_t *ids, uint32_t count)
{
    uint32_t sorted = 1, kept = 0;

    while (sorted < count && ids[sorted - 1] < ids[sorted])
        sorted++;
    if (sorted >= count)
        return count;
    sort(ids, count);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || ids[kept - 1] != ids[i])
            ids[kept++] = ids[i];
    return kept;
}
