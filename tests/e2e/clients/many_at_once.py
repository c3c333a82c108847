# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Sends one message to each of several servers from one process, with the TLS handshakes at the same time:

  many_at_once.py asyncio|threads TARGETS

asyncio: one thread, TLS in memory BIOs, the sockets are the event loop's. threads: smtplib, a thread for each target.
TARGETS is JSON: [{"host", "port", "verify": bool, "trust": file, "from", "to", "message"}]. Printed is JSON: for each target null
(the server took it) or the error's text.
"""
import asyncio
import json
import smtplib
import ssl
import sys
import threading


def context(target):
    made = ssl.create_default_context(cafile=target["trust"])
    made.check_hostname = target["verify"]
    made.verify_mode = ssl.CERT_REQUIRED if target["verify"] else ssl.CERT_NONE
    return made


async def read_reply(reader, code):
    while True:
        line = await asyncio.wait_for(reader.readline(), 15)
        if not line.startswith(code):
            raise OSError(f"not {code}: {line}")
        if line[3:4] != b"-":
            return


async def begin(target):
    """Up to the point where TLS may start."""
    reader, writer = await asyncio.open_connection(target["host"], target["port"])
    await read_reply(reader, b"220")
    writer.write(b"EHLO client.example\r\n")
    await read_reply(reader, b"250")
    writer.write(b"STARTTLS\r\n")
    await read_reply(reader, b"220")
    return reader, writer


async def finish(target, reader, writer):
    loop = asyncio.get_running_loop()
    protocol = writer.transport.get_protocol()
    transport = await loop.start_tls(writer.transport, protocol, context(target), server_hostname=target["host"])
    # what StreamWriter.start_tls() of newer versions does
    reader._transport = protocol._transport = transport
    protocol._over_ssl = True
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    for line, code in (("EHLO client.example", b"250"), (f"MAIL FROM:<{target['from']}>", b"250"),
                       (f"RCPT TO:<{target['to']}>", b"250"), ("DATA", b"354"), (target["message"] + "\r\n.", b"250"),
                       ("QUIT", b"221")):
        writer.write(line.encode() + b"\r\n")
        await read_reply(reader, code)
    writer.close()


async def with_asyncio(targets):
    ready = await asyncio.gather(*map(begin, targets))
    return await asyncio.gather(*(finish(target, *streams) for target, streams in zip(targets, ready)), return_exceptions=True)


def with_threads(targets):
    errors = [None] * len(targets)
    all_here = threading.Barrier(len(targets))

    def send(index, target):
        try:
            with smtplib.SMTP(target["host"], target["port"], "client.example", timeout=15) as client:
                client.ehlo()
                all_here.wait(15)
                client.starttls(context=context(target))
                client.sendmail(target["from"], [target["to"]], target["message"])
        except (OSError, smtplib.SMTPException) as error:
            errors[index] = error
    threads = [threading.Thread(target=send, args=pair) for pair in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def main():
    targets = json.loads(sys.argv[2])
    errors = asyncio.run(with_asyncio(targets)) if sys.argv[1] == "asyncio" else with_threads(targets)
    print(json.dumps([error and f"{type(error).__name__}: {error}" for error in errors]))


main()
