# Shares that end while a guest uses them.
# shellcheck shell=dash

case_guest_boots() {
  mkdir -p /srv/stays/tree /srv/late
  remember everything
  create pv pv 128
  attach pv "tag=stays,path=/srv/stays,security_model=passthrough" >/dev/null
  unpause pv
  wait_booted pv
  in_guest pv "mount.virtfs stays /mnt/a"
}

# The guest is in the middle of writing: it gets errors, nothing hangs, and its other share goes on.
case_share_goes_while_it_is_written_to() {
  remember late
  devid=$(attach pv "tag=late,path=/srv/late,security_model=passthrough")
  start pv "mount.virtfs late /mnt/c &&
    while dd if=/dev/zero of=/mnt/c/busy bs=64k count=64 2>/dev/null; do :; done; echo ended"
  wait_until 60 "the guest to write" test -s /srv/late/busy
  detach pv "$devid"
  finish pv
  in_guest pv "umount -l /mnt/c; ls -d /mnt/a/tree"
  nothing_left late
}

# Requests in flight fail, the keeper starts another server, and the share can be mounted anew.
case_killed_server_costs_a_mount_only() {
  devid=$(attach pv "tag=late,path=/srv/late,security_model=passthrough")
  in_guest pv "mount.virtfs late /mnt/c && ls /mnt/c >/dev/null"
  server=$(processes "xen-virtfsd * domain $(domid pv) share $devid")
  [ -n "$server" ] || fail "no server of share $devid: $(processes xen-virtfsd)"
  kill -KILL "$server"
  wait_until 60 "share $devid to be offered again" node_is "/local/domain/0/backend/virtfs/$(domid pv)/$devid/state" 2
  start pv "ls /mnt/c"
  ended pv
  in_guest pv "umount -l /mnt/c; mount.virtfs late /mnt/c && ls /mnt/c && umount /mnt/c && ls -d /mnt/a/tree"
  detach pv "$devid"
}
