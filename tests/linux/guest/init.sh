#!/bin/bash
# The first process of the guest (tests/linux/linux_guest.h). Makes a root that can be written to over the machine's own
# and runs agent.sh in it. The words VIRTFS_* of the kernel's command line are its environment.
#
# If this fails the kernel panics, and the test shows what was said here.
set -euo pipefail

busybox=$VIRTFS_PACKAGES/bin/busybox
on_tmpfs=/mnt  # on every Debian

load() {
  local module
  for module in "$@"; do "$busybox" insmod "$("$busybox" find "$VIRTFS_PACKAGES/usr/lib/uml/modules" -name "$module.ko")"; done
}

# overlay WHERE LOWER: what is written beneath WHERE stays in memory.
overlay() {
  local upper=$on_tmpfs/written$1
  mkdir -p "$upper/new" "$upper/work"
  "$busybox" mount -t overlay -o "lowerdir=$2,upperdir=$upper/new,workdir=$upper/work" overlay "$on_tmpfs/root$1"
}

"$busybox" mount -t tmpfs tmpfs "$on_tmpfs"
load overlay netfs fscache 9pnet 9pnet_fd 9p
mkdir "$on_tmpfs/root"
overlay / /
overlay /usr "$VIRTFS_PACKAGES/usr:/usr"

cd "$on_tmpfs/root"
mkdir -p virtfs/{work,local,guest}
"$busybox" mount -t proc proc proc
"$busybox" mount -t sysfs sysfs sys
"$busybox" mount -t devtmpfs devtmpfs dev
mkdir -p dev/shm dev/pts
ln -s /proc/self/fd dev/fd
"$busybox" mount -t tmpfs tmpfs dev/shm
"$busybox" mount -t devpts devpts dev/pts
"$busybox" mount -t hostfs -o "$VIRTFS_WORK" none virtfs/work
"$busybox" mount -t hostfs -o "ro,$VIRTFS_SCRIPTS" none virtfs/guest

"$busybox" ifconfig lo up
"$busybox" ifconfig vec0 "${VIRTFS_ADDRESS:-10.77.0.2}" netmask 255.255.255.0 up
ulimit -n 65536

export PATH=$VIRTFS_PACKAGES/sbin:$VIRTFS_PACKAGES/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
# What a package puts into /lib, which is a symlink on the machine.
export LD_LIBRARY_PATH=$VIRTFS_PACKAGES/lib/x86_64-linux-gnu
exec "$busybox" chroot . /bin/bash /virtfs/guest/agent.sh
