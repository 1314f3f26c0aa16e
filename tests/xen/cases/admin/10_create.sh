# What an administrator does, with xl-virtfs and the stock xl.
# shellcheck shell=dash

# shares SPEC...: the line of xl.cfg.
shares() {
  local line='' spec
  for spec in "$@"; do line="$line'$spec', "; done
  echo "virtfs=[ $line]"
}
on_share() { echo "tag=$1,path=/srv/$1,security_model=${2:-passthrough}"; }
# A guest with the shares that its file says, running.
create_with_shares() {
  configure "$@"
  made "$1" xl-virtfs create "$STATE/guest/$1/cfg"
}

case_watch_is_started() {
  mkdir -p /srv/docs /srv/logs /srv/more
  echo docs >/srv/docs/name
  echo logs >/srv/logs/name
  ulimit -n 65536
  xl-virtfs watch </dev/null >/var/log/virtfs/watch.log 2>&1 &
  echo $! >"$STATE/watch"
  wait_until 20 "watch to run" test -e /run/xen-virtfs/watch.lock
  remember everything
}

case_a_pv_guest_is_created_with_its_shares() {
  create_with_shares pv pv 128 \
    "$(shares "$(on_share docs)" "$(on_share logs),readonly" "$(on_share more),transport=9pfs")"
  wait_booted pv
  connected_9pfs pv 2
  in_guest pv "mount.virtfs docs /mnt/a && mount.virtfs logs /mnt/b && cat /mnt/a/name /mnt/b/name &&
    mount -t 9p -o trans=xen,version=9p2000.L more /mnt/c && echo pv >/mnt/c/pv && ! touch /mnt/b/new"
  [ "$(cat /srv/more/pv)" = pv ] || fail "what the guest wrote through 9pfs is not there"
  [ -z "$(processes '*qemu')" ] || fail "QEMU runs: $(processes '*qemu')"
  xl-virtfs list
}

case_a_share_comes_and_goes() {
  mkdir -p /srv/late
  devid=$(xl-virtfs attach pv "$(on_share late)") || fail "attach"
  in_guest pv "umount /mnt/c; mount.virtfs late /mnt/c && echo kept >/mnt/c/kept && cat /mnt/c/kept"
  in_guest pv "(while [ -e /mnt/a/name ]; do sleep 1; done) 7</mnt/c/kept >/dev/null 2>&1 & echo \$! >/tmp/holder"
  ! xl-virtfs detach pv late 2>"$STATE/refusal" || fail "a share with an open file was detached"
  grep -q open "$STATE/refusal" || fail "it does not say why: $(cat "$STATE/refusal")"
  in_guest pv "cat /mnt/c/kept"
  xl-virtfs detach --force pv "$devid" || fail "detach --force"
  in_guest pv "! cat /mnt/c/kept; kill \$(cat /tmp/holder)"
  output pv | grep -q 'Input/output error' || fail "no EIO"
  ! xl-virtfs list pv | grep late || fail "it is still listed"
  in_guest pv "umount -l /mnt/c"
  xl-virtfs attach pv "$(on_share late)" || fail "attach again"
  in_guest pv "mount.virtfs late /mnt/c && cat /mnt/c/kept && umount /mnt/c"
  xl-virtfs detach pv late || fail "detach without open files"
}
