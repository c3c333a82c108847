# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`smtpward probe` against the fault-making server, `openssl s_server`, certificates of every kind, and hostile servers."""
import json
import subprocess
import sys

import pytest

from harness import BUILD, TOOLS, programs
from harness.fault_server import FaultServer
from harness.lab import sh, wait_until

VERIFIED, SHORT, USAGE, NO_INPUT, NO_HOST, UNREACHABLE = 0, 1, 64, 66, 68, 69
ADDRESS = "192.0.2.2"

# Plays what a hostile server sends: PORT, then on each connection the bytes of argv[2], for ever if argv[3] is "endless".
PLAYER = """
import socket, sys, threading, time
data, way = sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"), sys.argv[3]
server = socket.create_server(("192.0.2.2", int(sys.argv[1])))
print("ready", flush=True)
def serve(link):
    try:
        if way == "drip":
            for byte in data * 1000:
                link.send(bytes([byte])); time.sleep(0.05)
        while True:
            link.sendall(data)
            if way == "once":
                while link.recv(4096): pass
                return
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

# Answers MX queries for one domain, and A queries for its hosts: RECORDS is a dict as JSON.
RESOLVER = """
import json, socket, struct, sys
records = json.loads(sys.argv[1])
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("127.0.0.1", 53))
print("ready", flush=True)
def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".") if l) + b"\\0"
while True:
    query, peer = link.recvfrom(4096)
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode()); at += 1 + query[at]
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    zone = records.get(".".join(labels))
    answers = []
    for entry in (zone or {}).get({1: "A", 15: "MX"}.get(kind, "-"), []):
        data = socket.inet_aton(entry) if kind == 1 else struct.pack("!H", entry[0]) + name(entry[1])
        answers.append(b"\\xc0\\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data)
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | (0 if zone is not None else 3), 1, len(answers), 0, 0)
    link.sendto(head + query[12:at + 5] + b"".join(answers), peer)
