# Guests that end, and what they leave in dom0: nothing.
# shellcheck shell=dash

VICTIMS=20
TOGETHER=5
VICTIM_MIB=96

memory_is() { xl list "$1" | grep -q "^$1  *[0-9]*  *$2 "; }

# The guest of the cases before is what all victims are made of: to restore it takes less than booting another.
# So is one of less memory, but to boot with less than 128 MiB this kernel cannot.
case_victim_is_saved() {
  in_guest pv "umount /mnt/a"
  xl mem-set pv $VICTIM_MIB || fail "xl mem-set"
  wait_until 60 "the guest to give memory back" memory_is pv $VICTIM_MIB
  xl save pv /srv/victim >&2 || fail "xl save"
  wait_gone pv
}

# Destroyed while the guest's kernel writes files; several at the same time. None writes before all of them are there:
# it would take the others' processor.
case_twenty_guests_destroyed_mid_io() { # 500 s
  remember victims
  # Those that write would otherwise get five times of what dom0 gets to end them.
  xl sched-credit2 -d Domain-0 -w 65535
  number=0
  while [ $number -lt $VICTIMS ]; do
    names='' ends=''
    for _ in $(seq $TOGETHER); do
      number=$((number + 1))
      name=victim$number
      names="$names $name"
      mkdir -p "/srv/$name"
      configure "$name" pv $VICTIM_MIB maxmem=128
      restore "$name" /srv/victim
      attach "$name" "tag=share,path=/srv/$name,security_model=passthrough" >/dev/null
      in_guest "$name" "mount.virtfs share /mnt/a -o msize=65536"
    done
    for name in $names; do
      start "$name" "while dd if=/dev/zero of=/mnt/a/file bs=64k count=64 2>/dev/null; do :; done"
    done
    for name in $names; do wait_until 120 "$name to write" test -s "/srv/$name/file"; done
    for name in $names; do
      xl destroy "$name" &
      ends="$ends $!"
    done
    # shellcheck disable=SC2086
    wait $ends
    for name in $names; do
      wait_gone "$name"
      rm -r "/srv/$name" "$(console "$name")" "/var/log/virtfs/$name.log"
    done
  done
  nothing_left victims
}

case_nothing_is_left_of_any_guest() {
  rm -f /srv/victim
  nothing_left everything
}
