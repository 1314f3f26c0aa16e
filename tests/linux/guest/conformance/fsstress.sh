#!/bin/bash
# fsstress (xfstests' ltp/fsstress): DIR holds the program. It checks nothing but that it gets through; what is left is
# then listed, read and removed.
. /virtfs/guest/functions.sh
operations=${OPERATIONS:-5000}
for processes in 1 4; do
  mkdir "p$processes"
  result=passed
  text=
  timeout 1800 "$SUITE_DIR/fsstress" -d "p$processes" -n "$operations" -p "$processes" -s 7 >log 2>&1 ||
    { result=failed text="fsstress: $? $(tail -n 1 log)"; }
  find "p$processes" -type f -exec cat {} + >/dev/null || result=failed text="$text reading what it left: $?"
  rm -rf "p$processes" || result=failed text="$text removing what it left: $?"
  printf 'processes-%s\t%s\t%s\n' "$processes" "$result" "$text"
done
