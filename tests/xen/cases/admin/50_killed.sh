# The watch is killed while shares and domains come and go.
# shellcheck shell=dash disable=SC3028

# How the guest gets another domain id: as after `xl create` of what `xl destroy` ended; and by a reboot of its own,
# which that xl sees to.
again() {
  [ ! -e "$STATE/guest/bare/domid" ] || xl destroy bare
  made bare xl create -q "$STATE/bare.cfg"
}
reboots() {
  local old
  old=$(domid bare)
  xl trigger bare nmi
  wait_until 60 "the guest to have another domain" rebooted bare "$old"
}
# are_shared TAG...: these shares the guest has, ready to be mounted, and no other; and one keeper.
are_shared() {
  xl-virtfs list bare | awk 'NR > 1 {print $4, $7}' | sort >"$STATE/seen"
  for tag in "$@"; do echo "$tag InitWait"; done | cmp -s - "$STATE/seen" || return 1
  [ $# = 0 ] || [ "$(processes "xen-virtfsd*--domid $(domid bare)" | wc -l)" = 1 ]
}

# Each step, an attach, a detach, a reboot or a destroy, while the watch is killed at some time of it, and started again.
case_fifty_kills_of_the_watch() { # 600 s
  remember killed
  # What a kernel would do does not matter here (images.py: sleeper).
  printf '%s\n' 'name="bare"' 'type="pvh"' 'memory=32' 'kernel="/guest/sleeper"' 'on_reboot="restart"' \
    'uuid="5b4a2c52-9a0f-4ac5-8a4a-6f6a5d1f2c01"' >"$STATE/bare.cfg"
  mkdir -p "$STATE/guest/bare"
  again
  round=0
  while [ $round -lt 50 ]; do
    longest=1000
    case $((round % 6)) in
      0) step="xl-virtfs attach bare $(on_share docs)" shared='docs' ;;
      1) step=reboots longest=4000 ;; # xl waits for 2 s before it makes the domain again
      4) step=again ;;
      2) step="xl-virtfs attach bare $(on_share more)" shared='docs more' ;;
      3) step='xl-virtfs detach bare docs' shared='more' ;;
      5) step='xl-virtfs detach bare more' shared='' ;;
    esac
    $step &
    ends=$!
    delay=$((RANDOM % longest))
    log "round $round: $step; the watch is killed after $delay ms"
    usleep ${delay}000
    kill -KILL "$(cat "$STATE/watch")"
    xl-virtfs watch </dev/null >>/var/log/virtfs/watch.log 2>&1 &
    echo $! >"$STATE/watch"
    wait $ends || fail "round $round: $step failed"
    # shellcheck disable=SC2086
    wait_until 60 "the guest to have: $shared" are_shared $shared
    round=$((round + 1))
  done
  xl destroy bare
  wait_gone bare
  nothing_left killed
}
