"""What the machine of tests/xen boots from: the kernel, and an initramfs each for dom0 and for the guests.

Everything comes from Debian's packages as tools/fetch_debs.sh unpacked them, shared libraries that these lack from this
machine (our own binaries were linked with them), and the optimised binaries of this tree. Nothing is installed, and
nothing here needs root: the archives are written byte by byte, not packed from a staged copy.
"""
import glob
import hashlib
import lzma
import os
import shutil
import stat
import struct
import subprocess
import tempfile

XEN = "usr/lib/xen-4.17/bin"
LIBRARIES = "/lib/x86_64-linux-gnu"
LOADER = "/lib64/ld-linux-x86-64.so.2"

# Paths beneath lib/modules/RELEASE/kernel, without ".ko".
DOM0_MODULES = ["drivers/xen/xen-privcmd", "drivers/xen/xenfs/xenfs", "drivers/xen/xen-evtchn", "drivers/xen/xen-gntdev",
                "drivers/xen/xen-gntalloc"]
GUEST_MODULES = ["net/9p/9pnet", "net/9p/9pnet_fd", "net/9p/9pnet_xen", "fs/9p/9p", "fs/netfs/netfs",
                 "fs/fscache/fscache", "drivers/xen/xen-gntalloc", "drivers/xen/xen-evtchn"]
# Words for the command lines of all kernels. Each saves the emulation something that no case is about.
FAST = ("mitigations=off cryptomgr.notests audit=0 lsm=capability psi=0 hardened_usercopy=off "
        "randomize_kstack_offset=off rodata=off")
# And for dom0's alone: Linux 6.1 takes the state of a new 9p client over Xen's rings from whatever was in its memory
# (net/9p: p9_client_create and trans_xen), so a guest that does not clear memory sometimes has EIO from a mount.
DOM0_FAST = f"{FAST} init_on_alloc=0"
XENSTORE_COMMANDS = ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"]


class Archive:
    """An initramfs under construction: paths from the root on, without the leading slash, and what is there."""

    def __init__(self, roots):
        """`roots` are searched for shared libraries, the first that has one wins."""
        self._entries = {}
        self._directories = [root + sub for root in roots for sub in ("/usr" + LIBRARIES, LIBRARIES)]
        self.node("dev/console", stat.S_IFCHR | 0o600, 5, 1)
        self.node("dev/null", stat.S_IFCHR | 0o666, 1, 3)

    def directory(self, path):
        path = path.strip("/")
        if path and path not in self._entries:
            self.directory(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, b"", 0, 0)

    def node(self, path, mode, major=0, minor=0, content=b""):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entries[path] = (mode, content, major, minor)

    def link(self, path, target):
        self.node(path, stat.S_IFLNK | 0o777, content=target.encode())

    def file(self, path, source, executable=False):
        with open(source, "rb") as data:
            self.node(path, stat.S_IFREG | (0o755 if executable else 0o644), content=data.read())

    def program(self, path, source):
        """A program, and every shared library that it needs."""
        self.file(path, source, executable=True)
        for name in _needed(source):
            self.library(name)

    def library(self, name):
        if name.startswith("ld-linux"):
            if LOADER[1:] not in self._entries:
                self.file(LOADER, LOADER, executable=True)
            return
        path = f"{LIBRARIES}/{name}"
        if path[1:] in self._entries:
            return
        for directory in self._directories:
            if os.path.exists(f"{directory}/{name}"):
                self.program(path, f"{directory}/{name}")
                return
        raise FileNotFoundError(f"no library {name} in {', '.join(self._directories)}: which package has it? "
                                "XEN_TEST_PACKAGES in tools/dev_lib.sh is to name it")

    def busybox(self, root):
        self.file("bin/busybox", f"{root}/bin/busybox", executable=True)
        for path in subprocess.run([f"{root}/bin/busybox", "--list-full"], check=True, capture_output=True,
                                   text=True).stdout.split():
            name = os.path.basename(path)
            if name != "busybox":
                self.link(f"bin/{name}", "busybox")
        self.link("sbin", "bin")
        # Of the hashes, the one that costs the emulation least: md5sum takes 2.7 s for 64 MiB.
        self.program("bin/xxhsum", f"{root}/usr/bin/xxhsum")

    def modules(self, root, release, names):
        """Kernel modules, with the tables that modprobe reads."""
        kernel = f"{root}/lib/modules/{release}"
        libraries = ":".join(f"{root}{sub}" for sub in ("/usr" + LIBRARIES, LIBRARIES))
        with tempfile.TemporaryDirectory() as stage:
            staged = f"{stage}/lib/modules/{release}"
            for name in [f"kernel/{name}.ko" for name in names] + ["modules.order", "modules.builtin",
                                                                   "modules.builtin.modinfo"]:
                os.makedirs(os.path.dirname(f"{staged}/{name}"), exist_ok=True)
                shutil.copyfile(f"{kernel}/{name}", f"{staged}/{name}")
            subprocess.run(["depmod", "-b", stage, release], executable=f"{root}/bin/kmod", check=True,
                           env={"LD_LIBRARY_PATH": libraries})
            for directory, _, files in os.walk(staged):
                for name in files:
                    path = os.path.join(directory, name)
                    self.file(path[len(stage) + 1:], path)

    def write(self, path):
        """Writes a cpio archive in the "newc" format, which a kernel unpacks."""
        with open(path + ".new", "wb") as out:
            # Directories come before what is in them.
            for number, (name, entry) in enumerate(sorted(self._entries.items()), 1):
                _write_entry(out, number, name, entry)
            _write_entry(out, 0, "TRAILER!!!", (0, b"", 0, 0))
        os.rename(path + ".new", path)


