# Shares mounted by the guest's own kernel, over real rings, grants and event channels: virtfs through mount.virtfs and
# 9pfs through the kernel's own trans=xen, in the PV and the PVH guest, all at the same time.
#
# The PV guest reads through virtfs (/mnt/a) and writes through 9pfs (/mnt/b), the PVH guest the other way round.
# cache=loose: without it the trees take half as long again, and what it hides is no transport's business.
# shellcheck shell=dash

# both COMMAND [SECONDS]: in both guests at once; FROM and TO in it become the directories to read and to write.
both() {
  start pv "$(echo "$1" | sed 's,FROM,/mnt/a,g; s,TO,/mnt/b,g')"
  start pvh "$(echo "$1" | sed 's,FROM,/mnt/b,g; s,TO,/mnt/a,g')"
  for guest in pv pvh; do finish $guest "${2:-60}"; done
}
same() { cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20; fail "$3"; }; }

case_shares_are_mounted() {
  both "mount.virtfs virtfs /mnt/a -o cache=loose &&
    mount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=loose stock /mnt/b && grep 9p /proc/mounts || dmesg | tail"
  for guest in pv pvh; do
    [ "$(output $guest | grep -c ' 9p ')" = 2 ] || fail "$guest has not two mounts"
  done
}

case_trees_are_copied() { # 150 s
  now
  started=$NOW
  both "cp -r FROM/tree /tmp/tree && cp -r /tmp/tree TO/\$(hostname) && sync" 140
  note "200 files read and written by two guests at once in $(seconds_since "$started") s"
}

# What each guest saw in the tree that dom0 made.
case_guests_saw_the_tree_of_dom0() {
  both "manifest /tmp/tree >TO/\$(hostname).manifest && rm -r /tmp/tree && sync"
  for guest in pv pvh; do same "$STATE/tree.manifest" /srv/share/$guest.manifest "$guest saw something else"; done
}

# What dom0 sees in the trees that the guests wrote.
case_dom0_sees_the_trees_of_guests() {
  for guest in pv pvh; do
    /bin/manifest /srv/share/$guest >"$STATE/copied"
    same "$STATE/tree.manifest" "$STATE/copied" "$guest wrote something else"
    rm -r /srv/share/$guest
  done
}

# Modes, owners, times and links of a few files, both ways.
case_attributes_both_ways() {
  both "cp -a FROM/odd TO/\$(hostname).odd && sync && manifest -t FROM/odd"
  /bin/manifest -t /srv/share/odd >"$STATE/odd"
  for guest in pv pvh; do
    output $guest >"$STATE/seen"
    same "$STATE/odd" "$STATE/seen" "$guest saw something else"
    /bin/manifest -t /srv/share/$guest.odd >"$STATE/copied"
    same "$STATE/odd" "$STATE/copied" "$guest wrote something else"
  done
}

# Hashed in the guest between reading and writing, and again in dom0. Directly, in messages of 256 KiB, since the cache
# writes page by page.
case_64_mib_both_ways() { # 90 s
  now
  started=$NOW
  both "dd if=FROM/big of=/tmp/big bs=256k iflag=direct 2>/dev/null && md5sum </tmp/big &&
    dd if=/tmp/big of=TO/\$(hostname).big bs=256k oflag=direct 2>/dev/null && rm /tmp/big" 80
  took=$(seconds_since "$started")
  for guest in pv pvh; do
    output $guest | cmp - "$STATE/big.md5" || fail "$guest read something else"
    md5sum </srv/share/$guest.big | cmp - "$STATE/big.md5" || fail "$guest wrote something else"
    rm /srv/share/$guest.big
  done
  note "64 MiB read and written by two guests at once in $took s"
}
