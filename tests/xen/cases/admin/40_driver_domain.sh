# A guest that serves another, with nothing of ours in dom0 but the command that attaches.
# shellcheck shell=dash

case_a_driver_domain_serves_another_guest() {
  configure driver pv 192 'ramdisk="/tmp/driver"'
  cat /guest/initramfs /guest/driver >/tmp/driver
  made driver xl create -p -q "$STATE/guest/driver/cfg"
  rm /tmp/driver
  unpause driver
  wait_booted driver
  in_guest driver "modprobe xen-gntdev; mkdir -p /srv/share; echo driver >/srv/share/name; ulimit -n 65536;
    setsid xl-virtfs watch </dev/null >/tmp/watch.log 2>&1 &"
  remember client
  configure client pvh 128 "$(shares tag=share,path=/srv/share,security_model=passthrough,backend=driver)"
  made client xl-virtfs create "$STATE/guest/client/cfg" || { in_guest driver "cat /tmp/watch.log"; fail create; }
  wait_booted client
  in_guest client "mount.virtfs share /mnt/a && cat /mnt/a/name && echo client >/mnt/a/client"
  in_guest driver "cat /srv/share/client; ps | grep '[x]en-virtfsd'"
  [ -z "$(processes 'xen-virtfsd')" ] || fail "dom0 serves, too"
  output driver | grep -qx client || fail "the driver domain did not get the file"
  xl destroy client
  wait_gone client
  wait_until 60 "the driver domain to clear up" \
    fails xenstore-exists "/local/domain/$(domid driver)/virtfs/$(domid client)"
  in_guest driver "! ps | grep '[x]en-virtfsd'"
  nothing_left client
  xl destroy driver
  wait_gone driver
}
