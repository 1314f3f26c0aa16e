"""Two fresh Debian 12 roots as disks, for dom0 and for a guest, with the kernel that both run.

Made by debootstrap, which takes some minutes, and kept until this file or the commands that are run in dom0's change.
Needs root. What is not a fresh Debian's in them: a service that hands the machine over to the test (dom0's follow.py,
the guest's guest_console, which walk.py puts there for each run), services switched off that nobody looks at and that
cost the emulation a minute, and answers to apt, which asks nobody here.
"""
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import images

MIRROR = os.environ.get("XEN_VIRTFS_DEBIAN", "http://deb.debian.org")
# As the installer writes them.
SOURCES = f"""deb {MIRROR}/debian bookworm main
deb {MIRROR}/debian bookworm-updates main
deb {MIRROR}/debian-security bookworm-security main
"""
# What a Debian has whose installer was content with little.
PACKAGES = ["systemd-sysv", "udev", "kmod", "mount", "linux-image-amd64", "procps", "apt-utils", "ca-certificates"]
# What xen-virtfs-guest depends on beyond these: the guest's own "mirror", for it has no network.
GUEST_PACKAGES = ["libxengnttab1", "libxenevtchn1", "libxenstore4", "libxentoolcore1", "libxentoollog1"]
QUIET = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer",
         "e2scrub_reap.service", "serial-getty@hvc0.service", "getty@tty1.service", "getty.target",
         "systemd-timesyncd.service", "systemd-networkd.service"]
# Of the first file system's stage: to find the disk and mount it.
MODULES = [f"drivers/virtio/{name}" for name in ("virtio", "virtio_ring", "virtio_pci_legacy_dev",
                                                 "virtio_pci_modern_dev", "virtio_pci")]
MODULES += ["drivers/block/virtio_blk", "drivers/block/xen-blkfront", "lib/crc16", "crypto/crc32c_generic",
            "fs/mbcache", "fs/jbd2/jbd2", "fs/ext4/ext4"]
INIT = b"""#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in virtio_pci virtio_blk xen-blkfront ext4; do modprobe $module; done
tries=0
until [ -b /dev/vda ] || [ -b /dev/xvda ] || [ $tries = 300 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
for disk in vda xvda; do [ ! -b /dev/$disk ] || mount -t ext4 /dev/$disk /root; done
for directory in dev proc sys; do mount --move /$directory /root/$directory; done
exec switch_root /root /sbin/init
"""
UNIT = """[Unit]
Description=Hands this machine over to the test
After=multi-user.target
[Service]
ExecStart={command}
Restart=no
{more}
[Install]
WantedBy=multi-user.target
"""
DISK_SIZE = "3G"  # of which what is written takes room


