# Runs every case in turn, each in a shell of its own, and tells the host's run.py how it goes:
#   @begin NAME, then "@log ..." (failed only) and "@note ..." lines, then @ok NAME or @failed NAME
. /test/dom0/lib.sh
mkdir -p "$STATE" /var/log/virtfs
cases=$(sed -n 's/^case_\([a-z0-9_]*\)() {.*/\1/p' /test/cases/*.sh)
for name in $cases; do
  echo "@begin $name"
  limit=$(sed -n "s/^case_$name() { # \([0-9]*\) s\$/\1/p" /test/cases/*.sh)
  mark_logs
  timeout -s KILL "${limit:-60}" sh /test/dom0/one_case.sh "$name" >"$STATE/case.log" 2>&1 </dev/null
  status=$?
  sed -n 's/^note: /@note /p' "$STATE/case.log"
  if [ $status = 0 ]; then
    echo "@ok $name"
    continue
  fi
  {
    grep -v '^note: ' "$STATE/case.log"
    case $status in
      137 | 143) echo "FAILED: took longer than ${limit:-60} s" ;;
      1) ;;
      *) echo "FAILED: the case's shell ended with $status" ;;
    esac
    new_logs
  } | sed 's/^/@log /'
  echo "@failed $name"
done
