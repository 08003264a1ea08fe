/* SPDX-License-Identifier: MIT
 *
 * exit_code.c - see exit_code.h. */
#include "client/cli/exit_code.h"

static bool starts_with(struct jq_view view, const char *text)
{
    const size_t length = strlen(text);
    return view.size >= length && memcmp(view.data, text, length) == 0;
}

/* A result carries no kind, but its reason starts with one of these words, which are stable. */
bool jq_ending_timed_out(const struct jq_ending *ending)
{
    return ending->state == JQ_FAILED && starts_with(ending->reason, "timed out");
}

bool jq_ending_lost(const struct jq_ending *ending)
{
    return ending->state == JQ_FAILED && starts_with(ending->reason, "poison: ");
}

bool jq_ending_is_plain(const struct jq_ending *ending)
{
    if (ending->state != JQ_FAILED)
        return ending->state == JQ_SUCCEEDED;
    return !ending->signal && ending->code > 0 && ending->code < 256 && !jq_ending_lost(ending) &&
           !jq_ending_timed_out(ending) &&
           ((ending->code != 126 && ending->code != 127) || !ending->reason.size);
}

/* Codes of handlers that no process can exit with count as 1. */
static int code_of_failure(const struct jq_ending *ending)
{
    if (jq_ending_lost(ending))
        return JQ_EXIT_LOST;
    if (jq_ending_timed_out(ending))
        return JQ_EXIT_TIMEDOUT;
    if (ending->signal > 0 && ending->signal < 128)
        return 128 + (int)ending->signal;
    return ending->code > 0 && ending->code < 256 ? (int)ending->code : 1;
}

int jq_exit_code(const struct jq_ending *ending)
{
    switch (ending->state) {
    case JQ_SUCCEEDED:
        return JQ_EXIT_OK;
    case JQ_FAILED:
        return code_of_failure(ending);
    case JQ_CANCELLED:
    case JQ_EXPIRED:
    case JQ_SKIPPED:
        return JQ_EXIT_CANCELLED;
    case JQ_BLOCKED:
    case JQ_DELAYED:
    case JQ_READY:
    case JQ_RUNNING:
        break;
    }
    return JQ_EXIT_FAILED; /* not an ending */
}

const char *jq_outcome_name(const struct jq_ending *ending)
{
    if (ending->state != JQ_FAILED)
        return jq_state_name(ending->state);
    if (jq_ending_lost(ending))
        return "lost";
    if (jq_ending_timed_out(ending))
        return "timed_out";
    return ending->signal ? "signalled" : "failed";
}

int jq_exit_of_error(int error)
{
    static const struct {
        enum jq_err error;
        int code;
    } table[] = {
        { JQ_OK, JQ_EXIT_OK },
        { JQ_EEMPTY, JQ_EXIT_EMPTY },
        { JQ_EFULL, JQ_EXIT_FULL },
        { JQ_ECLOSED, JQ_EXIT_CLOSED },
        { JQ_ETIMEDOUT, JQ_EXIT_UNREACH },
        { JQ_ENOENT, JQ_EXIT_NOENT },
        { JQ_EEXIST, JQ_EXIT_EXISTS },
        { JQ_EINVAL, JQ_EXIT_USAGE },
        { JQ_EALREADY, JQ_EXIT_REFUSED },
        { JQ_EFENCED, JQ_EXIT_REFUSED },
        { JQ_ESTATE, JQ_EXIT_REFUSED },
        { JQ_EMSGSIZE, JQ_EXIT_USAGE },
        { JQ_EAUTH, JQ_EXIT_AUTH },
        { JQ_EVERSION, JQ_EXIT_VERSION },
        { JQ_EUNREACH, JQ_EXIT_UNREACH },
        { JQ_EGONE, JQ_EXIT_NOENT },
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error)
            return table[i].code;
    return JQ_EXIT_FAILED;
}
