# One PV and one PVH guest that live through all cases, and what they are to read.
# shellcheck shell=dash

case_xen_is_real() {
  xl info >"$STATE/info"
  version=$(sed -n 's/^xen_version *: //p' "$STATE/info")
  case $version in 4.17.*) ;; *) fail "Xen is '$version', not 4.17" ;; esac
  note "Xen $version, Linux $(uname -r) in dom0 and guests"
}

# They boot while the next case makes the files.
case_guests_are_created() {
  remember everything
  for type in pv pvh; do
    create $type $type 256
    for more in '' .w; do
      attach $type "tag=virtfs$more,path=/srv/share,security_model=passthrough" >/dev/null
      attach $type "tag=9pfs$more,path=/srv/share,security_model=passthrough,transport=9pfs" >/dev/null
    done
    unpause $type
  done
}

# The tree is in dom0's image (images.py); odd: attributes; big: 64 MiB.
case_files_are_made() {
  make_big
  xxhsum </srv/share/big >"$STATE/big.hash"
  mkdir /srv/share/odd
  cd /srv/share/odd || fail "no directory"
  for file in plain setuid owned old; do echo "$file" >$file; done
  mkdir sticky
  chmod 4711 setuid
  chmod 1777 sticky
  touch -d '2001-02-03 04:05:06' old
  ln -s "$(printf '%200s' '' | tr ' ' x)" long
  chown -h 1234:5678 owned long
}

case_pv_guest_boots() { wait_booted pv; }
case_pvh_guest_boots() { wait_booted pvh; }
