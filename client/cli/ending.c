/* SPDX-License-Identifier: MIT
 *
 * ending.c - see ending.h. */
#include "client/cli/ending.h"

#include <inttypes.h>

#include "client/cli/text.h"

void jq_ending_text(struct jq_buf *out, const struct jq_ending *ending)
{
    if (ending->state != JQ_FAILED) {
        jq_text_add(out, "%s", jq_state_name(ending->state));
    } else if (ending->signal && !jq_ending_timed_out(ending) && !jq_ending_lost(ending)) {
        jq_text_add(out, "killed by signal %" PRIu64 " (", ending->signal);
        jq_text_signal(out, ending->signal);
        jq_text_add(out, ")");
        return; /* the reason says it once more */
    } else if (ending->code || !ending->reason.size) {
        jq_text_add(out, "exit code %" PRId64, ending->code);
    } else {
        jq_text_clean(out, ending->reason);
        return;
    }
    if (ending->reason.size) {
        jq_text_add(out, ": ");
        jq_text_clean(out, ending->reason);
    }
}

int jq_ending_tell(const struct jq_cli *cli, const struct jobq_result *result)
{
    const struct jq_ending ending = {
        .state = (enum jq_job_state)result->state,
        .code = result->code,
        .signal = (uint64_t)result->signal,
        .reason = jq_view_str(result->reason ? result->reason : ""),
    };
    struct jq_buf text = { 0 };

    if (!jq_ending_is_plain(&ending)) {
        jq_ending_text(&text, &ending);
        jq_cli_notice(cli, "job %" PRIu64 ": %.*s", result->id, JQ_VIEW_ARG(jq_buf_view(&text)));
    }
    jq_buf_fini(&text);
    return jq_exit_code(&ending);
}
