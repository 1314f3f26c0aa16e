#!/bin/bash
# stress-ng's file-system stressors, which check what they do; one line for each, with what it says of itself.
. /virtfs/guest/functions.sh
if [ "$SIZE" = full ]; then
  ops=200 instances=2
  stressors=(access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap file-ioctl filename
    flock fpunch fstat getdent hdd inotify io iomix lease link locka lockf lockofd metamix mknod open rename symlink
    sync-file touch unlink utime xattr)
else
  ops=2 instances=1
  stressors=(dentry flock rename xattr)
fi
for stressor in "${stressors[@]}"; do
  status=0
  stress-ng --temp-path . --timeout $([ "$SIZE" = full ] && echo 60 || echo 2) --verify --no-rand-seed --metrics-brief --"$stressor" "$instances" --"$stressor"-ops "$ops" \
    >stress.log 2>&1 || status=$?
  case $status in
    0) word=passed ;;
    3 | 4) word=skipped ;;
    *) word="failed ($status)"; { echo "$stressor:"; grep -E 'fail|error|warn' stress.log || cat stress.log; } | head -n 20 >&2 ;;
  esac
  echo "$stressor $word"
done
rm -rf stress.log tmp-stress-ng-*
