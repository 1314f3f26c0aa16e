"""In dom0: does what /lab/steps.json says, in its order, and tells walk.py over the console how it goes, as the cases of
tests/xen do. A step that fails ends the walk: those behind it have nothing to stand on.
"""
import base64
import json
import os
import select
import subprocess
import sys
import termios
import time
import tty

import document

GUEST = "web"
GUEST_FILE = f"/etc/xen/{GUEST}.cfg"
STEP_TIME = 600  # seconds
LONGEST_LINE = 4095  # that a terminal takes
CONSOLE = open("/dev/hvc0", "wb", buffering=0)
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LANG": "C.UTF-8", "TERM": "dumb", "DEBIAN_FRONTEND": "noninteractive"}


class Failure(Exception):
    """A sentence."""


def say(line):
    CONSOLE.write(line.encode("utf-8", "replace") + b"\n")


def printed_by(command, seconds):
    """Returns (output, status). Through a file, since daemons that the command starts would hold a pipe."""
    with open("/run/lab.output", "w+b") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   env=ENVIRONMENT, cwd="/root")
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = f"no end after {seconds} s"
        output.seek(0)
        return output.read().decode("utf-8", "replace"), status


def in_dom0(text):
    return printed_by(["bash", "-e", "-o", "pipefail", "-c", text], STEP_TIME)


class Guest:
    """The shell on the guest's console (guest_console); another one after the guest has become another domain."""

    def __init__(self):
        self._domid, self._file = None, None
        self._number = 0
        self._seen = b""
        self.lines = []  # what the console said

    def run(self, text, seconds):
        deadline = time.monotonic() + seconds
        self._attach(deadline)
        number = self._send(text)
        lines = self._until(number, deadline)
        if lines is None:
            return "\n".join(self.lines[-30:]), f"no answer after {seconds} s"
        output, status = lines
        return output, status

    def _attach(self, deadline):
        """To the console of the domain that the guest is now, once the shell there answers."""
        while True:
            path, domid = self._console()
            if domid == self._domid:
                return
            if path:
                break
            if time.monotonic() > deadline:
                raise Failure(f"there is no domain {GUEST} with a console")
            time.sleep(0.5)
        if self._file is not None:
            os.close(self._file)
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._file, termios.TCSANOW)
        self._domid, self._seen = domid, b""
        while time.monotonic() < deadline:
            # While it boots nobody takes a line, or takes it twice: each has its own number.
            if self._until(self._send(":"), time.monotonic() + 10) is not None:
                return
        raise Failure(f"the guest's console does not answer; it said:\n" + "\n".join(self.lines[-30:]))

    def _console(self):
        output, status = printed_by(["xl", "domid", GUEST], 60)
        domid = output.strip()
        if status != 0 or not domid.isdigit():
            return None, None
        path, status = printed_by(["xenstore-read", f"/local/domain/{domid}/console/tty"], 60)
        return (path.strip(), domid) if status == 0 else (None, None)

    def _send(self, text):
        self._number += 1
        line = f"{self._number} {base64.b64encode(text.encode()).decode()}\n".encode()
        if len(line) > LONGEST_LINE:
            raise Failure(f"a block for the guest is too long for a line of its console: make two of it\n{text}")
        os.write(self._file, line)
        return self._number

    def _until(self, number, deadline):
        """What command `number` printed, and its status; None if that does not come in time."""
        output, running = [], False
        while time.monotonic() < deadline:
            line = self._line(deadline)
            if line is None:
                return None
            self.lines.append(line)
            if line == f"@run {number}":
                output, running = [], True
            elif line.startswith(f"@done {number} ") and running:
                return "".join(each + "\n" for each in output), int(line.split()[2])
            elif running:
                output.append(line)
        return None

    def _line(self, deadline):
        while b"\n" not in self._seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._file], [], [], left)[0]:
                return None
            try:
                self._seen += os.read(self._file, 4096)
            except OSError as error:  # the domain has ended
                raise Failure(f"the guest's console is gone: {error}") from error
        line, self._seen = self._seen.split(b"\n", 1)
        return line.decode("utf-8", "replace").rstrip("\r")


def write_file(step, emulation):
    """As the document has it; and for the guest what makes the emulation bearable (tests/xen/README.md)."""
    with open(step["path"], "w", encoding="utf-8") as out:
        out.write(step["text"])
        if step["path"] == GUEST_FILE:
            out.write(f'tsc_mode = "native"\nextra += " {emulation}"\n')


def take(step, guest, emulation):
    """Raises Failure."""
    if step["place"] == "file":
        return write_file(step, emulation)
    if step["place"] == "guest":
        output, status = guest.run(step["text"], STEP_TIME)
    else:
        output, status = in_dom0(step["text"])
    expected = range(1, 126) if step["fails"] else [0]
    if status not in expected:
        raise Failure(f"ended with: {status}\n{step['text']}prints:\n{output}")
    if step["output"] is not None and not document.agrees(step["output"], output):
        raise Failure(f"{step['text']}prints:\n{output}and the document shows:\n{step['output']}")
    return None


def state(guest):
    """What may say why a step failed. `guest`: the one whose step it was, if it was a guest's."""
    if guest:
        yield "--- the guest's kernel"
        try:
            yield from guest.run("dmesg | tail -n 12", 60)[0].splitlines()
        except (Failure, OSError) as failure:
            yield str(failure)
    for command in ("xl list", "xl-virtfs list", "xl-virtfs status", "systemctl --no-pager --failed",
                    "journalctl -b --no-pager -n 40 -o short-monotonic", "tail -n 20 /var/log/xen/xl-web.log"):
        output, _ = printed_by(["sh", "-c", command], 60)
        yield f"--- {command}"
        yield from output.splitlines()


def main():
    with open("/lab/steps.json", encoding="utf-8") as text:
        plan = json.load(text)
    guest = Guest()
    failed = False
    for step in plan["steps"]:
        say(f"@begin {step['name']}")
        if failed:
            say("@log not done: a step before it failed")
            say(f"@failed {step['name']}")
            continue
        try:
            take(step, guest, plan["emulation"])
            say(f"@ok {step['name']}")
        except (Failure, OSError) as failure:
            failed = True
            log = f"FAILED: {failure}".splitlines() + list(state(guest if step["place"] == "guest" else None))
            for line in log + ["--- the guest's console"] + guest.lines[-30:]:
                say(f"@log {line}")
            say(f"@failed {step['name']}")
    say("@end")


try:
    main()
finally:
    sys.stdout.flush()
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
        trigger.write("o")
