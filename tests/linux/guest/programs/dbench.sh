#!/bin/bash
# dbench's office of SMB clients, over its own load file; any operation whose result is not the recorded one is said.
. /virtfs/guest/functions.sh
seconds=$([ "$SIZE" = full ] && echo 60 || echo 1)
dbench -c "$(find /usr/share -name client.txt -path '*dbench*' | head -n 1)" -t "$seconds" -D . 2 >dbench.log 2>&1 ||
  { tail -n 20 dbench.log >&2; exit 1; }
# The kernel has no semaphores of System V, without which the clients do not start in the same instant.
if grep -v 'barrier semaphore' dbench.log | grep -iE 'error|fail|expected' >&2; then exit 1; fi
grep -c '^Throughput' dbench.log
rm -rf dbench.log clients
