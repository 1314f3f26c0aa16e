#!/bin/bash
# Clone, checkout of an older version and back, a branch with a commit, merge, gc, fsck, archive.
. /virtfs/guest/functions.sh
git config --global --replace-all safe.directory '*'
export GIT_AUTHOR_NAME=Test GIT_AUTHOR_EMAIL=test@example.org GIT_AUTHOR_DATE='1650000000 +0000'
export GIT_COMMITTER_NAME=Test GIT_COMMITTER_EMAIL=test@example.org GIT_COMMITTER_DATE='1650000000 +0000'
quietly git clone -q --no-local "$INPUT/repository" clone
cd clone || exit
git rev-parse HEAD
quietly git checkout -q v2
git status --porcelain | sha256sum
quietly git checkout -q -b work v4
for file in part7/section*/*.txt; do echo "one line more" >>"$file"; done
git mv part3 moved
git rm -rq part5
quietly git commit -qam 'a change'
quietly git checkout -q main
# Both sides have changed some of the files: it stops there.
quietly git merge -q -m 'the merge' work || git status --porcelain | sha256sum
quietly git merge --abort
git rev-parse HEAD work
quietly git gc -q --prune=now
git fsck --strict --no-dangling
git status --porcelain
git archive HEAD | sha256sum
git count-objects -v | grep -E '^(count|in-pack|packs|prune-packable|garbage)'
rm -rf .git
