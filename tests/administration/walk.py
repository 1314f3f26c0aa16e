#!/usr/bin/env python3
"""Follows docs/administration.md literally: builds the packages as it says, boots a fresh Debian 12 as dom0 of a real Xen
in emulation, and does there, and in a guest, what the document says, comparing what it shows.

usage: walk.py --debs DIR --work DIR [--junit FILE] [--document FILE] [--timeout SECONDS]

Prints a line for each step as it ends, and of one that failed what it printed; the steps behind it are not done.
Exit status: 0 only if every step was done. --debs: what tools/fetch_debs.sh unpacked; --work: the Debian roots, which
are kept, disks, and the console.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.append(f"{TREE}/tests/xen")

import debian  # noqa: E402
import document  # noqa: E402
import document_test  # noqa: E402
import images  # noqa: E402
import run  # noqa: E402


def test_reader(results):
    """The part that decides whether a step has failed is tested first."""
    for test in unittest.TestLoader().loadTestsFromModule(document_test):
        for case in test:
            outcome = unittest.TestResult()
            results.line(f"@begin {case.id()}")
            case.run(outcome)
            for _, text in outcome.failures + outcome.errors:
                for line in text.splitlines():
                    results.line(f"@log {line}")
            results.line(f"@{'ok' if outcome.wasSuccessful() else 'failed'} {case.id()}")


def case_ids():
    return [case.id() for test in unittest.TestLoader().loadTestsFromModule(document_test) for case in test]


def build(step, results):
    """What the document does with this tree."""
    results.line(f"@begin {step['name']}")
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["text"]], cwd=TREE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    good = done.returncode == 0 and (step["output"] is None or document.agrees(step["output"], done.stdout))
    if not good:
        for line in f"ended with {done.returncode}\n{done.stdout}the document shows:\n{step['output']}".splitlines():
            results.line(f"@log {line}")
    results.line(f"@{'ok' if good else 'failed'} {step['name']}")
    return good


def package(name):
    found = glob.glob(f"{TREE}/packages/{name}_*.deb")
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} files packages/{name}_*.deb, which ./dev package should have made")
    return found[0]


def boot(options, steps, results):
    """Returns the machine, ended."""
    before = [step["text"] for step in steps if step["place"] == "before"]
    roots = debian.Roots(f"{options.work}/roots", options.debs, before)
    for step in steps:
        if step["place"] == "before":  # done, if not now then when the root was made
            results.line(f"@begin {step['name']}")
            results.line(f"@ok {step['name']}")
    plan = f"{options.work}/steps.json"
    with open(plan, "w", encoding="utf-8") as out:
        json.dump({"steps": [step for step in steps if step["place"] not in ("build", "before")],
                   "emulation": images.FAST}, out)
    dom0, guest = f"{options.work}/dom0.ext4", f"{options.work}/guest.ext4"
    files = {f"/lab/{name}": f"{HERE}/{name}" for name in ("follow.py", "document.py")}
    deb = package("xen-virtfs")
    debian.with_files(roots.dom0, dom0, {**files, "/lab/steps.json": plan, f"/root/{os.path.basename(deb)}": deb})
    deb = package("xen-virtfs-guest")
    debian.with_files(roots.guest, guest, {"/lab/guest_console": f"{HERE}/guest_console",
                                           f"/root/{os.path.basename(deb)}": deb})
    words = "systemd.show_status=0 systemd.log_level=warning"
    command = run.qemu_command(options.debs, images.unpack_xen(options.debs, options.work), roots.kernel, roots.early,
                               words)
    for disk in (dom0, guest):
        name = os.path.basename(disk).split(".")[0]
        command += ["-drive", f"file={disk},format=raw,if=none,id={name},cache=unsafe",
                    "-device", f"virtio-blk-pci,drive={name}"]
    print(f"booting Xen; the whole console is {options.work}/walk.console", flush=True)
    return run.run_machines([lambda: run.Machine(command, options.debs, results, f"{options.work}/walk.console",
                                                 options.timeout)], 1)[0]


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("debs", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--junit")
    parser.add_argument("--document", default=f"{TREE}/docs/administration.md")
    parser.add_argument("--timeout", type=int, default=3600)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    with open(options.document, encoding="utf-8") as text:
        try:
            steps = document.steps(text.read())
        except document.Mistake as mistake:
            sys.exit(f"{options.document}, {mistake}")
    results = run.Results("walk", case_ids() + [step["name"] for step in steps])
    test_reader(results)
    machine = None
    # A list, so that all are built before one is looked at.
    if not results.failed() and all([build(step, results) for step in steps if step["place"] == "build"]):
        machine = boot(options, steps, results)
    else:
        results.machine_ended("what comes first failed", [])
    failed = results.failed()
    print(f"walk: {len(results.done) - len(failed)} passed, {len(failed)} failed")
    if options.junit:
        run.write_junit(options.junit, [results])
    return 1 if failed or machine is None or machine.how else 0


if __name__ == "__main__":
    sys.exit(main())
