/* SPDX-License-Identifier: MIT
 *
 * figures.c - see figures.h. */
#include "client/cli/figures.h"

#include <stdlib.h>
#include <string.h>

void jq_figure_add(struct jq_figure *figure, double sample)
{
    if (figure->count < JQ_RUNS_MAX)
        figure->samples[figure->count++] = sample;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct jq_spread jq_figure_spread(const struct jq_figure *figure)
{
    double sorted[JQ_RUNS_MAX];
    const size_t count = figure->count, middle = count / 2;

    if (count == 0)
        return (struct jq_spread){ 0, 0, 0 };
    memcpy(sorted, figure->samples, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    return (struct jq_spread){
        .median = count % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
        .least = sorted[0],
        .most = sorted[count - 1],
    };
}

double jq_percentile(double *samples, size_t count, unsigned percent)
{
    if (count == 0)
        return 0;
    qsort(samples, count, sizeof *samples, compare);
    const size_t index = count * percent / 100;
    return samples[index < count ? index : count - 1];
}

bool jq_in_list(const char *list, const char *name)
{
    const size_t length = strlen(name);

    for (const char *at = list;; at++) {
        const size_t size = strcspn(at, ",");
        if (size == length && memcmp(at, name, size) == 0)
            return true;
        at += size;
        if (!*at)
            return false;
    }
}
