/* SPDX-License-Identifier: MIT
 *
 * print_messages.c - the records and messages of messages.def as the tables of PROTOCOL.md's last
 * section, on standard output. Bounds are printed by their name in limits.h. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *separator; /* between fields; "" before the first of a row */
static bool in_messages;

static void begin_record(const char *name)
{
    printf("| `%s` | ", name);
    separator = "";
}

/* Records come first in messages.def: the first message ends their table. */
static void begin_message(const char *tag, int number)
{
    if (!in_messages)
        printf("\n| tag | message | fields |\n|---|---|---|\n");
    in_messages = true;
    printf("| %d | %s | ", number, tag);
    separator = "";
}

static void end_row(void)
{
    printf(" |\n");
}

static void print_field(const char *name, const char *type, const char *record, const char *max)
{
    const bool optional = strncmp(type, "OPT_", 4) == 0;

    printf("%s`%s`%s ", separator, name, optional ? "?" : "");
    for (const char *at = type + (optional ? 4 : 0); *at; at++)
        putchar(*at >= 'A' && *at <= 'Z' ? *at + ('a' - 'A') : *at);
    if (record)
        printf(" of `%s`", record);
    if (max && strcmp(max, "UINT64_MAX") != 0) /* all that the type holds is no bound */
        printf(" <= %s", max);
    separator = ", ";
}

static void print_all(void)
{
    printf("| record | fields |\n|---|---|\n");
#define RECORD(name) begin_record(#name);
#define RECORD_END(name) end_row();
#define MSG(name, TAG, number) begin_message(#TAG, number);
#define MSG_END(name) end_row();
#define U64(name, max) print_field(#name, "U64", NULL, #max);
#define I64(name) print_field(#name, "I64", NULL, NULL);
#define STR(name, max) print_field(#name, "STR", NULL, #max);
#define BIN(name, max) print_field(#name, "BIN", NULL, #max);
#define LIST(name, record, max) print_field(#name, "LIST", #record, #max);
#define OPT_U64(name, max) print_field(#name, "OPT_U64", NULL, #max);
#define OPT_I64(name) print_field(#name, "OPT_I64", NULL, NULL);
#define OPT_STR(name, max) print_field(#name, "OPT_STR", NULL, #max);
#define OPT_BIN(name, max) print_field(#name, "OPT_BIN", NULL, #max);
#define OPT_LIST(name, record, max) print_field(#name, "OPT_LIST", #record, #max);
#include "proto/messages.def"
}

int main(void)
{
    print_all();
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
