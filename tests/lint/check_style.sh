#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_style.sh - what can be said of a file without compiling it: licence line and file head,
# format, line length, tabs, notes to self, calls that are not allowed.
set -eu
cd "$(dirname "$0")/../.."
files=tests/lint/files.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
touch "$scratch/found"

# report WHAT: every line of standard input is a place where the rule is broken.
report() {
    sed "s|\$|: $1|" >>"$scratch/found"
}

"$files" '*.c' '*.h' '*.def' >"$scratch/c"
"$files" '*.c' '*.h' | grep -vE '\.def$' >"$scratch/formatted"
"$files" '*' | grep -vE '(\.md|\.json|\.bin|\.db|\.txt|\.sample|LICENSE|\.gitignore|\.clang-format|\.editorconfig)$' |
    grep -v '/corpus/' >"$scratch/licensed"
"$files" '*' | grep -vE '(\.(bin|db)$|/corpus/)' >"$scratch/text"
"$files" '*.c' '*.h' | grep -vE '^tests/' >"$scratch/product"

xargs awk 'FNR <= 4 && /SPDX-License-Identifier: MIT/ { ok[FILENAME] = 1 }
    END { for (i = 1; i < ARGC; i++) if (!ok[ARGV[i]]) print ARGV[i] }' <"$scratch/licensed" |
    report "no line SPDX-License-Identifier: MIT at the top"

# The head says what belongs in the file: " * name.c - ...".
while IFS= read -r file; do
    head -n 3 "$file" | grep -qF " * ${file##*/} - " || echo "$file"
done <"$scratch/c" | report "line 3 is not ' * NAME - what belongs in the file'"

# shellcheck disable=SC2016 # awk's
xargs awk 'length($0) > 100 { print FILENAME ":" FNR }' <"$scratch/c" |
    report "longer than 100 columns"
xargs grep -nP '\t' <"$scratch/c" | cut -d: -f1,2 | report "a tab"
xargs grep -nE '[[:space:]]$' <"$scratch/c" | cut -d: -f1,2 | report "white space at the end"
xargs grep -nwE 'TODO|FIXME|XXX' <"$scratch/text" | grep -v '^tests/lint/' | cut -d: -f1,2 |
    report "a note to self: make it an issue"

xargs grep -nE '(^|[^A-Za-z0-9_>.])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|rand|localtime|gmtime|system|popen|alloca|tmpnam|tempnam)\(' \
    <"$scratch/product" | grep -vE '^[^:]*:[0-9]*: *(\*|/\*|//)' | cut -d: -f1,2 | report "a call that is not allowed"
grep -vE '^(proto/base/alloc.c$|(client|worker)/examples/)' "$scratch/product" |
    xargs grep -nE '(^|[^A-Za-z0-9_>.])(malloc|calloc|realloc|free|strdup|strndup)\(' |
    grep -vE '^[^:]*:[0-9]*: *(\*|/\*|//)' | cut -d: -f1,2 |
    report "the heap has one door, proto/base/alloc.h"

# By default a file that is wrong is named with every place in it.
if ! xargs clang-format --dry-run -Werror <"$scratch/formatted" >"$scratch/format" 2>&1; then
    grep -E ': (error|warning):' "$scratch/format" | cut -d: -f1 | sort | uniq -c |
        awk '{ print $2 ": " $1 " places are not as clang-format has them" }' >>"$scratch/found"
fi

if [ -s "$scratch/found" ]; then
    cat "$scratch/found"
    exit 1
fi
