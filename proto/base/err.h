/* SPDX-License-Identifier: MIT
 *
 * err.h - the one error type. 0 is success; errors are negative numbers of errors.def. */
#ifndef JQ_BASE_ERR_H
#define JQ_BASE_ERR_H

enum jq_err {
    JQ_OK = 0,
#define ERR(name, number, text) JQ_E##name = -(number),
#include "proto/errors.def"
};

#define JQ_MUST_USE __attribute__((warn_unused_result))

/* Return early with the error of `expr`, an enum jq_err. */
#define JQ_TRY(expr)                            \
    do {                                        \
        const enum jq_err jq_try_err_ = (expr); \
        if (jq_try_err_ != JQ_OK)               \
            return jq_try_err_;                 \
    } while (0)

/* A sentence for people, attached at the edges only (settings, store open, sockets). */
struct jq_detail {
    char text[512];
};

/* Formats into detail->text, truncating; a NULL detail is fine. */
void jq_detail_set(struct jq_detail *detail, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Static text; never NULL, also for numbers that are no error of ours. */
const char *jq_err_text(enum jq_err err);
/* "EFULL"; "EUNKNOWN" for numbers that are none of ours. */
const char *jq_err_name(enum jq_err err);

#endif
