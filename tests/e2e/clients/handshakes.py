# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Many STARTTLS sessions, several at a time, in processes and threads: handshakes.py COUNT TRUST HOST ... For each session a
line of JSON: the client's address and port, when it connected, whether it verifies, and what it says of the handshake ("" for
success).
"""
import concurrent.futures
import itertools
import json
import multiprocessing
import smtplib
import ssl
import sys
import time

PROCESSES, THREADS = 4, 4


def session(job):
    host, verifies, trust = job
    told = {"host": host, "verifies": verifies, "error": ""}
    context = ssl.create_default_context(cafile=trust)
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with smtplib.SMTP(timeout=60) as client:
        client.connect(host, 25)
        told["connected"] = time.monotonic()
        told["client"] = list(client.sock.getsockname()[:2])
        client._host = "server.example"  # the name that is checked, whatever address it is reached at
        try:
            client.starttls(context=context)
            client.sendmail("alice@example.org", "bob@example.net", "Subject: one of many\r\n\r\nhello\r\n")
        except (OSError, smtplib.SMTPException) as error:
            told["error"] = f"{type(error).__name__}: {error}"
            client.close()
    return told


def work(jobs):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(session, jobs))


def main():
    count, trust, hosts = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    kinds = itertools.cycle((host, verifies, trust) for host in hosts for verifies in (True, False))
    jobs = list(itertools.islice(kinds, count))
    with multiprocessing.Pool(PROCESSES) as pool:
        for told in itertools.chain.from_iterable(pool.map(work, [jobs[i::PROCESSES] for i in range(PROCESSES)], chunksize=1)):
            print(json.dumps(told))


if __name__ == "__main__":
    main()
