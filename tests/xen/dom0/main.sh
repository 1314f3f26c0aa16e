# Runs every case in turn, each in a shell of its own, and tells the host's run.py how it goes:
#   @begin NAME, then "@log ..." (failed only) and "@note ..." lines, then @ok NAME or @failed NAME
. /test/dom0/lib.sh
mkdir -p "$STATE" /var/log/virtfs
# Name and limit of each.
sed -n 's/^case_\([a-z0-9_]*\)() {\( # \([0-9]*\) s\)\{0,1\}.*/\1 \3/p' /test/cases/*.sh >"$STATE/cases"
while read -r name limit; do
  echo "@begin $name"
  mark_logs
  timeout -s KILL "${limit:-180}" sh /test/dom0/one_case.sh "$name" >"$STATE/case.log" 2>&1 </dev/null
  status=$?
  sed -n 's/^note: /@note /p' "$STATE/case.log"
  if [ $status = 0 ]; then
    echo "@ok $name"
    continue
  fi
  {
    grep -v '^note: ' "$STATE/case.log"
    case $status in
      137 | 143) echo "FAILED: took longer than ${limit:-180} s" ;;
      1) ;;
      *) echo "FAILED: the case's shell ended with $status" ;;
    esac
    new_logs
  } | sed 's/^/@log /'
  echo "@failed $name"
done <"$STATE/cases"