"""


@pytest.fixture
def play(lab):
    started = []

    def start(side, source, *arguments):
        child = lab.start(side, [sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout.readline() == "ready\n"

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.fixture(scope="module")
def certificates(lab, ca):
    """Server certificates beside the good one, from the same authority or from none. As (certificate, key)."""
    folder = lab.scratch / "probe"
    folder.mkdir()

    def issue(name, *options, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), names=f"DNS:server.example,IP:{ADDRESS}",
              self_signed=False, at=None):
        pem, secret, extensions = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
        sh("openssl", "req", "-newkey", *key, "-nodes", "-subj", "/CN=server.example", "-keyout", secret, "-out", folder / "csr")
        signer = ["-signkey", secret] if self_signed else ["-CA", ca / "ca.pem", "-CAkey", ca / "ca.key", "-CAcreateserial"]
        sh("openssl", "x509", "-req", "-in", folder / "csr", *signer, "-days", at or "5", "-extfile", extensions, "-out", pem,
           *options)
        return pem, secret

    return {
        "self-signed": issue("self-signed", self_signed=True),
        "expired": issue("expired", at="-1"),
        "wrong-name": issue("wrong-name", names="DNS:other.example"),
        "weak-key": issue("weak-key", key=("rsa:1024",)),
        "sha1": issue("sha1", "-sha1"),
        "cn-only": issue("cn-only", names=None),
    }


@pytest.fixture
def serve_certificate(lab, certificates, monkeypatch):
    started = []

    def start(name, *behaviours):
        pem, secret = certificates[name]
        folder = lab.scratch / f"certificate-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "server.pem").write_bytes(pem.read_bytes())
        (folder / "server.key").write_bytes(secret.read_bytes())
        lax = folder / "openssl.cnf"  # or the server itself refuses to serve what is weak
        lax.write_text("openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nCipherString=DEFAULT:@SECLEVEL=0\n")
        monkeypatch.setenv("OPENSSL_CONF", str(lax))
        started.append(FaultServer(lab, folder, f"probe-{name}", behaviours))
        monkeypatch.delenv("OPENSSL_CONF")
        return started[-1]

    yield start
    for server in started:
        server.stop()


def run(lab, *arguments, prefix=()):
    return programs.run(lab, [*prefix, BUILD / "smtpward", *arguments], timeout=60, watched=False)


def ask(lab, ca, *arguments, host=ADDRESS, prefix=(), timeout=20):
    result = run(lab, "-j", "probe", host, "--ca", ca / "ca.pem", "--timeout", timeout, *arguments, prefix=prefix)
    return result.code, json.loads(result.output)


def probe(lab, ca, *arguments, **options):
    code, answer = ask(lab, ca, *arguments, **options)
    assert answer["error"] is None and len(answer["servers"]) == 1, answer
    return code, answer["servers"][0]


# ---- what a good server is told to be ------------------------------------------------------------------------


@pytest.mark.parametrize("port", [25, 587, 2525, 465])
def test_verified(lab, ca, serve, server_address, port):
    server = serve("auth=PLAIN LOGIN", "auth-tls-only")
    code, seen = probe(lab, ca, "--port", port, host=server_address)
    assert (code, seen["outcome"], seen["findings"], seen["error"]) == (VERIFIED, "verified", [], None), seen
    assert seen["good"] is True
    assert seen["address"] == server_address
    assert seen["greeting"] == {"code": 220, "text": "server.example ESMTP ready"}
    assert seen["starttls"]["asked"] is (port != 465)
    assert seen["auth"] == {"before_tls": [], "in_tls": ["PLAIN", "LOGIN"]}
    assert seen["tls"]["version"] == "1.3" and seen["tls"]["cipher"] == "TLS_AES_256_GCM_SHA384"
    assert seen["tls"]["group"] == "x25519"
    assert seen["tls"]["versions"] == {"1.0": True, "1.1": True, "1.2": True, "1.3": True}
    certificate = seen["certificate"]
    assert certificate["trusted"] and certificate["name"] == {"wanted": server_address, "result": "matched"}
    assert certificate["chain"][0]["subject"] == "CN=server.example" and certificate["anchor"] == "CN=smtpward test CA"
    assert ADDRESS in certificate["names"]
    wait_until(lambda: sum(r["event"] == "closed" for r in server.records()) == 5, "all connections closed")
    got = server.received().upper()
    assert b"AUTH" not in got and b"MAIL" not in got and b"RCPT" not in got
    assert server.received("tls").upper().count(b"QUIT\r\n") == 5


@pytest.mark.parametrize("port", [25, 587, 465])
def test_postfix(lab, ca, postfix_server, port):
    code, seen = probe(lab, ca, "--port", port)
    assert (code, seen["outcome"], seen["findings"]) == (VERIFIED, "verified", []), seen
    assert seen["greeting"] == {"code": 220, "text": "server.example ESMTP Postfix (Debian/GNU)"}
    assert seen["tls"]["versions"]["1.3"] is True
    assert "lost connection" not in postfix_server.log()


def test_openssl_s_server(lab, ca):
    """TLS alone, and no SMTP in it."""
    child = lab.start("server", ["openssl", "s_server", "-accept", f"{ADDRESS}:465", "-cert", ca / "server.pem", "-key",
                                 ca / "server.key", "-no_tls1_3", "-quiet"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        def listening():
            return ":465 " in sh("nsenter", f"--net=/run/netns/{lab.ns['server']}", "ss", "-ltnH").stdout
        wait_until(listening, "openssl s_server listens")
        code, seen = probe(lab, ca, "--port", 465, timeout=4)
    finally:
        child.kill()
        child.communicate()
    assert code == SHORT and seen["outcome"] == "verified" and seen["error"] == "greeting: no answer in time", seen
    assert seen["good"] is False
    assert seen["tls"]["version"] == "1.2" and seen["certificate"]["trusted"]


@pytest.mark.parametrize("low,high,versions", [
    ("1.2", "1.3", [False, False, True, True]), ("1.2", "1.2", [False, False, True, False]),
    ("1.3", "1.3", [False, False, False, True]), ("1.0", "1.2", [True, True, True, False]),
])
def test_versions(lab, ca, serve, low, high, versions):
    serve(f"tls-min={low}", f"tls-max={high}")
    code, seen = probe(lab, ca)
    assert code == VERIFIED and seen["tls"]["version"] == high
    assert list(seen["tls"]["versions"].values()) == versions, seen["tls"]


def test_weak_version_and_cipher(lab, ca, serve):
    serve("tls-min=1.0", "tls-max=1.1")
    code, seen = probe(lab, ca)
    assert (code, seen["findings"], seen["tls"]["version"]) == (SHORT, ["tls-version-weak"], "1.1")


# ---- what is not as it should be -----------------------------------------------------------------------------


@pytest.mark.parametrize("behaviours,outcome,finding", [
    (["strip"], "refused", "starttls-missing"),
    (["mask=XXXXXXXA"], "refused", "starttls-masked"),
    (["mask-banner", "strip"], "refused", "starttls-masked"),
    (["ehlo-code=502"], "refused", "ehlo-refused"),
    (["starttls-code=454"], "refused", "starttls-refused"),
    (["starttls-code=554"], "refused", "starttls-refused"),
    (["starttls-code=250"], "refused", "starttls-bad-reply"),
    (["starttls-code=354"], "refused", "starttls-bad-reply"),
    (["starttls-close"], "refused", "starttls-unanswered"),
    (["starttls-reset"], "refused", "starttls-unanswered"),
    (["inject=250 injected\\r\\n"], "verified", "reply-injection"),
    (["inject-next=250 injected\\r\\n"], "verified", "reply-injection"),
    (["after-220=close"], "failed", "tls-handshake-failed"),
    (["after-hello=close"], "failed", "tls-handshake-failed"),
    (["after-hello=reset"], "failed", "tls-handshake-failed"),
    (["after-hello=garbage"], "failed", "tls-handshake-failed"),
])
def test_findings(lab, ca, serve, behaviours, outcome, finding):
    serve(*behaviours)
    code, seen = probe(lab, ca)
    assert (code, seen["outcome"], seen["findings"]) == (SHORT, outcome, [finding]), seen
    assert seen["good"] is False


@pytest.mark.parametrize("code", [454, 554])
def test_refusal_is_quoted(lab, ca, serve, code):
    serve(f"starttls-code={code}")
    assert probe(lab, ca)[1]["starttls"] == {"offered": True, "asked": True, "reply": code, "text": "2.0.0 as you wish"}


@pytest.mark.parametrize("behaviour", ["after-220=alert-40", "after-hello=alert-40"])
def test_alert_is_named(lab, ca, serve, behaviour):
    serve(behaviour)
    code, seen = probe(lab, ca)
    assert (code, seen["findings"]) == (SHORT, ["tls-handshake-failed"]), seen
    assert seen["tls"]["alert"] == {"from": "server", "code": 40, "name": "handshake_failure"}
    assert set(seen["tls"]["versions"].values()) == {False}


@pytest.mark.parametrize("behaviour,finding", [("starttls-silent", "starttls-unanswered"), ("after-hello=silent", "tls-handshake-failed")])
def test_silence(lab, ca, serve, behaviour, finding):
    serve(behaviour)
    code, seen = probe(lab, ca, timeout=3)
    assert (code, seen["findings"]) == (SHORT, [finding]), seen
    assert set(seen["tls"]["versions"].values()) == {None}


def test_plaintext_on_tls_port(lab, ca, serve):
    serve("plaintext-on-tls")
    code, seen = probe(lab, ca, "--port", 465)
    assert (code, seen["outcome"], seen["findings"]) == (SHORT, "failed", ["plaintext-on-tls-port"]), seen


def test_greeting_refused(lab, ca, serve):
    serve("greet-code=554")
    code, seen = probe(lab, ca)
    assert (code, seen["outcome"], seen["findings"], seen["error"]) == (SHORT, "unknown", [], "greeting: 554")


@pytest.mark.parametrize("behaviours", [
    ["starttls-last"], ["ehlo-blank-line"], ["lf-only"], ["segment=1"], ["segment=3", "drip-ms=1"],
    ["starttls-text=220-one\\r\\n220 two\\r\\n"], ["ehlo-text=250-x\\r\\n250-startTLS\\r\\n250 HELP\\r\\n"],
])
def test_odd_but_sound(lab, ca, serve, behaviours):
    serve(*behaviours)
    code, seen = probe(lab, ca)
    assert (code, seen["findings"]) == (VERIFIED, []), seen


def test_the_greeting_line_is_no_offer(lab, ca, serve):
    serve("ehlo-text=250-STARTTLS\\r\\n250 HELP\\r\\n")
    code, seen = probe(lab, ca)
    assert (code, seen["findings"], seen["starttls"]["offered"]) == (SHORT, ["starttls-missing"], False)


def test_auth_in_clear_and_in_tls(lab, ca, serve):
    serve("auth=plain LOGIN cram-md5")
    assert probe(lab, ca)[1]["auth"] == {"before_tls": ["PLAIN", "LOGIN", "CRAM-MD5"], "in_tls": ["PLAIN", "LOGIN", "CRAM-MD5"]}


# ---- certificates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,finding", [
    ("self-signed", "certificate-untrusted"), ("expired", "certificate-expired"), ("wrong-name", "certificate-name-mismatch"),
    ("weak-key", "certificate-key-weak"), ("sha1", "certificate-key-weak"),
])
@pytest.mark.parametrize("behaviour", [(), ("tls-max=1.2",)], ids=["tls13", "tls12"])
def test_certificates(lab, ca, serve_certificate, name, finding, behaviour):
    serve_certificate(name, *behaviour)
    code, seen = probe(lab, ca)
    assert (code, seen["outcome"], seen["findings"]) == (SHORT, "unverified", [finding]), seen
    assert seen["certificate"]["self_signed"] is (name == "self-signed")


def test_name_is_chosen(lab, ca, serve, serve_certificate):
    serve_certificate("wrong-name")
    assert probe(lab, ca, "--name", "other.example")[0] == VERIFIED
    code, seen = probe(lab, ca, "--name", "another.example")
    assert (code, seen["findings"]) == (SHORT, ["certificate-name-mismatch"])
    assert seen["certificate"]["name"] == {"wanted": "another.example", "result": "mismatch"}


def test_common_name_alone_is_said(lab, ca, serve_certificate):
    serve_certificate("cn-only")
    code, seen = probe(lab, ca, "--name", "server.example")
    assert code == VERIFIED and seen["certificate"]["name"]["result"] == "cn-only"


def test_another_authority(lab, ca, serve):
    serve()
    other = lab.scratch / "other-ca"
    sh(TOOLS / "test_ca.sh", other)
    code, seen = probe(lab, other)
    assert (code, seen["findings"]) == (SHORT, ["certificate-untrusted"]), seen
    assert seen["certificate"]["anchor"] is None


# ---- hostile servers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data,way", [
    ("220 never ends ", "drip"), ("220-and on\\r\\n", "drip"), ("220-and on\\r\\n", "endless"), ("x", "endless"),
    ("\\0", "endless"), ("no reply\\r\\n", "endless"), ("\\r\\n", "endless"), ("", "once"),
])
@pytest.mark.parametrize("port", [25, 465])
def test_hostile_replies(lab, ca, play, data, way, port):
    play("server", PLAYER, str(port), data, way)
    code, seen = probe(lab, ca, "--port", port, timeout=2)
    assert code == SHORT and seen["outcome"] in ("unknown", "failed"), seen
    assert seen["error"] or seen["tls"]["error"]
    assert seen["certificate"] is None


HOSTILE = "220 \\x1b[2J\\x9b31m\\0\\x7f\\xff evil\\xe2\\x80\\xae\\r\\n"


@pytest.mark.parametrize("arguments", [["probe"], ["-j", "probe"]])
def test_nothing_unprintable_is_printed(lab, ca, play, arguments):
    play("server", PLAYER, "25", HOSTILE, "once")
    result = run(lab, *arguments, ADDRESS, "--ca", ca / "ca.pem", "--timeout", "2")
    assert result.code == SHORT
    assert all(" " <= c <= "~" or c == "\n" for c in result.output), result.output
    assert "x1b[2J" in result.output and "evil" in result.output


# ---- who is not there ----------------------------------------------------------------------------------------


def test_nobody_listens(lab, ca, server_address):
    code, seen = probe(lab, ca, host=server_address)
    assert (code, seen["outcome"]) == (UNREACHABLE, None)
    assert "Connection refused" in seen["error"]


@pytest.mark.parametrize("arguments", [
    ["probe"], ["probe", "a", "b"], ["probe", "a", "--port", "0"], ["probe", "a", "--port", "65536"], ["probe", "a", "--timeout", "0"],
    ["probe", "a b"], ["probe", "a\nb"], ["probe", ""], ["probe", "a", "--name", ""], ["probe", "192.0.2.2", "--mx"], ["probe", "-x", "a"],
])
def test_usage(lab, arguments):
    result = run(lab, *arguments)
    assert result.code == USAGE and "smtpward help" in result.output, result.output


def test_unreadable_authority(lab):
    result = run(lab, "probe", ADDRESS, "--ca", "/nonexistent.pem")
    assert result.code == NO_INPUT and "/nonexistent.pem" in result.output


# ---- MX ------------------------------------------------------------------------------------------------------


@pytest.fixture
def resolver(lab, play):
    """resolver(records) starts a name server; returns what to run a program with, so that it asks that one."""
    def start(records):
        configuration = lab.scratch / "resolv.conf"
        configuration.write_text("nameserver 127.0.0.1\n")
        play("client", RESOLVER, json.dumps(records))
        script = f'mount --bind {configuration} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    return start


def test_mx_in_order(lab, ca, serve, resolver):
    serve()
    prefix = resolver({"example.test": {"MX": [[20, "second.example.test"], [10, "server.example"]]},
                       "server.example": {"A": [ADDRESS]}, "second.example.test": {"A": [ADDRESS]}})
    code, answer = ask(lab, ca, "--mx", "-4", host="example.test", prefix=prefix)
    assert code == SHORT and answer["mx"] is True
    assert [(s["host"], s["preference"], s["findings"]) for s in answer["servers"]] == [
        ("server.example", 10, []), ("second.example.test", 20, ["certificate-name-mismatch"])], answer


def test_mx_one_of_them_is_not_there(lab, ca, serve, resolver):
    serve()
    prefix = resolver({"example.test": {"MX": [[1, "gone.example.test"], [2, "server.example"]]}, "server.example": {"A": [ADDRESS]}})
    code, answer = ask(lab, ca, "--mx", "-4", host="example.test", prefix=prefix)
    assert code == SHORT
    assert [s["outcome"] for s in answer["servers"]] == [None, "verified"], answer


def test_no_mx_is_the_domain_itself(lab, ca, serve, resolver):
    serve()
    prefix = resolver({"server.example": {"A": [ADDRESS]}})
    code, answer = ask(lab, ca, "--mx", "-4", host="server.example", prefix=prefix)
    assert code == VERIFIED and answer["servers"][0]["preference"] is None


@pytest.mark.parametrize("records,words", [
    ({}, "no such domain"), ({"example.test": {"MX": [[0, "."]]}}, "takes no mail"),
    ({"example.test": {"MX": [[0, "evil\x1b[2J.test"]]}}, "no MX record names a host"),
])
def test_no_host_for_mail(lab, ca, resolver, records, words):
    code, answer = ask(lab, ca, "--mx", host="example.test", prefix=resolver(records))
    assert (code, answer["servers"]) == (NO_HOST, [])
    assert words in answer["error"]


def test_unknown_host(lab, ca, resolver):
    code, answer = ask(lab, ca, host="gone.example.test", prefix=resolver({}))
    assert code == NO_HOST and answer["servers"][0]["outcome"] is None
