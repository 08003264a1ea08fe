#!/bin/sh
# SPDX-License-Identifier: MIT
#
# files.sh PATTERN... - the project's files of these names, one a line: what git knows or would
# add, or in an unpacked archive everything outside build folders.
set -eu
cd "$(dirname "$0")/../.."
if [ -e .git ] && command -v git >/dev/null 2>&1; then
    git -c safe.directory="$PWD" ls-files -co --exclude-standard -- "$@" | sort -u |
        while IFS= read -r file; do
            if [ -f "$file" ]; then
                printf '%s\n' "$file"
            fi
        done
else
    for pattern; do
        find . \( -name .git -o -path './build*' -o -name __pycache__ \) -prune -o \
            -type f -name "$pattern" -print
    done | sed 's|^\./||' | sort -u
fi
