/* SPDX-License-Identifier: MIT
 *
 * format_json_bench.c - figures of jobq bench. */
#include "client/cli/format_json.h"

#include "client/cli/figures.h"
#include "client/cli/format_json_parts.h"

static json_t *of_samples(const struct jq_figure *figure)
{
    json_t *array = json_array();
    bool failed = !array;

    for (size_t i = 0; i < figure->count; i++)
        failed |= json_array_append_new(array, json_real(figure->samples[i])) != 0;
    return jq_json_unless(failed, array);
}

json_t *jq_json_of_figure(const struct jq_figure *figure)
{
    const struct jq_spread spread = jq_figure_spread(figure);
    json_t *object = json_object();
    bool failed = !object;

    jq_json_set(object, "name", jq_json_string(jq_view_str(figure->name)), &failed);
    jq_json_set(object, "unit", jq_json_string(jq_view_str(figure->unit)), &failed);
    jq_json_set(object, "median", json_real(spread.median), &failed);
    jq_json_set(object, "least", json_real(spread.least), &failed);
    jq_json_set(object, "most", json_real(spread.most), &failed);
    jq_json_set(object, "samples", of_samples(figure), &failed);
    return jq_json_unless(failed, object);
}
