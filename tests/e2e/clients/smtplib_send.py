# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Sends the message on standard input with python's smtplib. Exit 0: the server took it."""
import argparse
import errno
import os
import smtplib
import ssl
import sys


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--tls", choices=("none", "may", "must", "implicit", "fallback"), default="none")
    parser.add_argument("--keep", action="store_true", help="what is connected stays so until the end")
    parser.add_argument("--verify", choices=("chain", "chain+name"))
    parser.add_argument("--trust", help="file of certificates")
    parser.add_argument("--name", help="the server's, where it is not host")
    parser.add_argument("--version", choices=("1.0", "1.1", "1.2", "1.3"), help="the only one that is spoken")
    parser.add_argument("--auth")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--from", dest="sender")
    parser.add_argument("--to")
    return parser.parse_args()


def context(options):
    made = ssl.create_default_context(cafile=options.trust)
    made.check_hostname = options.verify == "chain+name"
    made.verify_mode = ssl.CERT_REQUIRED if options.verify else ssl.CERT_NONE
    if options.version:
        version = getattr(ssl.TLSVersion, {"1.0": "TLSv1"}.get(options.version, "TLSv" + options.version.replace(".", "_")))
        made.minimum_version = made.maximum_version = version
        if options.version < "1.2":
            made.set_ciphers("DEFAULT:@SECLEVEL=0")
    return made


def connect(options):
    if options.tls == "implicit":
        client = smtplib.SMTP_SSL(options.host, options.port, "client.example", timeout=15, context=context(options))
    else:
        client = smtplib.SMTP(options.host, options.port, "client.example", timeout=15)
    # the name that starttls() asks for and checks
    client._host = options.name or options.host
    return client


def start_tls(client, options):
    client.ehlo_or_helo_if_needed()
    if options.tls in ("must", "fallback") or (options.tls == "may" and client.has_extn("starttls")):
        client.starttls(context=context(options))


def log_in(client, options):
    client.ehlo_or_helo_if_needed()
    client.user, client.password = options.user, options.password
    client.auth(options.auth, getattr(client, "auth_" + options.auth.lower().replace("-", "_")))


def send(options, message):
    client = connect(options)
    if options.keep:
        os.dup(client.sock.fileno())
    try:
        start_tls(client, options)
        if options.auth:
            log_in(client, options)
        client.sendmail(options.sender, [options.to], message)
        client.quit()
    finally:
        client.close()


def main():
    options = arguments()
    message = sys.stdin.buffer.read()
    try:
        try:
            send(options, message)
        except (ssl.SSLError, OSError) as error:
            if options.tls != "fallback":
                raise
            # what a careless application does
            print("again in clear, after:", error)
            options.tls = "none"
            send(options, message)
    except OSError as error:  # smtplib's errors among them
        print(type(error).__name__, errno.errorcode.get(error.errno or 0, ""), error)
        return 1
    return 0


sys.exit(main())
