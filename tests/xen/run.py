#!/usr/bin/env python3
"""Boots a real Xen in QEMU's software emulation, lets dom0 run the cases of cases/*.sh, and says how they went.

usage: run.py --binaries DIR --debs DIR --work DIR [--junit FILE] [--timeout SECONDS] [--cases DIR] [--linux WORDS]

Prints a line for each case as it ends, and of a failed one its log. Exit status: 0 only if every case ran and passed.
--binaries: Bazel's output tree; --debs: what tools/fetch_debs.sh unpacked; --work: images, console.log;
--cases: another directory of cases than cases/; --linux: more words for the command line of dom0's kernel.
"""
import argparse
import glob
import os
import re
import selectors
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import images

MEMORY, DOM0_MEMORY = 2048, 768  # MiB
# Each saves the emulation something that no case is about.
FAST = "mitigations=off init_on_alloc=0 cryptomgr.notests audit=0 lsm=capability"
CONSOLE_TAIL = 25  # lines of the console that are shown when the machine fails


def case_names(directory):
    """In the order in which dom0 runs them."""
    names = []
    for path in sorted(glob.glob(f"{directory}/*.sh")):
        with open(path, encoding="utf-8") as text:
            names += re.findall(r"^case_([a-z0-9_]*)\(\) \{", text.read(), re.MULTILINE)
    return names


class Results:
    """Follows what dom0 says; knows of each case whether it passed, its time, and its log."""

    def __init__(self, names):
        self.waiting = list(names)
        self.total = len(names)
        self.done = []  # (name, seconds, None or the log of its failure)
        self.ended = False
        self._running = None
        self._started = 0.0
        self._log, self._notes = [], []

    def line(self, text):
        word, _, rest = text.partition(" ")
        if word == "@begin":
            self._running, self._started, self._log, self._notes = rest, time.monotonic(), [], []
        elif word == "@log":
            self._log.append(rest)
        elif word == "@note":
            self._notes.append(rest)
        elif word in ("@ok", "@failed") and rest == self._running:
            self.finish(None if word == "@ok" else self._log)
        elif word == "@end":
            self.ended = True

    def finish(self, log):
        name, seconds = self._running, time.monotonic() - self._started
        self._running = None
        if name not in self.waiting:
            return
        self.waiting.remove(name)
        self.done.append((name, seconds, log))
        print(f"[{len(self.done):2}/{self.total}] {'ok    ' if log is None else 'FAILED'} {seconds:6.1f} s  {name}")
        for note in self._notes:
            print(f"                 {note}")
        for entry in log or []:
            print(f"      | {entry}")
        sys.stdout.flush()

    def machine_ended(self, how, console):
        """What did not end by itself failed: the running case, and those behind it."""
        if self._running:
            self.finish(self._log + [f"FAILED: {how} during this case; the console's end:"] + console[-CONSOLE_TAIL:])
        elif self.waiting:
            print(f"      | {how}; the console's end:")
            for entry in console[-CONSOLE_TAIL:]:
                print(f"      | {entry}")
        for name in list(self.waiting):
            self.waiting.remove(name)
            self.done.append((name, 0.0, [f"not run: {how}"]))
            print(f"[{len(self.done):2}/{self.total}] FAILED    0.0 s  {name}: not run")

    def failed(self):
        return [name for name, _, log in self.done if log is not None]

    def write_junit(self, path):
        suite = ET.Element("testsuite", name="xen", tests=str(len(self.done)), failures=str(len(self.failed())))
        for name, seconds, log in self.done:
            case = ET.SubElement(suite, "testcase", classname="xen", name=name, time=f"{seconds:.1f}")
            if log is not None:
                ET.SubElement(case, "failure", message=log[-1] if log else "failed").text = "\n".join(log)
        ET.ElementTree(suite).write(path)


def qemu_command(debs, xen, kernel, initramfs, linux):
    # Without SMAP and XSAVE, with which this emulation kills dom0; a crash ends QEMU (-no-reboot) and needs no timeout.
    return [f"{debs}/usr/bin/qemu-system-x86_64", "-L", f"{debs}/usr/share/qemu", "-L", f"{debs}/usr/share/seabios",
            "-accel", "tcg,thread=multi", "-machine", "pc", "-global", "apic-common.vapic=off", "-cpu", "qemu64,+svm,+npt",
            "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
            "-no-reboot", "-kernel", xen,
            "-append", "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=warning spec-ctrl=no xpti=no pv-l1tf=no "
            f"dom0_mem={DOM0_MEMORY}M,max:{DOM0_MEMORY}M dom0_max_vcpus=1",
            "-initrd", f"{kernel} console=hvc0 quiet panic=-1 {FAST} {linux},{initramfs}"]


def processor_seconds(pid):
    """Which say how long something takes even when this machine does something else besides."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_machine(command, debs, results, log_path, timeout):
    """Returns how the machine ended: None if by itself, after the last case."""
    libraries = f"{debs}/usr/lib/x86_64-linux-gnu:{debs}/lib/x86_64-linux-gnu"
    started, deadline = time.monotonic(), time.monotonic() + timeout
    console = []
    with open(log_path, "w", encoding="utf-8") as log, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": libraries}) as machine:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(machine.stdout, selectors.EVENT_READ)
                pending = b""
                while True:
                    left = deadline - time.monotonic()
                    if left <= 0 or not selector.select(left):
                        how = f"the machine took longer than {timeout} s"
                        break
                    data = os.read(machine.stdout.fileno(), 65536)
                    if not data:
                        code = machine.wait()
                        how = None if code == 0 and results.ended else f"the machine ended early (QEMU's status {code})"
                        break
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        text = line.decode("utf-8", "replace").rstrip("\r")
                        log.write(f"{time.monotonic() - started:7.2f} {processor_seconds(machine.pid):7.2f} {text}\n")
                        log.flush()
                        console.append(text)
                        results.line(text)
        finally:
            machine.kill()
    if how or results.waiting:
        results.machine_ended(how or "dom0 ended without it", console)
    return how


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("binaries", "debs", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--junit")
    parser.add_argument("--timeout", type=int, default=900)
    parser.add_argument("--cases", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases"))
    parser.add_argument("--linux", default="")
    options = parser.parse_args()

    started = time.monotonic()
    xen, kernel, initramfs = images.prepare(options.debs, options.binaries, options.cases, options.work)
    print(f"images made in {time.monotonic() - started:.1f} s; booting Xen, the whole console is in "
          f"{options.work}/console.log", flush=True)
    results = Results(case_names(options.cases))
    started = time.monotonic()
    how = run_machine(qemu_command(options.debs, xen, kernel, initramfs, options.linux), options.debs, results,
                      f"{options.work}/console.log", options.timeout)
    failed = results.failed()
    if how:
        print(f"xen: {how}")
    print(f"xen: {len(results.done) - len(failed)} passed, {len(failed)} failed in {time.monotonic() - started:.0f} s")
    if options.junit:
        results.write_junit(options.junit)
    return 1 if failed or how else 0


if __name__ == "__main__":
    sys.exit(main())
