# What becomes of shares when their guest reboots, is saved, restored, and ends.
# shellcheck shell=dash

# The guest has another domain id each time, and nobody but watch knows.
rebooted() {
  local before=$1 id
  for id in $(xenstore-list /local/domain); do
    [ "$id" -gt "$before" ] && [ "$(xenstore-read "/local/domain/$id/name")" = pvh ] || continue
    xenstore-exists "/local/domain/$id/console/tty" || return 1
    echo "$id" >"$STATE/guest/pvh/domid"
    return 0
  done
  return 1
}

case_shares_return_after_three_reboots() { # 300 s
  remember pvh
  create_with_shares pvh pvh 128 "$(shares "$(on_share docs)" "$(on_share more),transport=9pfs")" 'on_reboot="restart"'
  wait_booted pvh
  for round in 1 2 3; do
    in_guest pvh "mount.virtfs docs /mnt/a && cat /mnt/a/name && echo $round >/mnt/a/round"
    [ "$(cat /srv/docs/round)" = "$round" ] || fail "round $round did not arrive"
    old=$(domid pvh)
    start pvh "reboot -f"
    wait_until 120 "the guest to have another domain" rebooted "$old"
    rm -f "$STATE/guest/pvh/tty"
    echo 0 >"$STATE/guest/pvh/job"
    wait_booted pvh
    wait_until 60 "watch to clear up" fails xenstore-exists "/local/domain/0/virtfs/$old"
  done
  in_guest pvh "mount.virtfs docs /mnt/a && cat /mnt/a/round"
  connected_9pfs pvh 1
  in_guest pvh "mount -t 9p -o trans=xen,version=9p2000.L more /mnt/b && ls /mnt/b"
  xl destroy pvh
  wait_gone pvh
  nothing_left pvh
}

# What is mounted is in the way, since it would not come back.
case_saved_guest_finds_its_share_again() {
  remember saved
  create_with_shares moved pv 128 "$(shares "$(on_share docs)")"
  wait_booted moved
  in_guest moved "mount.virtfs docs /mnt/a"
  ! xl-virtfs save moved /srv/moved 2>"$STATE/refusal" || fail "saved with a share mounted"
  grep -q "uses docs" "$STATE/refusal" || fail "it does not say why: $(cat "$STATE/refusal")"
  in_guest moved "cat /mnt/a/name && umount /mnt/a"
  wait_until 30 "the share to be closed" node_is "/local/domain/0/backend/virtfs/$(domid moved)/0/state" 2
  xl-virtfs save moved /srv/moved || fail "save"
  wait_gone moved
  made moved xl-virtfs restore /srv/moved
  in_guest moved "mount.virtfs docs /mnt/a && cat /mnt/a/name"
  output moved | grep -qx docs || fail "the share is another"
  xl shutdown -w moved || fail "xl shutdown"
  wait_gone moved
  rm /srv/moved
  nothing_left saved
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
