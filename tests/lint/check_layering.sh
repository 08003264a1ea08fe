#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_layering.sh - who may include whom, as ARCHITECTURE.md has it, and the one home of each
# third-party header. An include with quotes is the path below the top folder; tests and examples
# may also name a file beside them.
set -eu
cd "$(dirname "$0")/../.."

tests/lint/files.sh '*.c' '*.h' '*.def' | xargs grep -nE '^#[[:space:]]*include' |
    sed -E 's/^([^:]*):([0-9]*):#[[:space:]]*include[[:space:]]*(["<])([^">]*)[">].*/\1 \2 \3 \4/' |
    awk '
function bad(why) { print file ":" line ": includes " header ": " why; wrong = 1 }
function starts(text, with) { return substr(text, 1, length(with)) == with }

# The first rule whose folder the file is in decides what it may include of ours.
function allowed(file) {
    if (starts(file, "tests/")) return ".*"
    if (starts(file, "proto/base/")) return "^proto/(base/|errors\\.def$)"
    if (starts(file, "proto/")) return "^proto/"
    if (starts(file, "broker/core/")) return "^(broker/core|proto)/"
    if (starts(file, "broker/store/")) return "^(broker/core|broker/store|proto)/"
    if (starts(file, "broker/")) return "^(broker|proto)/"
    if (starts(file, "worker/")) return "^(worker|proto)/"
    if (starts(file, "client/cli/")) return "^(client|proto|jobq)/"
    if (starts(file, "client/")) return "^(proto/|client/(include/jobq/)?[^/]*$)"
    return "^proto/"
}

{ file = $1; line = $2; kind = $3; header = $4 }

kind == "\"" {
    if (header ~ /\.\.\//) bad("paths go down only")
    else if (header !~ /\// && file !~ /^(tests|client\/examples)\//)
        bad("name it by its path below the top folder")
    else if (header ~ /\// && header !~ allowed(file))
        bad("that is not for this folder, see ARCHITECTURE.md")
    # The core gets time, settings and randomness as arguments.
    else if (file ~ /^broker\/core\// && header ~ /^proto\/(base\/(clock|log|conf)|endpoint)\.h$/)
        bad("the core is pure")
}

kind == "<" {
    if (starts(header, "jobq/")) {
        if (file !~ /^(client|worker\/examples|tests)\//) bad("public headers are for users")
        next
    }
    home["zmq.h"] = "^(broker/transport(_ends)?|worker/transport|worker/heartbeat|client/connection)\\.c$"
    home["msgpack.h"] = "^proto/wire\\.c$"
    home["sqlite3.h"] = "^broker/store/sqlite[_a-z]*\\.[ch]$"
    home["ini.h"] = "^proto/base/conf\\.c$"
    home["jansson.h"] = "^client/cli/format_json(_[a-z]+)?\\.[ch]$"
    if (header in home && file !~ home[header] && file !~ /^tests\//)
        bad("its home is " home[header])
    if (header in home || header !~ /^(zmq|msgpack|sqlite|ini\.|jansson|cmocka|uthash|utlist)/) next
    if (header == "cmocka.h" && file ~ /^tests\//) next
    bad("no such dependency, see ARCHITECTURE.md")
}

END { exit wrong }'
