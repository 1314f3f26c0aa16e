#!/bin/bash
# xfstests: DIR is its built tree. The tests of the group generic that need no second file system; ONLY: other numbers.
. /virtfs/guest/functions.sh
tests=${ONLY:-001 002 005 006 007 011 014 020 023 028 035 070 075 080 087 088 112 126 131 184 236}
grep -q ^fsgqa: /etc/passwd || {
  echo 'fsgqa:x:61000:61000::/tmp:/bin/bash' >>/etc/passwd
  echo '123456-fsgqa:x:61001:61001::/tmp:/bin/bash' >>/etc/passwd
  echo 'fsgqa2:x:61002:61002::/tmp:/bin/bash' >>/etc/passwd
  printf 'fsgqa:x:61000:\n123456-fsgqa:x:61001:\nfsgqa2:x:61002:\n' >>/etc/group
}
mount_point=$(findmnt -n -o TARGET -T .)
export TEST_DIR=$mount_point RESULT_BASE=/tmp/xfstests-results
TEST_DEV=$(findmnt -n -o SOURCE -T .)
FSTYP=$(findmnt -n -o FSTYPE -T .)
export TEST_DEV FSTYP
# It mounts again what it finds mounted, with the same words.
TEST_FS_MOUNT_OPTS="-o $(findmnt -n -o OPTIONS -T . | sed 's/^rw,//')"
[ "$FSTYP" != ext4 ] || TEST_FS_MOUNT_OPTS=
export TEST_FS_MOUNT_OPTS
cd "$SUITE_DIR" || exit
for number in $tests; do
  timeout 900 ./check "generic/$number" >/tmp/check.log 2>&1 && result=passed || result=failed
  text=
  if grep -q '\[not run\]' /tmp/check.log; then
    result=skipped text=$(grep -h -o '\[not run\].*' /tmp/check.log | head -n 1)
  elif [ "$result" = failed ]; then
    text=$({ grep -h '^    [+-]' /tmp/check.log || tail -n 3 /tmp/check.log; } | grep -vE '^    [+-]{3} ' | head -n 4 | tr -s ' \n\t' ' ')
    cat /tmp/check.log >&2
  fi
  printf 'generic/%s\t%s\t%s\n' "$number" "$result" "$text"
done
