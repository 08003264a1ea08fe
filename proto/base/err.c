/* SPDX-License-Identifier: MIT
 *
 * err.c - texts and names of the errors. Pure. */
#include "proto/base/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *jq_err_text(enum jq_err err)
{
    switch ((int)err) {
    case JQ_OK:
        return "success";
#define ERR(name, number, text) \
    case JQ_E##name:            \
        return text;
#include "proto/errors.def"
    default:
        return "unknown error";
    }
}

const char *jq_err_name(enum jq_err err)
{
    switch ((int)err) {
    case JQ_OK:
        return "OK";
#define ERR(name, number, text) \
    case JQ_E##name:            \
        return "E" #name;
#include "proto/errors.def"
    default:
        return "EUNKNOWN";
    }
}

void jq_detail_set(struct jq_detail *detail, const char *format, ...)
{
    if (!detail)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail->text, sizeof detail->text, format, arguments);
    va_end(arguments);
}
