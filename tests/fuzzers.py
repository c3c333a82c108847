# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the fuzzers, two at a time: each for FUZZ_TIME seconds (60), from its seeds in tests/fuzz. FUZZERS names some of
them. FUZZ_CORPUS is a folder that keeps what they find for the next time. What crashes one is kept below BUILD/fuzz and
printed, so that it can be tried again where there is nothing but the output."""
import base64
import concurrent.futures
import glob
import os
import subprocess
import tempfile

AT_ONCE = 2
UNIT_TIMEOUT = 25  # seconds for one input: only a loop without end takes so long, on whatever machine
LONGEST = {"dialogue": 8192, "sequence": 8192, "handshake": 65536}  # bytes of an input; else libFuzzer takes that of the longest seed, 4096 at least


def seeds_of(build, name, scratch):
    folders = [f"tests/fuzz/seeds_{name}"]
    if name in ("dialogue", "sequence"):  # every vector is one more
        vectors = os.path.join(scratch, "vectors")
        os.makedirs(vectors)
        subprocess.run([f"{build}/tests/make_seeds", name, vectors], check=True)
        folders.append(vectors)
    return [folder for folder in folders if os.path.isdir(folder)]


def tell_crash(program, artifact):
    with open(artifact, "rb") as file:
        data = file.read()
    print(f"{program} {artifact}   # {len(data)} bytes, in base64:\n{base64.b64encode(data[:65536]).decode()}", flush=True)


def run_one(build, program):
    """Returns the fuzzer's name, its exit status, and the end of its output."""
    name = os.path.basename(program).replace("fuzz_", "", 1)
    artifacts = os.path.join(build, "fuzz", name + "-")
    os.makedirs(os.path.dirname(artifacts), exist_ok=True)
    for old in glob.glob(artifacts + "*"):
        os.unlink(old)
    with tempfile.TemporaryDirectory(prefix="smtpward-fuzz-") as scratch:
        corpus = os.path.join(os.environ.get("FUZZ_CORPUS") or scratch, name)
        os.makedirs(corpus, exist_ok=True)
        command = [program, f"-max_total_time={os.environ.get('FUZZ_TIME') or 60}", f"-timeout={UNIT_TIMEOUT}",
                   f"-artifact_prefix={artifacts}", "-print_final_stats=1", corpus, *seeds_of(build, name, scratch)]
        if name in LONGEST:
            command.insert(1, f"-max_len={LONGEST[name]}")
        if not os.environ.get("FUZZ_CORPUS"):
            command.insert(1, "-seed=1")  # the same tree gives the same result; it is for `make fuzz` to look further
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return name, done.returncode, done.stdout.decode(errors="replace"), sorted(glob.glob(artifacts + "*"))


def run(build, programs, note):
    """note(suite, test, "passed" | "failed" | "skipped", reason), as in run.py."""
    wanted = (os.environ.get("FUZZERS") or "").split()
    chosen = [program for program in programs if not wanted or os.path.basename(program).replace("fuzz_", "", 1) in wanted]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, status, output, artifacts in pool.map(lambda program: run_one(build, program), chosen):
            runs = [line for line in output.splitlines() if line.startswith("stat::number_of_executed_units")]
            print(f"--- fuzz_{name}: {runs[0].split()[-1] if runs else 'no'} inputs", flush=True)
            note("fuzz", f"fuzz_{name}", "failed" if status or artifacts else "passed", f"exit status {status}")
            if status or artifacts:
                print(output[-6000:], flush=True)
            for artifact in artifacts:
                tell_crash(f"{build}/tests/fuzz_{name}", artifact)
