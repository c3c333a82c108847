# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What was negotiated, as read from the wire, against what the client itself says."""
import re

import pytest

from harness import programs
from harness.agent import expect

# OpenSSL's names up to TLS 1.2, and IANA's
NAMES = {"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
         "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
         "AECDH-AES128-SHA": "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"}


def s_client(lab, port=25, *options):
    """Returns what openssl says of the session: version and cipher in OpenSSL's names, and the ephemeral key."""
    starttls = ["-starttls", "smtp"] if port != 465 else []
    result = programs.run(lab, ["openssl", "s_client", *starttls, "-crlf", "-ign_eof", "-connect", f"192.0.2.2:{port}",
                                "-servername", "server.example", *options], stdin="EHLO x\nNOOP\nQUIT\n")
    version, cipher = re.search(r"New, (\S+), Cipher is (\S+)", result.output).groups()
    key = re.search(r"Server Temp Key: (\w+)", result.output)
    protocol = re.search(r"^ *Protocol *: TLSv([\d.]+)$", result.output, re.M)
    return protocol.group(1) if protocol else version.replace("TLSv", ""), cipher, key and key.group(1)


@pytest.mark.parametrize("port", [25, 465])
@pytest.mark.parametrize("behaviours,options", [
    ((), ()),
    (("tls-max=1.2",), ()),
    ((), ("-groups", "P-384:X25519")),
], ids=["1.3", "1.2", "P-384"])
def test_what_was_negotiated(lab, serve, watch, behaviours, options, port):
    serve(*behaviours)
    agent = watch()
    version, cipher, key = s_client(lab, port, *options)
    session = agent.session()
    expect(session, "encrypted", ())
    tls = session["tls"]
    assert (tls["version"] or "") + ("" if "." in (tls["version"] or "") else ".0") == version, tls
    assert tls["cipher"] == NAMES.get(cipher, cipher)
    assert tls["group"] == {"X25519": "x25519", "ECDH": "secp384r1"}.get(key, key)
    assert tls["server_name"] == "server.example"
    assert re.fullmatch(r"t1[23]d\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}", tls["ja4"]), tls
    assert tls["resumed"] is False


def test_hello_retry(lab, serve, watch):
    """The server takes none of the client's key shares and asks for another: a second ClientHello."""
    serve("groups=P-256")
    agent = watch()
    version, _, key = s_client(lab, 25, "-groups", "X25519:P-256")
    session = agent.session()
    expect(session, "encrypted", ())
    assert (session["tls"]["version"], version, session["tls"]["group"], key) == ("1.3", "1.3", "secp256r1", "ECDH")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_weak_version(lab, serve, watch, version):
    serve("tls-min=1.0", "ciphers=ALL:@SECLEVEL=0")
    agent = watch()
    said, cipher, _ = s_client(lab, 25, "-tls1" if version == "1.0" else "-tls1_1", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    session = agent.session()
    expect(session, "encrypted", {"tls-version-weak"}, tls__version=version, tls__cipher=NAMES[cipher])
    assert session["severity"] == "warning"


def test_weak_cipher(lab, serve, watch):
    serve("tls-max=1.2", "ciphers=ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    agent = watch()
    assert s_client(lab, 25, "-cipher", "AECDH-AES128-SHA:@SECLEVEL=0")[1] == "AECDH-AES128-SHA"
    session = agent.session()
    expect(session, "encrypted", {"tls-cipher-weak"}, tls__cipher=NAMES["AECDH-AES128-SHA"])
    assert session["severity"] == "error"


def test_a_session_in_clear_has_no_handshake(lab, serve, watch):
    serve("strip")
    agent = watch()
    programs.swaks(lab, "192.0.2.2")
    assert all(agent.session()["tls"][key] is None for key in ("version", "cipher", "group", "server_name", "ja4", "resumed"))