def _run(command, **more):
    """Raises with what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False, stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def _inside(root, script):
    """In a chroot; its mounts are gone afterwards."""
    text = f"mount -t proc proc {root}/proc && mount -t tmpfs tmpfs {root}/run && exec chroot {root} bash -ec \"$0\""
    return _run(["unshare", "--mount", "sh", "-c", text, script],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                     "DEBIAN_FRONTEND": "noninteractive"})


def _write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


def _service(root, command, more=""):
    _write(f"{root}/etc/systemd/system/lab.service", UNIT.format(command=command, more=more))
    wants = f"{root}/etc/systemd/system/multi-user.target.wants"
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/lab.service", f"{wants}/lab.service")
    os.makedirs(f"{root}/lab")


def _name(root, name):
    _write(f"{root}/etc/hostname", f"{name}\n")
    _write(f"{root}/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n")


def _base(root):
    _run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", root, f"{MIRROR}/debian"])
    _write(f"{root}/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    _write(f"{root}/etc/apt/apt.conf.d/99test",
           'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\nDpkg::Use-Pty "false";\n'
           'Dpkg::Progress-Fancy "false";\n')
    _write(f"{root}/etc/fstab", "")
    _write(f"{root}/etc/apt/sources.list", SOURCES)
    _inside(root, "apt-get update")
    for unit in QUIET:
        os.symlink("/dev/null", f"{root}/etc/systemd/system/{unit}")


def _early(debs, root, release, path):
    archive = images.Archive([debs, ""])
    archive.busybox(debs)
    archive.modules(root, release, MODULES)
    archive.node("init", stat.S_IFREG | 0o755, content=INIT)
    for directory in ("proc", "sys", "root"):
        archive.directory(directory)
    archive.write(path)


def _disk(root, path):
    # No journal: what is written is thrown away.
    _run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, path, DISK_SIZE])


def _dom0(root, commands):
    _name(root, "dom0")
    for command in commands:
        _inside(root, command)
    os.remove(f"{root}/usr/sbin/policy-rc.d")
    # The guest's disk has a name as a logical volume would have.
    _write(f"{root}/etc/udev/rules.d/90-guests.rules", 'KERNEL=="vdb", SYMLINK+="guests/web"\n')
    _service(root, "/usr/bin/python3 -u /lab/follow.py", "TimeoutStartSec=infinity\nTasksMax=infinity")


def _guest(root):
    _name(root, "web")
    archives = f"{root}/var/local/debian"
    os.makedirs(archives)
    _inside(root, f"cd /var/local/debian && chown _apt . && apt-get download {' '.join(GUEST_PACKAGES)}")
    _run(["sh", "-c", "dpkg-scanpackages . >Packages"], cwd=archives)
    _write(f"{root}/etc/apt/sources.list", "deb [trusted=yes] file:/var/local/debian ./\n")
    _inside(root, "rm -rf /var/lib/apt/lists/*; apt-get update")
    os.remove(f"{root}/usr/sbin/policy-rc.d")
    _service(root, "/bin/bash /lab/guest_console",
             # As a login has it: what was started from there goes on, the relay of a mount, until that is unmounted.
             "KillMode=process\nStandardInput=tty\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/hvc0")


class Roots:
    """dom0.ext4, guest.ext4, vmlinux and early.cpio in `directory`, made if they are not those of these inputs."""

    def __init__(self, directory, debs, commands):
        """`commands`: what the document has run in dom0's root before its first boot."""
        self.dom0, self.guest = f"{directory}/dom0.ext4", f"{directory}/guest.ext4"
        self.early = f"{directory}/early.cpio"
        with open(__file__, "rb") as this:
            stamp = hashlib.sha256(this.read() + repr(commands).encode() + MIRROR.encode()).hexdigest()
        made = f"{directory}/made"
        os.makedirs(directory, exist_ok=True)
        if os.path.exists(made):
            with open(made, encoding="ascii") as text:
                known, _, kernel = text.read().partition(" ")
            if known == stamp:
                self.kernel = kernel
                return
            os.remove(made)
        if os.geteuid() != 0:
            raise RuntimeError("to make a Debian root takes root")
        print("making two Debian roots, which takes some minutes", flush=True)
        with tempfile.TemporaryDirectory(dir=directory) as work:
            self._make(work, directory, debs, commands)
        with open(made, "w", encoding="ascii") as out:
            out.write(f"{stamp} {self.kernel}")

    def _make(self, work, directory, debs, commands):
        base, dom0 = f"{work}/base", f"{work}/dom0"
        _base(base)
        release = images.kernel_release(base)
        _early(debs, base, release, self.early)
        self.kernel = images.unpack_kernel(base, release, directory)
        _run(["cp", "-a", base, dom0])
        _dom0(dom0, commands)
        # Where the document has the guest's kernel, unpacked already and with what finds its disk.
        os.makedirs(f"{dom0}/srv/guests/web")
        shutil.copyfile(self.kernel, f"{dom0}/srv/guests/web/vmlinuz")
        shutil.copyfile(self.early, f"{dom0}/srv/guests/web/initrd.img")
        _disk(dom0, self.dom0)
        _guest(base)
        _disk(base, self.guest)


def with_files(disk, copy, files):
    """A copy of the disk with these {path: source} in it, each with the source's mode."""
    _run(["cp", "--sparse=always", disk, copy])
    with tempfile.NamedTemporaryFile("w", suffix=".debugfs") as commands:
        for path, source in files.items():
            commands.write(f"cd {os.path.dirname(path)}\nwrite {source} {os.path.basename(path)}\n")
        commands.flush()
        said = _run(["debugfs", "-w", "-f", commands.name, copy])
    for line in said.splitlines():
        if "File not found" in line or "No such file" in line or "failed" in line:
            raise RuntimeError(f"debugfs says: {line}")


if __name__ == "__main__":
    sys.exit("imported by walk.py")
