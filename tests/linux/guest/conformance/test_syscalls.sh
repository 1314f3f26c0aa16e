#!/bin/bash
# libfuse's test/test_syscalls: DIR holds the program. A case is NUMBER-NAME; its text what it said. One that begins and
# says nothing more was skipped for want of a system call; the last one then ended the program.
. /virtfs/guest/functions.sh
status=0
timeout 600 "$SUITE_DIR/test_syscalls" "$PWD" >log 2>&1 || status=$?
awk -v status="$status" '
  match($0, /\[[^]]*\]/) {
    name = substr($0, RSTART + 1, RLENGTH - 2); gsub(/[ \t]+/, "_", name)
    number = $0; sub(/^\+ *[0-9.]+s */, "", number); number += 0
    text = substr($0, RSTART + RLENGTH + 1)
    if (text == "START") { if (!(number in names)) order[++count] = number; names[number] = name }
    else if (text == "OK") result[number] = "passed"
    else if (text ~ /SKIP/) result[number] = "skipped"
    else if (number in names) { result[number] = "failed"; said[number] = said[number] text "; " }
    else { order[++count] = number; names[number] = name; result[number] = "failed"; said[number] = text }
  }
  END { for (i = 1; i <= count; ++i) {
      n = order[i]
      print n "-" names[n] "\t" (result[n] ? result[n] : i == count && status > 1 ? "failed" : "skipped") "\t" said[n]
    }
  }
' log
cat log >&2
