#!/bin/bash
# xfstests: DIR is its built tree. The tests of the group generic that need no second file system; ONLY: other numbers.
. /virtfs/guest/functions.sh
read -r -a tests <<<"${ONLY:-001 002 005 006 007 011 014 020 023 028 035 070 075 080 087 088 112 126 131 184 236}"
tests=("${tests[@]/#/generic/}")
grep -q ^fsgqa: /etc/passwd || {
  printf '%s:/tmp:/bin/bash\n' fsgqa:x:61000:61000: 123456-fsgqa:x:61001:61001: fsgqa2:x:61002:61002: >>/etc/passwd
  printf 'fsgqa:x:61000:\n123456-fsgqa:x:61001:\nfsgqa2:x:61002:\n' >>/etc/group
}
# It mounts again what it finds mounted, with the same words; the results are kept apart for each file system.
read -r TEST_DIR TEST_DEV FSTYP options < <(findmnt -n -r -o TARGET,SOURCE,FSTYPE,OPTIONS -T .)
RESULT_BASE=$(mktemp -d)
TEST_FS_MOUNT_OPTS=
[ "$FSTYP" = ext4 ] || TEST_FS_MOUNT_OPTS="-o ${options#rw,}"
FSX_AVOID=
[ "$CACHE" != none ] || FSX_AVOID="-R -W"  # as in fsx.sh
export TEST_DIR TEST_DEV FSTYP RESULT_BASE TEST_FS_MOUNT_OPTS FSX_AVOID
cd "$SUITE_DIR" || exit

# One call for all: what it does before its first test takes longer here than many of the tests. It says a line when a
# test has ended, with the time if it passed; after that of a failure come the lines that differ.
{ timeout 6600 ./check "${tests[@]}" 2>&1 || :; } | tee >(cat >&2) | awk -v wanted="${tests[*]}" '
  function finish() {
    if (name == "") return
    printf "%s\t%s\t%s\n", name, result, text
    fflush()
    delete missing[name]
    name = ""
  }
  BEGIN { count = split(wanted, names, " "); for (i = 1; i <= count; ++i) missing[names[i]] }
  $1 in missing {
    finish()
    name = $1
    result = $2 == "[not" ? "skipped" : NF == 2 && $2 ~ /^[0-9]+s$/ ? "passed" : "failed"
    sub(/^[^ ]+ +/, "")
    text = $0
    lines = 0
    next
  }
  name != "" && /^    [+-]/ && !/^    (\+\+\+|---)/ && lines++ < 4 { gsub(/[ \t]+/, " "); text = text " |" $0 }
  /^$/ || /^Ran: / { finish() }
  END { finish(); for (test in missing) printf "%s\tfailed\tdid not come to its end\n", test }'
