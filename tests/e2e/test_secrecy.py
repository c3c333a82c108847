# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A password that crossed the wire in clear is nowhere in the agent: not in an event, a log, an answer, its memory."""
import base64
import hashlib
import hmac
import json
import pathlib
import re
import subprocess

import pytest

from harness import programs
from harness.lab import wait_until
from harness.programs import USER

SECRET = "Zx9-kEep-tHis-oUt-77"
TOKEN = "ya29.tOkEn-tHat-oPens-tHe-mAilbox-3141"


def forms(secret, user=USER):
    """The secret as it may be met: raw, and in base64 at each of the three alignments, as inside SASL messages."""
    raw = secret.encode()
    found = {raw, base64.b64encode(raw).rstrip(b"=")}
    for lead in range(3):
        # whole groups only: the digits at either end depend on what stands beside the secret
        encoded = base64.b64encode(b"\0" * lead + raw)
        found.add(encoded[4 if lead else 0:len(encoded) - 4])
    for message in (f"\0{user}\0{secret}", f"user={user}\x01auth=Bearer {secret}\x01\x01"):
        found.add(base64.b64encode(message.encode()).rstrip(b"="))
    return found


def memory(pid):
    """All readable memory of a process."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            start, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "r" not in rights or "[v" in line:
                continue
            mem.seek(int(start, 16))
            try:
                yield line, mem.read(int(end, 16) - int(start, 16))
            except OSError:
                continue  # a device mapping


def assert_absent(where, data, secrets):
    for secret in secrets:
        assert secret not in data, f"{secret!r} is in {where}"


def exchange(auth, *responses):
    steps = [["expect", "220"], ["send", "EHLO x\r\n"], ["expect", "250 "], ["send", f"AUTH {auth}\r\n"]]
    for response in responses:
        steps += [["expect", "334"], ["send", response + "\r\n"]]
    return steps + [["expect", "2"], ["send", "QUIT\r\n"], ["end"]]


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


CHALLENGE = b"<1896.697170952@server.example>"
CRAM = f"{USER} {hmac.new(SECRET.encode(), CHALLENGE, hashlib.md5).hexdigest()}"
XOAUTH2 = f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01"
BEARER = f"n,a={USER},\x01host=server.example\x01port=587\x01auth=Bearer {TOKEN}\x01\x01"

EXCHANGES = {
    "PLAIN with initial response": exchange("PLAIN " + b64(f"\0{USER}\0{SECRET}")),
    "PLAIN without": exchange("PLAIN", b64(f"\0{USER}\0{SECRET}")),
    "PLAIN with authzid": exchange("PLAIN " + b64(f"{USER}\0{USER}\0{SECRET}")),
    "PLAIN without user": exchange("PLAIN " + b64(f"\0\0{SECRET}")),
    "PLAIN, password first": exchange("PLAIN " + b64(f"{SECRET}\0{USER}\0x")),
    "PLAIN, no NUL at all": exchange("PLAIN " + b64(SECRET)),
    "PLAIN, long": exchange("PLAIN " + b64(f"\0{USER * 20}\0{SECRET}")),
    "LOGIN": exchange("LOGIN", b64(USER), b64(SECRET)),
    "LOGIN with initial response": exchange("LOGIN " + b64(USER), b64(SECRET)),
    "CRAM-MD5": exchange("CRAM-MD5", b64(CRAM)),
    "XOAUTH2": exchange("XOAUTH2 " + b64(XOAUTH2)),
    "OAUTHBEARER": exchange("OAUTHBEARER " + b64(BEARER)),
    "OAUTHBEARER without initial response": exchange("OAUTHBEARER", b64(BEARER)),
    "an unknown mechanism": exchange("X-OWN " + b64(SECRET)),
    "NTLM": exchange("NTLM", b64(b"NTLMSSP\0\1\0\0\0"), b64(b"NTLMSSP\0\3\0\0\0" + SECRET.encode())),
}

MECHANISMS = "PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER NTLM X-OWN"


@pytest.mark.parametrize("mode", ["monitor", "block"])
def test_no_secret_anywhere(lab, serve, watch, mode):
    server = serve("strip", f"auth={MECHANISMS}")
    agent = watch(mode=mode)
    watcher = lab.start(None, ["sh", "-c", f'exec "$0" -j -s {agent.socket} watch > {agent.folder}/watch',
                               programs_path()], stderr=subprocess.DEVNULL)
    wait_until((agent.folder / "watch").exists, "the watcher runs")
    secrets = forms(SECRET) | forms(TOKEN) | {CRAM.split()[1].encode(), b64(CRAM).encode()}
    for steps in EXCHANGES.values():
        programs.raw(lab, "192.0.2.2", 587, steps)
    programs.swaks(lab, "192.0.2.2", 587, auth="PLAIN", password=SECRET)
    programs.swaks(lab, "192.0.2.2", 587, auth="LOGIN", password=SECRET)
    programs.smtplib(lab, "192.0.2.2", 587, auth="CRAM-MD5", password=SECRET)
    sessions = agent.sessions(len(EXCHANGES) + 3)

    if mode == "monitor":
        assert b64(f"\0{USER}\0{SECRET}").encode() in server.received(), "the test sent no secret"
        assert any(s["auth"]["account"] == USER for s in sessions), "no account is named"
    else:
        server.assert_nothing(*secrets)
    for what in (["sessions"], ["findings"], ["status"], ["policy", "list"]):
        for form in ((), ("-j",)):
            answer = agent.run(*form, *what)
            assert_absent(f"the answer to {what}", (answer.stdout + answer.stderr).encode(), secrets)
    assert_absent("/metrics", agent.metrics().encode(), secrets)
    processes = agent.processes()
    assert len(processes) >= 2, "monitor and agent"
    for pid in processes:
        for where, data in memory(pid):
            assert_absent(f"the memory of process {pid} at {where}", data, secrets)
    for where, data in kernel_maps(agent):
        assert_absent(f"BPF map {where}", data, secrets)
    watcher.kill()
    agent.stop()
    for path in agent.folder.iterdir():
        if path.is_file():
            assert_absent(path, path.read_bytes(), secrets)
    assert "cleartext-auth" in (agent.folder / "watch").read_text()


def programs_path():
    from harness import BUILD
    return str(BUILD / "smtpward")


def kernel_maps(agent):
    """The content of the agent's BPF maps, as bytes."""
    links = pathlib.Path(f"/proc/{agent.process.pid}/fdinfo").iterdir()
    ids = {m[1] for f in links for m in re.finditer(r"^map_id:\s*(\d+)", f.read_text(), re.M)}
    assert ids, "no BPF map found in the agent's descriptors"
    for map_id in ids:
        dump = subprocess.run(["bpftool", "-j", "map", "dump", "id", map_id], capture_output=True, text=True)
        if dump.returncode == 0 and dump.stdout.strip():
            hexes = re.findall(r'"0x([0-9a-f]{2})"', json.dumps(json.loads(dump.stdout)))
            yield map_id, bytes.fromhex("".join(hexes))


def test_the_search_would_find_it(lab):
    """The near-miss of this file: a process that does hold the secret is caught by the same search."""
    child = lab.start("client", [programs.PYTHON, "-c", f"s = {SECRET!r}; print('ready', flush=True); input()"],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    assert any(SECRET.encode() in data for _, data in memory(child.pid))
    child.kill()
    child.communicate()
