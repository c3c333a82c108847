#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs every test there is and says at the end how it went: what failed and what was skipped by name, and one line
of numbers. BUILD is the folder that the Makefile builds in. Suites named as arguments are run alone."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

import fuzzers

BUILD = os.environ.get("BUILD", "build")
results = []  # (suite, test, "passed" | "failed" | "skipped", reason)


def note(suite, test, status, reason=""):
    results.append((suite, test, status, " ".join(reason.split())[:300]))


def read_cases(suite, path):
    """The cases of a JUnit file, as cmocka and pytest write it. Returns how many."""
    count = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        count += 1
        failed = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        name = "::".join(filter(None, [case.get("classname"), case.get("name")]))
        if failed:
            note(suite, name, "failed", failed[0].get("message") or failed[0].text or "")
        elif skipped is not None:
            note(suite, name, "skipped", skipped.get("message") or "")
        else:
            note(suite, name, "passed")
    return count


def run_cmocka(program, scratch, show=False):
    """One test program; a crash counts as a failure whatever it had written by then. show: print its output in any case."""
    suite = os.path.basename(program)
    files = os.path.join(scratch, suite + "-%g.xml")
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="xml", CMOCKA_XML_FILE=files)
    print(f"--- {suite}", flush=True)
    try:
        run = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
        output, status = run.stdout.decode(errors="replace"), run.returncode
    except subprocess.TimeoutExpired as error:
        output, status = (error.stdout or b"").decode(errors="replace"), "time-out"
    before = len(results)
    count = sum(read_cases(suite, path) for path in glob.glob(files.replace("%g", "*")))
    told = any(entry[2] == "failed" for entry in results[before:])
    if count == 0 or (status != 0 and not told):
        note(suite, "(the program)", "failed", f"exit status {status}")
    if show or status != 0:
        print(output if show else output[-6000:], flush=True)


def run_pytest(scratch, suite="e2e"):
    report = os.path.join(scratch, suite + ".xml")
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", BUILD=os.path.abspath(BUILD))
    status = subprocess.run(
        ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--junitxml={report}"],
        cwd=os.path.join("tests", suite), env=environment).returncode
    before = len(results)
    count = read_cases(suite, report) if os.path.exists(report) else 0
    told = any(entry[2] == "failed" for entry in results[before:])
    # 1 is "a test failed"; anything else that is not 0 says that not all were run (2: interrupted)
    if count == 0 or status not in (0, 1) or (status == 1 and not told):
        note(suite, "(pytest)", "failed", f"exit status {status}")


def run_command(suite, name, command, needs=None):
    if needs and not shutil.which(needs):
        note(suite, name, "skipped", f"{needs} is not installed")
        return
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    note(suite, name, "passed" if run.returncode == 0 else "failed", f"exit status {run.returncode}")
    if run.returncode:
        print(run.stdout.decode(errors="replace")[-6000:], flush=True)


def run_lint():
    for page in sorted(glob.glob("docs/*.[1-8]")):
        run_command("lint", page, ["mandoc", "-Tlint", "-Wwarning", page], "mandoc")
    scripts = sorted(glob.glob("tools/*.sh") + glob.glob("tools/bench/*.sh") + glob.glob("tests/*.sh"))
    run_command("lint", "shell scripts", ["shellcheck", *scripts, ".ci/run"], "shellcheck")


def run_vm():
    """The other kernels, where qemu is there; `make vmcheck` installs it."""
    if not shutil.which("qemu-system-x86_64"):
        note("vm", "other kernels", "skipped", "qemu-system-x86_64 is not installed: make vmcheck")
        return
    print("--- vm", flush=True)
    subprocess.run(["make", "--no-print-directory", f"BUILD={BUILD}", "vmtests"], check=True)
    environment = dict(os.environ, BUILD=BUILD, PYTHONDONTWRITEBYTECODE="1")
    run = subprocess.run(["/usr/bin/python3", "tests/vm/run.py", *os.environ.get("VM", "").split()], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = run.stdout.decode(errors="replace")
    cases = [line.split(": ", 2) for line in output.splitlines() if line.startswith(("passed: ", "failed: ", "skipped: "))]
    for how, version, text in cases:  # the reason is part of the text
        note("vm", version, how, text)
    if not cases or (run.returncode and all(how != "failed" for how, _, _ in cases)):
        note("vm", "(the guests)", "failed", f"exit status {run.returncode}")
    if run.returncode:
        print(output[-20000:], flush=True)


def programs(pattern):
    return sorted(path for path in glob.glob(f"{BUILD}/tests/{pattern}") if os.access(path, os.X_OK))


def main():
    wanted = sys.argv[1:] or ["unit", "bpf", "catalogue", "demo", "e2e", "read", "fuzz", "vm", "lint"]
    with tempfile.TemporaryDirectory(prefix="smtpward-tests-") as scratch:
        for suite, pattern in (("unit", "test_*[!.]?"), ("bpf", "bpf_*[!.]?")):
            for program in programs(pattern) if suite in wanted else []:
                run_cmocka(program, scratch)
        for program in programs("catalogue") if "catalogue" in wanted else []:
            run_cmocka(program, scratch, show=True)  # a table of cases and paths
        if "demo" in wanted:
            print("--- demo", flush=True)
            run_command("demo", "the scene", ["tools/demo.sh"])
        if "e2e" in wanted:
            print("--- e2e", flush=True)
            run_pytest(scratch)
        if "read" in wanted:
            print("--- read", flush=True)
            run_pytest(scratch, "read")
        if "fuzz" in wanted:
            fuzzers.run(BUILD, programs("fuzz_*[!.]?"), note)
        if "vm" in wanted:
            run_vm()
        if "lint" in wanted:
            run_lint()
    for status in ("skipped", "failed"):
        for suite, test, how, reason in results:
            if how == status:
                print(f"{status}: {suite}: {test}: {reason}")
    count = {how: sum(1 for entry in results if entry[2] == how) for how in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped", flush=True)
    sys.exit(1 if count["failed"] or not count["passed"] else 0)


main()
