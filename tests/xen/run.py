#!/usr/bin/env python3
"""Boots real Xens in QEMU's software emulation, lets their dom0s run cases, and says how these went.

usage: run.py --binaries DIR --debs DIR --work DIR [--junit FILE] [--timeout SECONDS] [--cases DIR] [--linux WORDS]
              [MACHINE...]

There is a machine for each directory of cases/: the emulation of one uses one processor and no more, so as many of them
as this machine has processors run at the same time. Prints a line for each case as it ends, and of a failed one its
log. Exit status: 0 only if every case ran and passed.
--binaries: Bazel's output tree; --debs: what tools/fetch_debs.sh unpacked; --work: images, MACHINE.console;
--cases: another directory than cases/; --linux: more words for the command line of dom0's kernel.
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
CONSOLE_TAIL = 25  # lines of the console that are shown when the machine fails


def case_names(directory):
    """In the order in which dom0 runs them."""
    names = []
    for path in sorted(glob.glob(f"{directory}/*.sh")):
        with open(path, encoding="utf-8") as text:
            names += re.findall(r"^case_([a-z0-9_]*)\(\) \{", text.read(), re.MULTILINE)
    return names


class Results:
    """Follows what one dom0 says; knows of each case whether it passed, its time, and its log."""

    def __init__(self, machine, names):
        self.machine = machine
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
        self._print(seconds, "ok    " if log is None else "FAILED", name)
        for note in self._notes:
            print(f"{'':28}{note}")
        for entry in log or []:
            print(f"      | {entry}")
        sys.stdout.flush()

    def _print(self, seconds, how, name):
        print(f"{self.machine:7} [{len(self.done):2}/{self.total}] {how} {seconds:6.1f} s  {name}")

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
            self._print(0.0, "FAILED", f"{name}: not run")

    def failed(self):
        return [name for name, _, log in self.done if log is not None]


def write_junit(path, all_results):
    total = sum(len(results.done) for results in all_results)
    failures = sum(len(results.failed()) for results in all_results)
    suite = ET.Element("testsuite", name="xen", tests=str(total), failures=str(failures))
    for results in all_results:
        for name, seconds, log in results.done:
            case = ET.SubElement(suite, "testcase", classname=f"xen.{results.machine}", name=name,
                                 time=f"{seconds:.1f}")
            if log is not None:
                ET.SubElement(case, "failure", message=log[-1] if log else "failed").text = "\n".join(log)
    ET.ElementTree(suite).write(path)


def qemu_command(debs, xen, kernel, initramfs, linux):
    # Without SMAP and XSAVE, with which this emulation kills dom0; a crash ends QEMU (-no-reboot) and needs no timeout.
    return [f"{debs}/usr/bin/qemu-system-x86_64", "-L", f"{debs}/usr/share/qemu", "-L", f"{debs}/usr/share/seabios",
            "-accel", "tcg,thread=multi", "-machine", "pc", "-global", "apic-common.vapic=off",
            "-cpu", "qemu64,+svm,+npt,+rdrand", "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", xen,
            "-append", "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=warning spec-ctrl=no xpti=no pv-l1tf=no "
            f"bootscrub=0 sched_ratelimit_us=40000 dom0_mem={DOM0_MEMORY}M,max:{DOM0_MEMORY}M dom0_max_vcpus=1",
            "-initrd", f"{kernel} console=hvc0 quiet panic=-1 {images.DOM0_FAST} {linux},{initramfs}"]


def processor_seconds(pid):
    """Which say how long something takes even when this machine does something else besides."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Machine:
    """One emulated computer from its start to its end."""

    def __init__(self, command, debs, results, log_path, timeout):
        libraries = f"{debs}/usr/lib/x86_64-linux-gnu:{debs}/lib/x86_64-linux-gnu"
        self.results = results
        self.how = None  # it ended: None if by itself, after the last case
        self.timeout = timeout
        self.started = time.monotonic()
        self.deadline = self.started + timeout
        self._console, self._pending = [], b""
        self._log = open(log_path, "w", encoding="utf-8")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": libraries})
        self.output = self._process.stdout

    def read(self):
        """To be called when there is output. False: there will be no more."""
        data = os.read(self.output.fileno(), 65536)
        if not data:
            code = self._process.wait()
            self.end(None if code == 0 and self.results.ended else f"the machine ended early (QEMU's status {code})")
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            passed = time.monotonic() - self.started
            self._log.write(f"{passed:7.2f} {processor_seconds(self._process.pid):7.2f} {text}\n")
            self._log.flush()
            self._console.append(text)
            self.results.line(text)
        return True

    def end(self, how):
        self.kill()
        self.how = how
        if how or self.results.waiting:
            self.results.machine_ended(how or "dom0 ended without it", self._console)
        print(f"{self.results.machine:7} {f'{how} ' if how else ''}after {time.monotonic() - self.started:.0f} s",
              flush=True)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._log.close()


def run_machines(waiting, at_once):
    """`waiting`: functions that start one each. Returns all, ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    running, ended = [], []
    try:
        with selectors.DefaultSelector() as selector:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(waiting.pop(0)())
                    selector.register(running[-1].output, selectors.EVENT_READ, running[-1])
                left = min(machine.deadline for machine in running) - time.monotonic()
                over = [key.data for key, _ in selector.select(max(left, 0)) if not key.data.read()]
                for machine in running:
                    if machine not in over and time.monotonic() >= machine.deadline:
                        machine.end(f"the machine took longer than {machine.timeout} s")
                        over.append(machine)
                for machine in over:
                    selector.unregister(machine.output)
                    running.remove(machine)
                    ended.append(machine)
    finally:
        for machine in running:
            machine.kill()
    return ended


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("binaries", "debs", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--junit")
    parser.add_argument("--timeout", type=int, default=1800)
    parser.add_argument("--cases", default=os.path.join(here, "cases"))
    parser.add_argument("--linux", default="")
    parser.add_argument("machines", nargs="*")
    options = parser.parse_args()

    started = time.monotonic()
    known = sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{options.cases}/*/"))
    names = options.machines or known
    for name in set(names) - set(known):
        parser.error(f"no directory {name} in {options.cases}; write one of: {' '.join(known)}")
    built = images.Images(options.debs, options.binaries, options.work)

    def starter(name):
        cases = f"{options.cases}/{name}"
        dom0 = built.dom0(name, cases)
        command = qemu_command(options.debs, built.xen, built.kernel, dom0, options.linux)
        return lambda: Machine(command, options.debs, Results(name, case_names(cases)),
                               f"{options.work}/{name}.console", options.timeout)

    starters = [starter(name) for name in names]
    print(f"images made in {time.monotonic() - started:.1f} s; booting Xen, the whole consoles are in {options.work}",
          flush=True)
    started = time.monotonic()
    machines = run_machines(starters, len(os.sched_getaffinity(0)))
    passed = sum(len(machine.results.done) - len(machine.results.failed()) for machine in machines)
    failed = sum(len(machine.results.failed()) for machine in machines)
    print(f"xen: {passed} passed, {failed} failed in {time.monotonic() - started:.0f} s")
    if options.junit:
        write_junit(options.junit, [machine.results for machine in machines])
    return 1 if failed or any(machine.how for machine in machines) else 0


if __name__ == "__main__":
    sys.exit(main())
