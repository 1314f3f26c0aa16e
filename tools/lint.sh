#!/usr/bin/env bash
# `./dev lint`: format, clang-tidy, buildifier, file lengths. Prints each finding; silent and 0 when clean.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tools/dev_lib.sh

if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(git ls-files); fi
select_files() { printf '%s\n' "${files[@]}" | grep -E "$1" | grep -v '^third_party/' || :; }
findings=0
found() { findings=$((findings + 1)); }

step "clang-format"
mapfile -t sources < <(select_files '\.(cc|h|c)$')
[ ${#sources[@]} -eq 0 ] || clang-format --dry-run --Werror "${sources[@]}" || found

step "file lengths (500 lines, or a reason in the header: 'Long because')"
while read -r file; do
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 500 ] && ! head -n 30 "$file" | grep -q 'Long because'; then
    echo "$file has $lines lines: split it, or say in its header why it is long ('Long because ...')"
    found
  fi
done < <(select_files '(\.(cc|h|c|py|sh|bzl)$|^dev$)')

step "buildifier"
if [ ! -x node_modules/.bin/buildifier ]; then
  npm install --no-save --no-audit --no-fund --silent @bazel/buildifier || fail "npm could not fetch @bazel/buildifier"
fi
mapfile -t builds < <(select_files '(BUILD\.bazel|WORKSPACE|\.bzl)$')
[ ${#builds[@]} -eq 0 ] || node_modules/.bin/buildifier -mode=check -lint=warn \
  -warnings=-module-docstring,-native-cc-binary,-native-cc-common,-native-cc-import,-native-cc-info,-native-cc-library,-native-cc-test,-native-cc-toolchain,-native-sh-binary,-native-sh-test,-native-java-library "${builds[@]}" || found

step "clang-tidy"
python3 tools/compile_commands.py || fail "no compile_commands.json"
mapfile -t units < <(select_files '\.cc$' | python3 tools/compiled_files.py)
[ ${#units[@]} -eq 0 ] || printf '%s\n' "${units[@]}" | xargs -P "$(nproc)" -n 1 tools/tidy_one.sh || found

[ "$findings" = 0 ] && echo "lint: clean" || fail "$findings of 4 checks found something"
