#!/bin/bash
# many_files.sh DIRECTORY FILES: makes DIRECTORY a git work tree of that many small files, 250 in each of its directories.
# Runs on the host, with the git of the packages if the host has none.
set -euo pipefail
cd "$1"
command -v git >/dev/null || {
  packages=${XEN_VIRTFS_CACHE:-${HOME:-/root}/.cache/xen-virtfs}/debs-root/usr
  export PATH=$packages/bin:$PATH GIT_EXEC_PATH=$packages/lib/git-core LD_LIBRARY_PATH=$packages/lib/x86_64-linux-gnu
}
export HOME=$1
git init -q -b main . 2>/dev/null
awk -v files="$2" 'BEGIN {
  print "commit refs/heads/main\ncommitter Test <test@example.org> 1600000000 +0000\ndata 3\nall"
  for (i = 0; i < files; ++i) {
    text = "file " i % 1000
    printf "M 100644 inline directory%d/part%d/file%d.txt\ndata %d\n%s\n", i / 5000, i / 250, i, length(text), text
  }
}' | git fast-import --quiet
# The guest has other inode numbers: without this its git would read every file, not only ask for it.
git config core.checkStat minimal
git checkout -q -f main
git status --porcelain
rm -f .gitconfig
echo "made"
