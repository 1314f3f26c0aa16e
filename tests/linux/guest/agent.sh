#!/bin/bash
# Takes commands from the host: for each line "NUMBER SECONDS" it runs /virtfs/work/NUMBER.sh for at most that long and
# answers "NUMBER STATUS". Process 1 of the guest, in its writable root.
set -euo pipefail

mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 /dev/ubda
mount -t ext4 /dev/ubda /virtfs/local
hostname guest

exec 3<>"/dev/tcp/$VIRTFS_CONTROL"
echo ready >&3
while read -r number bound <&3; do
  base=/virtfs/work/$number
  status=0
  timeout -k 5 "$bound" bash "$base.sh" </dev/null >"$base.out" 2>"$base.err" 3>&- || status=$?
  echo "$number $status" >&3
done
