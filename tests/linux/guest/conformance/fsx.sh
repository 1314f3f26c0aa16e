#!/bin/bash
# fsx (xfstests' ltp/fsx): DIR holds the program. OPERATIONS of each kind of use, one seed each; ONLY: one of the kinds.
. /virtfs/guest/functions.sh
operations=${OPERATIONS:-1000000}
mapped=(-R -W)  # no mmap: cache=none has none that can be shared
[ "$CACHE" = none ] || mapped=()
run() {
  local name=$1
  shift
  [ "$name" = "${ONLY:-$name}" ] || return 0
  if "$SUITE_DIR/fsx" -q -N "$operations" -P . "${mapped[@]}" "$@" "$name" >"$name.log" 2>&1; then
    printf '%s\tpassed\t\n' "$name"
  else
    printf '%s\tfailed\t%s\n' "$name" "$(tail -n 1 "$name.log")"
    tail -n 40 "$name.log" >&2
  fi
}
run plain -S 1
run small-file -S 2 -l 20000 -o 8000
run aligned -S 3 -r 4096 -w 4096 -t 4096
