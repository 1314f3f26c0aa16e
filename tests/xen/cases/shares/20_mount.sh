# Shares mounted by the guest's own kernel, over real rings, grants and event channels: virtfs through mount.virtfs and
# 9pfs through the kernel's own trans=xen, in the PV and the PVH guest, all at the same time.
#
# Each twice: /mnt/virtfs and /mnt/9pfs, cache=loose, which asks least of a server when files are read; and
# /mnt/virtfs.w and /mnt/9pfs.w, cache=none, which asks least when they are written.
# shellcheck shell=dash

# both COMMAND [SECONDS]: in both guests at once. FROM and TO in it become a mount to read and one to write, so that
# what one guest does through virtfs the other does through 9pfs, and the other way round.
both() {
  start pv "$(echo "$1" | sed 's,FROM,/mnt/virtfs,g; s,TO,/mnt/9pfs.w,g')"
  start pvh "$(echo "$1" | sed 's,FROM,/mnt/9pfs,g; s,TO,/mnt/virtfs.w,g')"
  for guest in pv pvh; do finish $guest "${2:-120}"; done
}
same() { cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20; fail "$3"; }; }

case_shares_are_mounted() {
  for guest in pv pvh; do
    connected_9pfs $guest 1
    connected_9pfs $guest 3
  done
  both "cd /mnt; mkdir virtfs virtfs.w 9pfs 9pfs.w; xen=trans=xen,version=9p2000.L,msize=524288
    mount.virtfs virtfs virtfs -o cache=loose && mount -t 9p -o \$xen,cache=loose 9pfs 9pfs &&
    mount.virtfs virtfs.w virtfs.w -o cache=none && mount -t 9p -o \$xen,cache=none 9pfs.w 9pfs.w &&
    grep 9p /proc/mounts || dmesg | tail"
  for guest in pv pvh; do
    [ "$(output $guest | grep -c ' 9p ')" = 4 ] || fail "$guest has not four mounts"
  done
}

# tree COMMAND END: in each guest COMMAND for each directory D of its half of the tree, T being virtfs for half of these
# and 9pfs for the others; then END. All of a guest at once, since requests that are under way together cost the
# emulation half; one guest after the other, since two would take turns for each.
tree() {
  for guest in pv pvh; do
    [ $guest = pv ] && part=d0 || part=d1
    in_guest $guest "cd /mnt/virtfs/tree;
      T=virtfs; for D in ${part}[0-4]; do $1 & done; T=9pfs; for D in ${part}[5-9]; do $1 & done; wait; $2" 280
  done
}

# The sums come through a file of the share, since the console is slow.
# shellcheck disable=SC2016
case_guests_read_the_tree_of_dom0() { # 300 s
  now
  started=$NOW
  tree 'cp -r /mnt/$T/tree/$D /tmp' 'cd /tmp; md5sum d*/f* >/mnt/virtfs.w/$(hostname).sums'
  note "2,000 files read by the guests, half by each, in $(seconds_since "$started") s"
  cat /srv/share/pv.sums /srv/share/pvh.sums | sort -k 2 >"$STATE/seen"
  same /test/tree "$STATE/seen" "the guests saw something else"
}

# From inside the directory that is written to, since without a cache its path would be walked for each file.
# shellcheck disable=SC2016
case_dom0_reads_the_tree_of_guests() { # 300 s
  mkdir /srv/share/copy
  now
  started=$NOW
  tree '(mkdir /mnt/$T.w/copy/$D && cd /mnt/$T.w/copy/$D && cp -P /tmp/$D/* .)' 'rm -r /tmp/d*'
  note "2,000 files written by the guests, half by each, in $(seconds_since "$started") s"
  cd /srv/share/copy || fail "no directory"
  md5sum d*/f* >"$STATE/copied"
  same /test/tree "$STATE/copied" "the guests wrote something else"
  for link in d*/link; do
    [ "$(readlink "$link")" = "../${link%/*}/file 00" ] || fail "$link leads to $(readlink "$link")"
  done
  rm -r /srv/share/copy
}

# Modes, owners, times and links of a few files, both ways.
case_attributes_both_ways() {
  both "cp -a FROM/odd TO/\$(hostname).odd && cd FROM/odd && manifest -t ."
  cd /srv/share/odd || fail "no directory"
  manifest -t . >"$STATE/odd"
  for guest in pv pvh; do
    output $guest >"$STATE/seen"
    same "$STATE/odd" "$STATE/seen" "$guest saw something else"
    cd /srv/share/$guest.odd || fail "no directory"
    manifest -t . >"$STATE/copied"
    same "$STATE/odd" "$STATE/copied" "$guest wrote something else"
  done
}

# Hashed in the guest between reading and writing, and again in dom0. Directly, in messages of 256 KiB, since the cache
# writes page by page.
case_64_mib_both_ways() {
  now
  started=$NOW
  both "dd if=FROM/big of=/tmp/big bs=256k iflag=direct 2>/dev/null && xxhsum </tmp/big &&
    dd if=/tmp/big of=TO/\$(hostname).big bs=256k oflag=direct 2>/dev/null && rm /tmp/big" 170
  took=$(seconds_since "$started")
  for guest in pv pvh; do
    output $guest | cmp - "$STATE/big.hash" || fail "$guest read something else"
    xxhsum </srv/share/$guest.big | cmp - "$STATE/big.hash" || fail "$guest wrote something else"
    rm /srv/share/$guest.big
  done
  note "64 MiB read and written by two guests at once in $took s"
}

# In the PV guest the cases of ends/ do so.
case_share_comes_and_goes_while_the_guest_runs() {
  mkdir -p /srv/late
  remember late
  devid=$(attach pvh "tag=late,path=/srv/late,security_model=passthrough")
  in_guest pvh "mount.virtfs late /mnt/a && echo from pvh >/mnt/a/hello && cat /mnt/a/hello && umount /mnt/a"
  [ "$(cat /srv/late/hello)" = "from pvh" ] || fail "pvh wrote something else"
  detach pvh "$devid"
  nothing_left late
  in_guest pvh "! virtfs-client --timeout 1 ls late:/ 2>&1"
}

# With both shares mounted and a file open.
case_guests_power_off_with_shares_mounted() {
  for guest in pv pvh; do start $guest "exec 8>/mnt/9pfs/open; poweroff -f"; done
  for guest in pv pvh; do wait_gone $guest; done
}

case_nothing_is_left_of_any_guest() { nothing_left everything; }
