# The machine, one PV and one PVH guest that live through most cases, and what they are to read.
# shellcheck shell=dash

case_xen_is_real() {
  xl info >"$STATE/info"
  version=$(sed -n 's/^xen_version *: //p' "$STATE/info")
  case $version in 4.17.*) ;; *) fail "Xen is '$version', not 4.17" ;; esac
  note "Xen $version, Linux $(uname -r) in dom0 and guests"
}

# They boot while the next case makes the files.
case_guests_are_created() {
  mkdir -p /srv/share
  remember everything
  for type in pv pvh; do
    create $type $type 256
    attach $type "tag=virtfs,path=/srv/share,security_model=passthrough" >/dev/null
    attach $type "tag=stock,path=/srv/share,security_model=passthrough,transport=9pfs" >/dev/null
    unpause $type
  done
}

# tree: 200 files of 0 to 9 KB in 4 directories, a link in each; odd: attributes; big: 64 MiB.
case_files_are_made() {
  mkdir /srv/share/tree /srv/share/odd
  cd /srv/share/tree || fail "no directory"
  awk 'BEGIN {
    for (line = 0; line < 320; line++) text = text sprintf("%31.0f\n", line * 790001)
    for (directory = 0; directory < 4; directory++) {
      system("mkdir d" directory "; ln -s ../d" (directory + 1) " d" directory "/link")
      for (number = 0; number < 50; number++) {
        file = "d" directory "/file " number
        printf "%s", (number ? file "\n" substr(text, number * 10, (directory * 50 + number) * 7919 % 9000) : "") > file
        close(file)
      }
    }
  }'
  files=$(find . -type f | wc -l)
  [ "$files" = 200 ] || fail "$files files instead of 200"
  cd ../odd || fail "no directory"
  for file in plain setuid owned old; do echo "$file" >$file; done
  mkdir sticky
  chmod 4711 setuid
  chmod 1777 sticky
  touch -d '2001-02-03 04:05:06' old
  ln -s "$(printf '%200s' '' | tr ' ' x)" long
  chown -h 1234:5678 owned long
  head -c 67108864 /dev/urandom >../big
  md5sum <../big >"$STATE/big.md5"
  /bin/manifest ../tree >"$STATE/tree.manifest"
}

case_pv_guest_boots() { wait_booted pv; }
case_pvh_guest_boots() { wait_booted pvh; }
