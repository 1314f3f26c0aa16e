#!/bin/bash
# pjdfstest: DIR holds tests/ and the program pjdfstest. A case is FILE:NUMBER; its text what was expected and what came.
# ONLY: a part of the files, as tests/ONLY*, for whoever looks for one mistake.
. /virtfs/guest/functions.sh
find "$SUITE_DIR/tests/" -name '*.t' -printf '%P\n' | grep -E "^${ONLY:-}" | LC_ALL=C sort | while read -r file; do
  mkdir "${file//\//-}"
  cd "${file//\//-}"
  timeout 300 sh "$SUITE_DIR/tests/$file" 2>/dev/null | awk -v file="$file" '
    $1 == "ok" { print file ":" $2 "\tpassed\t" }
    $1 == "not" { number = $3; sub(/^not ok [0-9]+( - )?/, ""); print file ":" number "\tfailed\t" $0 }' || :
  cd ..
done
