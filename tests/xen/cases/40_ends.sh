# Guests that end, and what they leave in dom0: nothing.
# shellcheck shell=dash

VICTIMS=20
TOGETHER=4

# A guest for the next case, saved once it has booted: to restore it takes a third of booting another.
case_victim_is_saved() {
  create victim pv 128
  unpause victim
  wait_booted victim
  xl save victim /srv/victim || fail "xl save"
}

# Destroyed while the guest's kernel writes files; several at the same time. None writes before all of them are there:
# it would take the others' processor.
case_twenty_guests_destroyed_mid_io() { # 360 s
  remember victims
  number=0
  while [ $number -lt $VICTIMS ]; do
    names='' ends=''
    while [ "$(echo "$names" | wc -w)" -lt $TOGETHER ]; do
      number=$((number + 1))
      name=victim$number
      names="$names $name"
      mkdir -p /srv/$name
      configure $name pv 128
      restore $name /srv/victim
      attach $name "tag=share,path=/srv/$name,security_model=passthrough" >/dev/null
    done
    for name in $names; do
      unpause $name
      start $name "mount.virtfs share /mnt/a && while dd if=/dev/zero of=/mnt/a/file bs=64k count=64 2>/dev/null; do :; done"
    done
    for name in $names; do wait_until 60 "$name to write" test -s /srv/$name/file; done
    for name in $names; do
      xl destroy $name &
      ends="$ends $!"
    done
    wait $ends
    for name in $names; do
      wait_gone $name
      log "$name: $(wc -c </srv/$name/file) bytes were written"
      rm -r "/srv/$name" "$(console $name)" "/var/log/virtfs/$name.log"
    done
  done
  nothing_left victims
}

# With both shares mounted and a file open.
case_guests_power_off_with_shares_mounted() {
  for guest in pv pvh; do start $guest "exec 8>/mnt/b/open; poweroff -f"; done
  for guest in pv pvh; do wait_gone $guest; done
}

case_nothing_is_left_of_any_guest() {
  rm -f /srv/victim
  nothing_left everything
}