def _write_entry(out, number, name, entry):
    mode, content, major, minor = entry
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, major, minor, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    out.write(head + bytes(-len(head) % 4))
    out.write(content)
    out.write(bytes(-len(content) % 4))


def _needed(program):
    """The DT_NEEDED entries of an ELF file; none for what is static, or no ELF file."""
    dump = subprocess.run(["readelf", "-d", "-W", program], capture_output=True, text=True, check=False).stdout
    return [line.split("[")[1].split("]")[0] for line in dump.splitlines() if "(NEEDED)" in line]


def kernel_release(root):
    releases = [os.path.basename(path)[len("vmlinuz-"):] for path in glob.glob(f"{root}/boot/vmlinuz-*-amd64")
                if "-cloud-" not in path and "-rt-" not in path]
    if not releases:
        raise FileNotFoundError(f"no kernel in {root}/boot; ./dev test xen fetches it")
    return max(releases, key=lambda release: [int(part) for part in release.replace("-", ".").split(".")
                                              if part.isdigit()])


def unpack_kernel(root, release, work):
    """Returns the uncompressed kernel, made once of each bzImage: unpacking it takes emulation 10 s at each boot."""
    with open(f"{root}/boot/vmlinuz-{release}", "rb") as source:
        image = source.read()
    path = f"{work}/vmlinux-{hashlib.sha256(image).hexdigest()[:16]}"
    if not os.path.exists(path):
        # Linux' Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length.
        start = ((image[0x1f1] or 4) + 1) * 512
        offset, length = struct.unpack_from("<II", image, 0x248)
        payload = image[start + offset:start + offset + length]
        for old in glob.glob(f"{work}/vmlinux-*"):
            os.unlink(old)
        with open(path + ".new", "wb") as out:
            # After the xz stream there are 4 bytes of size, which is why this is no lzma.decompress().
            out.write(lzma.LZMADecompressor().decompress(payload))
        os.rename(path + ".new", path)
    return path


def unpack_xen(root, work):
    path = f"{work}/xen"
    with open(path + ".new", "wb") as out:
        subprocess.run(["zcat", f"{root}/boot/xen-4.17-amd64.gz"], stdout=out, check=True)
    os.rename(path + ".new", path)
    return path


def guest_archive(root, release, binaries, here):
    archive = Archive([root, ""])
    archive.busybox(root)
    archive.modules(root, release, GUEST_MODULES)
    archive.file("init", f"{here}/guest/init", executable=True)
    archive.file("bin/manifest", f"{here}/guest/manifest", executable=True)
    for name in ("virtfs-client", "mount.virtfs"):
        archive.program(f"bin/{name}", f"{binaries}/frontend/{name}")
    archive.library("libgcc_s.so.1")  # libc loads it when a thread is cancelled
    # The kernel runs it when `xl shutdown` asks; no init is here that would wait for a signal.
    archive.node("bin/poweroff", stat.S_IFREG | 0o755, content=b"#!/bin/sh\nexec busybox poweroff -f\n")
    for directory in ("proc", "sys", "tmp", "run", "mnt/a", "mnt/b", "mnt/c"):
        archive.directory(directory)
    return archive


def driver_archive(root, release, binaries):
    """What a guest has that is a driver domain, too: to be put behind the guests' archive."""
    archive = Archive([root, ""])
    archive.modules(root, release, GUEST_MODULES + ["drivers/xen/xen-gntdev"])
    archive.program("bin/xen-virtfsd", f"{binaries}/backend/xen-virtfsd")
    archive.program("bin/xl-virtfs", f"{binaries}/toolstack/cli/xl-virtfs")
    for directory in ("etc/xen", "var/lib"):
        archive.directory(directory)
    return archive


