# One case: every command that fails ends it.
set -eu
. /test/dom0/lib.sh
for file in /test/cases/*.sh; do
  # shellcheck source=/dev/null
  . "$file"
done
"case_$1"
