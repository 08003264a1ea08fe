/* SPDX-License-Identifier: MIT
 *
 * print_settings.c - the settings of one program as scdoc text: each flag, its range and its
 * sentence. Compiled once for each config.def (JOBQ_SETTINGS names it); the build puts the output
 * into the man page, so that no flag can be missing there. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* scdoc reads *, _ and \ as markup; settings' help has them as text. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        if (strchr("*_\\<>#~", *text))
            putchar('\\');
        putchar(*text);
    }
}

static void print_setting(const char *name, const char *kind, const char *value, char letter,
                          const char *help)
{
    static const char *const values[][2] = {
        { "INT", "N" }, { "SIZE", "SIZE" }, { "DURATION", "TIME" }, { "STRING", "TEXT" }
    };

    if (letter)
        printf("*-%c*, ", letter);
    printf("*--");
    for (const char *at = name; *at; at++)
        putchar(*at == '.' || *at == '_' ? '-' : *at);
    putchar('*');
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcmp(kind, values[i][0]) == 0)
            printf(" _%s_", values[i][1]);
    printf("\n\t");
    print_text(help);
    if (*value) {
        printf(" Default: ");
        print_text(value);
        putchar('.');
    }
    printf("\n\n");
}

int main(void)
{
#define SETTING(field, name, kind, value, min, max, letter, help) \
    print_setting(name, #kind, value, letter, help);
#include JOBQ_SETTINGS
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
