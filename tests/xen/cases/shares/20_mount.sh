# Shares mounted by the guest's own kernel, over real rings, grants and event channels: virtfs through mount.virtfs and
# 9pfs through the kernel's own trans=xen, in the PV and the PVH guest, all at the same time.
#
# cache=loose saves requests, and what it hides is no transport's business.
# shellcheck shell=dash

# both COMMAND [SECONDS]: in both guests at once. FROM and TO in it become the two mounts, so that what one guest does
# through virtfs the other does through 9pfs, and the other way round.
both() {
  start pv "$(echo "$1" | sed 's,FROM,/mnt/a,g; s,TO,/mnt/b,g')"
  start pvh "$(echo "$1" | sed 's,FROM,/mnt/b,g; s,TO,/mnt/a,g')"
  for guest in pv pvh; do finish $guest "${2:-120}"; done
}
same() { cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20; fail "$3"; }; }

case_shares_are_mounted() {
  for guest in pv pvh; do connected_9pfs $guest 1; done
  both "mount.virtfs virtfs /mnt/a -o cache=loose &&
    mount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=loose stock /mnt/b &&
    grep 9p /proc/mounts || dmesg | tail"
  for guest in pv pvh; do
    [ "$(output $guest | grep -c ' 9p ')" = 2 ] || fail "$guest has not two mounts"
  done
}

# tree COMMAND END: in each guest COMMAND for each directory D of its half of the tree: for half of these with the one
# mount as working directory and TO the other, for half the other way round; then END. All of a guest at once, since
# requests that are under way together cost the emulation half; one guest after the other, since two would take turns
# for each.
tree() {
  for guest in pv pvh; do
    [ $guest = pv ] && part=d0 || part=d1
    in_guest $guest "cd /mnt/a/tree && TO=/mnt/b && for D in ${part}[0-4]; do $1 done;
      cd /mnt/b/tree && TO=/mnt/a && for D in ${part}[5-9]; do $1 done; wait; $2; sync" 280
  done
}

# The sums come through a file of the share, since the console is slow.
# shellcheck disable=SC2016
case_guests_read_the_tree_of_dom0() { # 300 s
  now
  started=$NOW
  tree 'cp -r $D /tmp &' 'cd /tmp; md5sum d*/f* >/mnt/a/$(hostname).sums'
  note "2,000 files read by the guests, half by each, in $(seconds_since "$started") s"
  cat /srv/share/pv.sums /srv/share/pvh.sums | sort -k 2 >"$STATE/seen"
  same /test/tree "$STATE/seen" "the guests saw something else"
}

# shellcheck disable=SC2016
case_dom0_reads_the_tree_of_guests() { # 300 s
  mkdir /srv/share/copy
  now
  started=$NOW
  tree 'cp -r /tmp/$D $TO/copy &' 'rm -r /tmp/d*'
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
  both "cp -a FROM/odd TO/\$(hostname).odd && sync && cd FROM/odd && manifest -t ."
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
  in_guest pvh "mount.virtfs late /mnt/c && echo from pvh >/mnt/c/hello && cat /mnt/c/hello && umount /mnt/c"
  [ "$(cat /srv/late/hello)" = "from pvh" ] || fail "pvh wrote something else"
  detach pvh "$devid"
  nothing_left late
  in_guest pvh "! virtfs-client --timeout 1 ls late:/ 2>&1"
}

# With both shares mounted and a file open.
case_guests_power_off_with_shares_mounted() {
  for guest in pv pvh; do start $guest "exec 8>/mnt/b/open; poweroff -f"; done
  for guest in pv pvh; do wait_gone $guest; done
}

case_nothing_is_left_of_any_guest() { nothing_left everything; }
