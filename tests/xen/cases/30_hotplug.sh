# Shares that come and go while the guest runs.
# shellcheck shell=dash

case_share_comes_and_goes_while_the_guest_runs() {
  mkdir -p /srv/late
  for guest in pv pvh; do
    remember late
    devid=$(attach $guest "tag=late,path=/srv/late,security_model=passthrough")
    in_guest $guest "mount.virtfs late /mnt/c && echo from $guest >/mnt/c/hello && cat /mnt/c/hello && umount /mnt/c"
    [ "$(cat /srv/late/hello)" = "from $guest" ] || fail "$guest wrote something else"
    detach $guest "$devid"
    nothing_left late
    in_guest $guest "! virtfs-client --timeout 1 ls late:/ 2>&1"
  done
}

# The guest is in the middle of writing: it gets errors, nothing hangs, and its other shares go on.
case_share_goes_while_it_is_written_to() {
  remember late
  devid=$(attach pv "tag=late,path=/srv/late,security_model=passthrough")
  start pv "mount.virtfs late /mnt/c && while dd if=/dev/zero of=/mnt/c/busy bs=64k count=64 2>/dev/null; do :; done; echo ended"
  wait_until 20 "the guest to write" test -s /srv/late/busy
  detach pv "$devid"
  finish pv 40
  in_guest pv "umount -l /mnt/c; ls -d /mnt/a/tree /mnt/b/tree"
  nothing_left late
}

# Requests in flight fail, the keeper starts another server, and the share can be mounted anew.
case_killed_server_costs_a_mount_only() {
  devid=$(attach pv "tag=late,path=/srv/late,security_model=passthrough")
  in_guest pv "mount.virtfs late /mnt/c && ls /mnt/c >/dev/null"
  server=$(processes "xen-virtfsd * domain $(domid pv) share $devid")
  [ -n "$server" ] || fail "no server of share $devid: $(processes xen-virtfsd)"
  kill -KILL "$server"
  wait_until 20 "share $devid to be offered again" node_is "/local/domain/0/backend/virtfs/$(domid pv)/$devid/state" 2
  start pv "ls /mnt/c"
  wait_until 30 "an answer" grep -q "^@done $(cat "$STATE/guest/pv/job") " "$(console pv)"
  in_guest pv "umount -l /mnt/c; mount.virtfs late /mnt/c && ls /mnt/c && umount /mnt/c && ls -d /mnt/a/tree /mnt/b/tree"
  detach pv "$devid"
}
