# What becomes of shares when their guest reboots, is saved, restored, and ends.
# shellcheck shell=dash

BOTH_MOUNTED="mount.virtfs docs /mnt/a && mount -t 9p -o trans=xen,version=9p2000.L more /mnt/b && ls /mnt/b"

create_pvh() {
  create_with_shares pvh pvh 128 "$(shares "$(on_share docs)" "$(on_share more),transport=9pfs")" 'on_reboot="restart"'
  wait_booted pvh
  connected_9pfs pvh 1
}

# rebooted NAME DOMID: whether the guest has another domain than this, and a newer; nobody but watch knows.
rebooted() {
  local id
  for id in $(xenstore-list /local/domain); do
    if [ "$id" -le "$2" ] || [ "$(xenstore-read "/local/domain/$id/name")" != "$1" ]; then continue; fi
    xenstore-exists "/local/domain/$id/console/tty" || return 1
    echo "$id" >"$STATE/guest/$1/domid"
    return 0
  done
  return 1
}

case_shares_return_after_three_reboots() { # 300 s
  remember pvh
  create_pvh
  for round in 1 2 3; do
    in_guest pvh "$BOTH_MOUNTED && cat /mnt/a/name && echo $round >/mnt/a/round"
    [ "$(cat /srv/docs/round)" = "$round" ] || fail "round $round did not arrive"
    old=$(domid pvh)
    start pvh "reboot -f"
    wait_until 120 "the guest to have another domain" rebooted pvh "$old"
    rm -f "$STATE/guest/pvh/tty"
    echo 0 >"$STATE/guest/pvh/job"
    wait_booted pvh
    connected_9pfs pvh 1
    wait_until 60 "watch to clear up" fails xenstore-exists "/local/domain/0/virtfs/$old"
  done
  in_guest pvh "$BOTH_MOUNTED && cat /mnt/a/round"
}
case_a_guest_that_is_destroyed_leaves_nothing() {
  xl destroy pvh
  wait_gone pvh
  nothing_left pvh
}
case_a_guest_that_is_shut_down_leaves_nothing() {
  create_pvh
  in_guest pvh "$BOTH_MOUNTED"
  xl shutdown -w pvh || fail "xl shutdown"
  wait_gone pvh
  nothing_left pvh
}

# What holds files of /mnt/a open while its guest is saved: it reads a line and writes it each time it is told to.
HOLDER='exec 5</mnt/a/lines 6>/mnt/a/written; flock -x 6; while read -r line <&5; do
  echo "$line" >&6; echo "$line" >/tmp/said; read -r go </tmp/go; done'
open_files_survive() { # TYPE
  remember moved
  printf 'one\ntwo\nthree\n' >/srv/docs/lines
  create_with_shares moved "$1" 128 "$(shares "$(on_share docs)" "$(on_share logs)")"
  wait_booted moved
  # What is asked for meanwhile is to wait, however slow the emulation.
  in_guest moved "mkfifo /tmp/go /tmp/said; mount.virtfs docs /mnt/a -o wait=60 && echo '$HOLDER' >/tmp/holder;
    setsid sh /tmp/holder </dev/null >/tmp/log 2>&1 & read -r line </tmp/said && [ \$line = one ]"
  relay=$(in_guest moved "pidof virtfs-relay" && output moved)
  ! xl-virtfs save moved /srv/docs || fail "saved to a directory"
  [ ! -e /srv/docs.virtfs ] || fail "there are sessions of a save that failed"
  in_guest moved "echo go >/tmp/go; read -r line </tmp/said && [ \$line = two ]"
  now
  began=$NOW
  xl-virtfs save moved /srv/moved || fail "save"
  note "$1: saved in $(seconds_since "$began") s; $(stat -c %s /srv/moved.virtfs/0) bytes are its session"
  wait_gone moved
  [ ! -e /srv/moved.virtfs/1 ] || fail "a share that was not mounted has a session"
  mv /srv/docs/lines /srv/docs/renamed
  now
  began=$NOW
  made moved xl-virtfs restore /srv/moved
  note "$1: restored in $(seconds_since "$began") s"
  in_guest moved "echo go >/tmp/go; read -r line </tmp/said && [ \$line = three ]"
  [ "$(in_guest moved "pidof virtfs-relay" && output moved)" = "$relay" ] || fail "the relay is another, or none"
  wait_until 10 "the lines to be written" cmp -s /srv/docs/renamed /srv/docs/written
  grep OFDLCK /proc/locks || fail "the lock is gone"
  in_guest moved "cat /mnt/a/name; mount.virtfs logs /mnt/b && cat /mnt/b/name"
  [ -z "$(processes '*qemu')" ] || fail "QEMU runs: $(processes '*qemu')"
  xl shutdown -w moved || fail "xl shutdown"
  wait_gone moved
  rm -r /srv/moved /srv/moved.virtfs /srv/docs/renamed /srv/docs/written
  nothing_left moved
}
case_open_files_of_a_saved_pv_guest_go_on() { # 300 s
  open_files_survive pv
}
case_open_files_of_a_saved_pvh_guest_go_on() { # 300 s
  open_files_survive pvh
}

# Of the guest that mounted shares over both transports.
case_stock_9pfs_is_not_saved() {
  ! xl-virtfs save pv /srv/saved 2>"$STATE/refusal" || fail "saved"
  log "$(cat "$STATE/refusal")"
  grep -q 9pfs "$STATE/refusal" || fail "it does not say why"
  [ ! -e /srv/saved ] || fail "there is a file"
  in_guest pv "cat /mnt/a/name"
}

case_a_guest_that_crashes_leaves_nothing() {
  start pv "echo c >/proc/sysrq-trigger"
  wait_gone pv
  nothing_left everything
}
