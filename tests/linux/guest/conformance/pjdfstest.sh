#!/bin/bash
# pjdfstest: DIR holds tests/ and the program pjdfstest. A case is FILE:NUMBER; its text what was expected and what came.
# ONLY: a part of the files, as tests/ONLY*, for whoever looks for one mistake.
. /virtfs/guest/functions.sh

run_file() {
  local name=${1//\//-}
  mkdir "$name"
  cd "$name" || return
  timeout 3600 sh -c '. /virtfs/guest/conformance/pjdfstest_quickly.sh; . "$0"' "$SUITE_DIR/tests/$1" 2>/dev/null |
    awk -v file="$1" '
      $1 == "ok" { print file ":" $2 "\tpassed\t" }
      $1 == "not" { number = $3; sub(/^not ok [0-9]+( - )?/, ""); print file ":" number "\tfailed\t" $0 }' \
      >"/tmp/pjdfstest.$name" || :
}
export -f run_file

# Several at once: many of them sleep until a time stamp would differ.
rm -f /tmp/pjdfstest.*
find "$SUITE_DIR/tests/" -name '*.t' -printf '%P\n' | grep -E "^${ONLY:-}" | LC_ALL=C sort |
  xargs -P 8 -I FILE bash -c 'run_file FILE'
cat /tmp/pjdfstest.*
