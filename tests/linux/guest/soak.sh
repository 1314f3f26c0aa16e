#!/bin/bash
# soak.sh SECONDS: what soak_test.cc has done in three mounts of one directory at once; prints how each ended.
. /virtfs/guest/functions.sh
seconds=$1

verify() {
  local end=$((SECONDS + seconds)) round=0
  while [ $SECONDS -lt $end ]; do
    round=$((round + 1))
    fio --minimal --randrepeat=1 --randseed=$round --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 \
      --fallocate=none --size=8m --name=soak --filename=fio.data --rw=randwrite --bsrange=512-200k --blockalign=512 \
      --ioengine=psync || return
  done
  echo "fio: $round rounds"
}

exercise() {
  local end=$((SECONDS + seconds)) seed=0
  while [ $SECONDS -lt $end ]; do
    seed=$((seed + 1))
    "$EXERCISER" exercised $((seconds < 60 ? seconds : 60)) $seed mmap || return
  done
}

stress() {
  stress-ng --temp-path . --timeout "$seconds" --verify --dentry 1 --rename 1 --link 1 --symlink 1 --hdd 1 --hdd-bytes 4m \
    --utime 1 --dir 1 --fstat 1 --chmod 1
}

# The three are named by "${!part}" below.
# shellcheck disable=SC2034
mkdir /virtfs/{none/fio,mmap/exerciser,loose/stress}
(cd /virtfs/none/fio && verify) >/tmp/fio.log 2>&1 & fio=$!
(cd /virtfs/mmap/exerciser && exercise) >/tmp/exerciser.log 2>&1 & exerciser=$!
(cd /virtfs/loose/stress && stress) >/tmp/stress.log 2>&1 & stress=$!
for part in exerciser fio stress; do
  status=0
  wait "${!part}" || status=$?
  echo "$part: $status"
  { echo "-- $part"; tail -n 30 "/tmp/$part.log"; } >&2
done
