#!/usr/bin/env bash
# clang-tidy on one file of compile_commands.json, whose name is shown as progress. A clean verdict is kept by content,
# so that a second run is quick.
set -uo pipefail
file=$1
cache=${XEN_VIRTFS_CACHE:-$HOME/.cache/xen-virtfs}/tidy
mkdir -p "$cache"
# Over a test's many short paths the analyzer spends more than half of all the time (21 of 35 s of session_names_test);
# what it would find there the sanitizers see when the test runs.
checks=()
[[ $file != *_test.cc ]] || checks=(--checks=-clang-analyzer-*)
# What the verdict hangs on: the file and those of our headers that it reaches, and the rules.
headers=$(clang++ -std=c++20 -MM -MG -I. -Iinclude "$file" 2>/dev/null | tr -s ' \\\n' '\n' | grep '\.h$' | sort -u)
key=$({ printf "%s" "${checks[@]}"; cat "$file" .clang-tidy; for header in $headers; do [ ! -f "$header" ] || cat "$header"; done; } | sha256sum)
key=${key%% *}
[ -e "$cache/$key" ] && exit 0
echo "clang-tidy $file" >&2
if output=$(clang-tidy --quiet "${checks[@]}" -p . "$file" 2>/dev/null) && [ -z "$output" ]; then
  touch "$cache/$key"
else
  printf '%s\n' "$output"
  exit 1
fi