def sleeper():
    """A whole PVH guest in 17 bytes of code, which takes no time to boot: it sleeps until an NMI, as of
    `xl trigger NAME nmi`, for which it has no handler, so that it faults and thereby asks to be rebooted."""
    base, headers = 0x100000, 52 + 2 * 32
    note = struct.pack("<III4s", 4, 4, 18, b"Xen\0")  # XEN_ELFNOTE_PHYS32_ENTRY, whose value is put behind
    entry = base + headers + len(note) + 4
    # sched_op(SCHEDOP_block), again and again.
    code = bytes.fromhex("b81d000000" "bb01000000" "31c9" "0f01d9" "ebef")
    size = entry - base + len(code)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, entry, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    load = struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096)
    notes = struct.pack("<8I", 4, headers, base + headers, base + headers, len(note) + 4, len(note) + 4, 4, 4)
    return header + load + notes + note + struct.pack("<I", entry) + code


def tree(archive):
    """What guests are to read, in /srv/share/tree; and in /test/tree what md5sum is to say of it.

    2,000 files of 0 to 4.5 KB in 20 directories, and a link in each. Made here, since it would take dom0 20 seconds.
    """
    hashes = []
    for number in range(2000):
        name = f"d{number // 100:02}/file {number % 100:02}"
        text = "".join(f"{line * 790001:31}\n" for line in range(number, number + 150)).encode()
        content = text[:number * 7919 % 4500]
        archive.node(f"srv/share/tree/{name}", stat.S_IFREG | 0o644, content=content)
        hashes.append(f"{hashlib.md5(content).hexdigest()}  {name}\n")
    for number in range(20):
        archive.link(f"srv/share/tree/d{number:02}/link", f"../d{number:02}/file 00")
    archive.node("test/tree", stat.S_IFREG | 0o644, content="".join(hashes).encode())


def dom0_archive(root, release, binaries, here, cases, kernel, guest, driver):
    archive = Archive([root, ""])
    archive.busybox(root)
    archive.modules(root, release, DOM0_MODULES)
    for name in ("xl", "xenstored", "xenconsoled", "xen-init-dom0", "libxl-save-helper", "lsevtchn"):
        archive.program(f"{XEN}/{name}", f"{root}/{XEN}/{name}")
    for name in XENSTORE_COMMANDS:
        archive.program(f"usr/bin/xenstore-{name}", f"{root}/usr/bin/xenstore-{name}")
    archive.program("usr/libexec/xen-qemu-system-i386", f"{root}/usr/libexec/xen-qemu-system-i386")
    archive.file("usr/share/qemu/keymaps/en-us", f"{root}/usr/share/qemu/keymaps/en-us")  # it does not start without
    archive.library("libgcc_s.so.1")
    archive.program("virtfs/xen-virtfsd", f"{binaries}/backend/xen-virtfsd")
    archive.program("virtfs/xl-virtfs", f"{binaries}/toolstack/cli/xl-virtfs")
    archive.program("virtfs/virtfs-attach", f"{binaries}/toolstack/virtfs-attach")
    for directory in ("etc/xen", "run", "tmp", "proc", "sys", "var/lib/xen", "var/log/xen"):
        archive.directory(directory)
    archive.link("var/run", "/run")
    archive.link("var/lock", "/run/lock")
    archive.node("etc/xen/xl.conf", stat.S_IFREG | 0o644, content=b'autoballoon="off"\n')
    archive.node("etc/passwd", stat.S_IFREG | 0o644, content=b"root:x:0:0:root:/root:/bin/sh\n")
    archive.node("etc/group", stat.S_IFREG | 0o644, content=b"root:x:0:\n")
    archive.file("init", f"{here}/dom0/init", executable=True)
    archive.file("bin/manifest", f"{here}/guest/manifest", executable=True)
    for directory, paths in (("dom0", glob.glob(f"{here}/dom0/*.sh")), ("cases", glob.glob(f"{cases}/*.sh"))):
        for path in paths:
            archive.file(f"test/{directory}/{os.path.basename(path)}", path)
    tree(archive)
    archive.node("test/fast", stat.S_IFREG | 0o644, content=f"{FAST}\n".encode())
    archive.file("guest/vmlinux", kernel)
    archive.file("guest/initramfs", guest)
    archive.file("guest/driver", driver)
    archive.node("guest/sleeper", stat.S_IFREG | 0o644, content=sleeper())
    return archive


class Images:
    """Written to `work`, for all machines but for dom0's initramfs, which has a machine's cases in it."""

    def __init__(self, root, binaries, work):
        self._root, self._binaries, self._work = root, binaries, work
        self._here = os.path.dirname(os.path.abspath(__file__))
        os.makedirs(work, exist_ok=True)
        self._release = kernel_release(root)
        self.kernel = unpack_kernel(root, self._release, work)
        self.xen = unpack_xen(root, work)
        self._guest = f"{work}/guest.cpio"
        guest_archive(root, self._release, binaries, self._here).write(self._guest)
        self._driver = f"{work}/driver.cpio"
        driver_archive(root, self._release, binaries).write(self._driver)

    def dom0(self, machine, cases):
        path = f"{self._work}/{machine}.cpio"
        dom0_archive(self._root, self._release, self._binaries, self._here, cases, self.kernel, self._guest,
                     self._driver).write(path)
        return path
