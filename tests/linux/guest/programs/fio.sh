#!/bin/bash
# Writes blocks of several sizes at random, each with its checksum, reads them back, and once more with nothing cached.
# The blocks hold the time: the files stay, for a comparison with what the host has.
. /virtfs/guest/functions.sh
size=$([ "$SIZE" = full ] && echo 128m || echo 3m)
run() {
  fio --minimal --randrepeat=1 --allrandrepeat=1 --randseed=77 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
    --fallocate=none --ioengine=psync --size="$size" "$@" >fio.log 2>&1 || { cat fio.log >&2; return 1; }
  rm fio.log
}
sequential=(--name=sequential --rw=write --bs=1m --filename=sequential)
run --name=random --rw=randwrite --bsrange=1k-96k --blockalign=512 --filename=random --do_verify=1
run "${sequential[@]}" --do_verify=1
run --name=two --numjobs=2 --rw=randwrite --bs=4k --fsync=64 --size=1m --do_verify=1
echo 3 >/proc/sys/vm/drop_caches
run "${sequential[@]}" --verify_only
echo "verified"
