#!/usr/bin/env bash
# `./dev fuzz SECONDS`: runs each fuzzer (tools/fuzz.bzl) for that many seconds, from its corpus in the tree.
#
# New inputs are kept in ${XEN_VIRTFS_CACHE:-~/.cache/xen-virtfs}/fuzz/NAME and begun with the next time; an input that
# crashes is written there too, and named at the end.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tools/dev_lib.sh

seconds=$1
mapfile -t labels < <(bazel query 'attr(tags, "\bfuzz\b", //...)' 2>/dev/null)
[ ${#labels[@]} -gt 0 ] || fail "bazel query found no fuzzer"
step "build ${#labels[@]} fuzzers"
bazel build --config=fuzz --noshow_progress --ui_event_filters=-info "${labels[@]}" || fail "the fuzzers do not build"
bin=$(bazel info --config=fuzz bazel-bin 2>/dev/null)

failed=()
for label in "${labels[@]}"; do
  # //a/b:x_fuzz -> a/b/x_fuzz; its corpus is the directory of its data.
  path=${label#//}
  path=${path/:/\/}
  corpus=$(bazel query "labels(data, $label)" 2>/dev/null | sed -n '1{s|^//||; s|:|/|; s|/[^/]*$||; p}')
  found=${XEN_VIRTFS_CACHE:-$HOME/.cache/xen-virtfs}/fuzz/$(basename "$path")
  mkdir -p "$found/corpus"
  step "fuzz $label for $seconds s"
  log=$found/log
  if "$bin/$path" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$found/" "$found/corpus" "$corpus" \
    >"$log" 2>&1; then
    grep -E 'number_of_executed_units|average_exec_per_sec|new_units_added' "$log" | sed 's/^stat:://'
  else
    tail -n 40 "$log"
    failed+=("$label")
  fi
done

[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}; a crashing input belongs into that fuzzer's corpus, with its mending"
echo "fuzz: ${#labels[@]} fuzzers, no failure"
