#!/usr/bin/env bash
# clang-tidy on one file of compile_commands.json. Results are kept by content, so that a second run is quick.
set -uo pipefail
file=$1
cache=${XEN_VIRTFS_CACHE:-$HOME/.cache/xen-virtfs}/tidy
mkdir -p "$cache"
# What a file's verdict hangs on: itself, our headers, the rules.
key=$({ sha256sum "$file" .clang-tidy; git ls-files -- '*.h' | xargs sha256sum; } | sha256sum | cut -d' ' -f1)
[ -e "$cache/$key" ] && exit 0
output=$(clang-tidy --quiet -p . "$file" 2>/dev/null)
rc=$?
[ -z "$output" ] || printf '%s\n' "$output"
[ "$rc" = 0 ] && [ -z "$output" ] && touch "$cache/$key"
[ -z "$output" ] && [ "$rc" = 0 ]
