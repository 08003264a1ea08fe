#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_protocol.sh [--update] PRINT_MESSAGES - the tables at the end of PROTOCOL.md are those of
# messages.def. With --update they are written anew.
set -eu
update=no
if [ "$1" = --update ]; then
    update=yes
    shift
fi
print_messages=$1
cd "$(dirname "$0")/../.."
document=proto/PROTOCOL.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$print_messages" >"$scratch/tables"
awk -v tables="$scratch/tables" '
    /^<!-- messages:end -->$/ { inside = 0; ended = 1 }
    !inside { print }
    /^<!-- messages:begin -->$/ {
        inside = 1
        while ((getline line < tables) > 0) print line
    }
    END { exit !ended }' "$document" >"$scratch/document" || {
    echo "$document: no lines <!-- messages:begin --> and <!-- messages:end -->" >&2
    exit 1
}
if [ "$update" = yes ]; then
    cat "$scratch/document" >"$document"
    exit 0
fi
if ! diff -u "$document" "$scratch/document"; then
    echo "$document: its tables are not those of proto/messages.def. Write them anew with" >&2
    echo "  tests/lint/check_protocol.sh --update $print_messages" >&2
    exit 1
fi
