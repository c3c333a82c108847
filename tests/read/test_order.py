# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TCP as captures show it: lost, early, repeated, overlapping, one-sided and cut segments. Never a false finding."""
import itertools
import random

import pytest

from cli import NOTHING, only, read, read_many
from frames import ACK, FIN, LOGIN, MAIL, PSH, RST, START, SYN, Flow, login, mail, write

# a session in which nothing is to be found: refused, since the server's TLS is out of order
QUIET = ("S: 220 mx.example ESMTP", "C: EHLO client.example", "S: 250-mx.example\n250-PIPELINING\n250 STARTTLS", "C: QUIT", "S: 221 bye")


def quiet(**options):
    return Flow(**options).open().talk(*QUIET).close()


def what(row):
    keys = ("outcome", "unknown_reason", "cause", "auth", "starttls", "end")
    return {**{key: row[key] for key in keys}, "facts": sorted(row["facts"]), "findings": sorted(row["findings"])}


def check_same(paths, plain):
    assert paths
    for path, rows in zip(paths, read_many(paths)):
        assert [what(row) for row in rows] == [plain], path.name


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the mail is when nothing has happened to it."""
    return what(only(read(write(tmp_path_factory.mktemp("plain") / "mail", mail()))))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_small_segments(path, plain, size):
    assert what(only(read(write(path, Flow().open().talk(*MAIL, size=size).close())))) == plain


@pytest.mark.parametrize("isn", [(0xffffffff, 0xffffffff), (0xfffffff0, 0xffffff80), (0x7fffffff, 0x80000000), (0, 0)])
def test_sequence_numbers_go_round(path, plain, isn):
    assert what(only(read(write(path, mail(isn=isn))))) == plain


def test_every_segment_repeated(path, plain):
    flow = mail()
    flow.packets = [packet for packet in flow.packets for _ in range(2)]
    answer = read(write(path, flow))
    assert what(only(answer)) == plain and answer["files"][0]["segments_repeated"] > 10
    assert answer["files"][0]["segments_conflicting"] == 0


def test_two_of_a_direction_swapped(tmp_path, plain):
    """Each two segments of one direction that follow one another, in small pieces."""
    whole = Flow().open().talk(*MAIL, size=5).close()
    paths = []
    for i in range(3, len(whole.packets) - 3):
        flow = Flow()
        flow.packets = list(whole.packets)
        if flow.packets[i][1] != flow.packets[i + 1][1]:
            continue
        flow.packets[i], flow.packets[i + 1] = flow.packets[i + 1], flow.packets[i]
        paths.append(write(tmp_path / str(i), flow))
    check_same(paths, plain)


def test_directions_swapped(tmp_path, plain):
    """A reply that was captured before its command, as with a card of several queues."""
    whole, paths = mail(), []
    for i in range(3, len(whole.packets) - 3):
        flow = Flow()
        flow.packets = list(whole.packets)
        flow.packets[i], flow.packets[i + 1] = flow.packets[i + 1], flow.packets[i]
        paths.append(write(tmp_path / str(i), flow))
    check_same(paths, plain)


def test_shuffled_within_a_window(tmp_path, plain):
    paths = []
    for seed in range(30):
        chance = random.Random(seed)
        flow = Flow().open().talk(*MAIL, size=9).close()
        head, body = flow.packets[:3], flow.packets[3:]
        body = [packet for _, packet in sorted((i + chance.random() * 6, packet) for i, packet in enumerate(body))]
        flow.packets = head + body
        paths.append(write(tmp_path / str(seed), flow))
    check_same(paths, plain)


def test_overlapping_segments(path, plain):
    flow = Flow().open()
    for step in MAIL:
        who, data = step[0], step[3:].encode().replace(b"\n", b"\r\n") + b"\r\n"
        half = len(data) // 2
        flow.segment(who, PSH | ACK, data[:half + 1])
        flow.segment(who, PSH | ACK, data[half - 1:], sequence=flow.next[who] + half - 1)
        flow.next[who] += len(data)
    answer = read(write(path, flow.close()))
    assert what(only(answer)) == plain and answer["files"][0]["segments_conflicting"] == 0


def test_first_bytes_win(path, plain):
    """What is sent again with other bytes has been read already: the receiver does not take it either."""
    flow = Flow().open()
    for step in MAIL:
        flow.talk(step)
        data = step[3:].encode()
        flow.segment(step[0], PSH | ACK, b"X" * len(data), sequence=flow.next[step[0]] - len(data) - 2)
    answer = read(write(path, flow.close()))
    assert what(only(answer)) == plain and answer["files"][0]["segments_conflicting"] > 5


def test_conflict_while_waiting_is_counted(path):
    flow = Flow().open().talk("S: 220 a")
    base = flow.next["C"]
    flow.segment("C", PSH | ACK, b" b\r\n", sequence=base + 4)
    flow.segment("C", PSH | ACK, b" c\r\n", sequence=base + 4)
    flow.segment("C", PSH | ACK, b"EHLO", sequence=base)
    flow.next["C"] = base + 8
    answer = read(write(path, flow.talk("S: 250 a", "C: QUIT").close()))
    assert "ehlo-accepted" in only(answer)["facts"] and answer["files"][0]["segments_conflicting"] >= 1


def test_keep_alive(path, plain):
    flow = Flow().open()
    for step in MAIL:
        flow.talk(step)
        for who in "CS":
            flow.segment(who, ACK, b"\0", sequence=flow.next[who] - 1)
            flow.segment(who, ACK, b"", sequence=flow.next[who] - 1)
    answer = read(write(path, flow.close()))
    assert what(only(answer)) == plain and answer["files"][0]["segments_conflicting"] == 0


def check_lossy(path, flow, allowed):
    answer = read(write(path, flow))
    for row in answer["sessions"]:
        assert set(row["findings"]) <= allowed, (row["findings"], row["facts"])
    return answer


def lose_one_or_two(tmp_path, maker, allowed, kept=0):
    """Each packet, and any two, but for the last ones that are kept: no finding but those that are allowed."""
    count, paths = len(maker().packets) - kept, []
    for lost in [*itertools.combinations(range(count), 1), *itertools.combinations(range(count), 2)]:
        flow = maker()
        flow.packets = [packet for i, packet in enumerate(flow.packets) if i not in lost]
        paths.append(write(tmp_path / "-".join(map(str, lost)), flow))
    for path, rows in zip(paths, read_many(paths)):
        for row in rows:
            assert set(row["findings"]) <= allowed, (path.name, row["findings"], row["facts"])


@pytest.mark.parametrize("maker,allowed", [
    (quiet, set()), (mail, {"cleartext-mail", "starttls-missing"}), (login, {"cleartext-auth", "starttls-unused"})])
def test_each_packet_lost(tmp_path, maker, allowed):
    """And any two: what was lost is a gap, or nothing."""
    lose_one_or_two(tmp_path, maker, allowed)


HELLO = b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03" + bytes(42)


def hello_reset():
    return Flow().open().talk(*QUIET[:3], "C: STARTTLS", "S: 220 go").send("C", HELLO).segment("S", ACK).segment("S", RST | ACK)


def refused_reset():
    return Flow().open().talk(*QUIET[:3], "C: STARTTLS", "S: 454 no").segment("C", ACK).segment("C", RST | ACK)


@pytest.mark.parametrize("maker,allowed", [(hello_reset, {"tls-handshake-failed"}), (refused_reset, {"starttls-refused"})])
def test_packets_lost_before_a_reset(tmp_path, maker, allowed):
    """A reset tells where its sender was, and what it had got: what is missing before it is a gap."""
    assert set(only(read(write(tmp_path / "whole", maker())))["findings"]) == allowed
    lose_one_or_two(tmp_path, maker, allowed, kept=1)


def test_lost_reply_is_a_gap(path):
    """The EHLO reply is missing, and with it what was offered."""
    flow = Flow().open().talk(*MAIL[:2])
    flow.next["S"] += 40
    answer = read(write(path, flow.talk(*MAIL[3:]).close()), status=NOTHING)
    row = only(answer)
    assert row["unknown_reason"] == "gap" and "server-gap" in row["facts"] and answer["files"][0]["gaps"] >= 1


@pytest.mark.parametrize("side", "CS")
@pytest.mark.parametrize("maker", [quiet, mail, login])
@pytest.mark.parametrize("syn", [True, False])
def test_one_sided(path, side, maker, syn):
    flow = maker()
    flow.packets = [packet for i, packet in enumerate(flow.packets) if packet[1] == side and (syn or i > 2)]
    answer = check_lossy(path, flow, {"cleartext-auth", "cleartext-mail"} if side == "C" and syn else set())
    for row in answer["sessions"]:
        assert row["outcome"] in ("unknown", "cleartext") and (row["findings"] or row["outcome"] == "unknown")


@pytest.mark.parametrize("maker,allowed", [
    (quiet, set()), (mail, {"cleartext-mail", "starttls-missing"}), (login, {"cleartext-auth"})])
def test_joined_midway(tmp_path, maker, allowed):
    """From each packet on. What the server's answers make certain is found, and nothing else."""
    count, paths, found = len(maker().packets), [], 0
    for first in range(3, count - 4):
        flow = maker()
        flow.packets = flow.packets[first:]
        paths.append(write(tmp_path / str(first), flow))
    for rows in read_many(paths):
        assert len(rows) == 1
        row = rows[0]
        assert row["midway"] is True and "midway" in row["facts"] and set(row["findings"]) <= allowed, row
        if "resynced" not in row["facts"]:
            assert row["outcome"] == "unknown" and row["unknown_reason"] == "midway" and not row["findings"]
        found += bool(row["findings"])
    assert bool(found) == bool(allowed)


@pytest.mark.parametrize("maker", [quiet, mail, login])
def test_ends_midway(tmp_path, maker):
    """Up to each packet: what has not happened yet may yet happen."""
    count, paths = len(maker().packets), []
    for last in range(1, count - 3):
        flow = maker()
        flow.packets = flow.packets[:last]
        paths.append(write(tmp_path / str(last), flow))
    for rows in read_many(paths):
        for row in rows:
            assert row["closed"] is None
            # in clear already, or not known yet
            assert row["outcome"] == "cleartext" or (row["unknown_reason"] == "open" and not row["findings"])


@pytest.mark.parametrize("maker,allowed", [
    (quiet, set()), (mail, {"cleartext-mail", "starttls-missing"}), (login, {"cleartext-auth", "starttls-unused"})])
def test_snap_length(tmp_path, maker, allowed):
    paths = [write(tmp_path / str(snap), maker(), snap=snap) for snap in [*range(20, 140), 200, 300]]
    for rows in read_many(paths):
        for row in rows:
            assert set(row["findings"]) <= allowed
            if "starttls-missing" in row["findings"]:
                assert "server-gap" not in row["facts"]


def test_syn_lost_but_not_its_answer(path, plain):
    flow = mail()
    del flow.packets[0]
    assert what(only(read(write(path, flow)))) == plain


def test_answer_to_the_syn_lost(path):
    flow = mail()
    del flow.packets[1]
    row = only(read(write(path, flow)))
    assert "server-gap" in row["facts"] and "starttls-missing" not in row["findings"]


def test_data_in_the_syn(path):
    flow = Flow()
    flow.segment("C", SYN, b"EHLO client.example\r\n")
    flow.next["C"] += 1 + len("EHLO client.example\r\n")
    flow.segment("S", SYN | ACK, acknowledged=flow.next["C"])
    flow.next["S"] += 1
    flow.segment("C", ACK).talk("S: 220 mx.example\n250-mx.example\n250 STARTTLS", "C: MAIL FROM:<a@b>", "S: 250 ok").close()
    row = only(read(write(path, flow)))
    # the SYN-ACK acknowledges the data, too
    assert "ehlo-sent" in row["facts"] and set(row["findings"]) == {"cleartext-mail", "starttls-unused"}


def test_refused_connection_is_no_session(path):
    flow = Flow().segment("C", SYN)
    flow.next["C"] += 1
    flow.segment("S", RST | ACK, sequence=0)
    assert read(write(path, flow), status=NOTHING)["sessions"] == []


def test_connected_and_nothing_said(path):
    row = only(read(write(path, Flow().open().close())))
    assert row["outcome"] == "unknown" and row["unknown_reason"] == "nothing-sent"


@pytest.mark.parametrize("who", "CS")
def test_reset(path, who):
    row = only(read(write(path, Flow().open().talk(*QUIET[:3], "C: STARTTLS").segment(who, RST | ACK))))
    assert row["end"] == "reset" and row["findings"] == ["starttls-unanswered"] and row["closed"]


def test_reset_out_of_nowhere_is_not_believed(path, plain):
    flow = Flow().open().talk(*MAIL[:3])
    flow.segment("S", RST, sequence=flow.next["S"] + 500_000_000).segment("C", RST, sequence=flow.next["C"] - 500_000_000)
    assert what(only(read(write(path, flow.talk(*MAIL[3:]).close())))) == plain


def test_server_closes_first(path):
    row = only(read(write(path, Flow().open().talk(*MAIL).close("S"))))
    assert row["end"] == "server" and row["bytes"]["sent"] == sum(len(step) - 3 + 2 + step.count("\n") for step in MAIL if step[0] == "C")


def test_late_segments_make_no_new_session(path):
    flow = mail()
    flow.packets += [[flow.time + i, who, packet] for i, (_, who, packet) in enumerate(flow.packets[3:])]
    assert len(read(write(path, flow))["sessions"]) == 1


def test_same_ports_again(path):
    first, second = mail(), login(isn=(70000, 90000), start=START + 100)
    answer = read(write(path, [first, second]))
    assert [row["auth"]["mechanism"] for row in answer["sessions"]] == [None, "PLAIN"]
    assert len({row["id"] for row in answer["sessions"]}) == 2


def test_same_ports_again_without_an_end(path):
    first = Flow().open().talk(*MAIL[:4])
    second = login(isn=(70000, 90000), start=START + 100)
    answer = read(write(path, [first, second]))
    assert [row["outcome"] for row in answer["sessions"]] == ["cleartext", "cleartext"]
    assert answer["sessions"][0]["closed"] is None and answer["sessions"][1]["auth"]["account"] == "user"


def test_a_stray_syn_changes_nothing(path, plain):
    flow = Flow().open().talk(*MAIL[:3])
    flow.segment("C", SYN, sequence=12345)
    flow.segment("S", ACK)
    assert what(only(read(write(path, flow.talk(*MAIL[3:]).close())))) == plain


def test_idle_flows_are_given_up(path):
    silent = Flow().open().talk(*QUIET[:2])
    later = [login(client_port=50000 + i, start=START + 4000 + i) for i in range(3)]
    answer = read(write(path, [silent, *later]))
    assert answer["files"][0]["flows_idle"] == 1
    assert answer["sessions"][0]["closed"] is None and not answer["sessions"][0]["findings"]


def test_one_wrong_time_gives_up_nothing(path, plain):
    flow = mail()
    flow.packets[9][0] += 1_000_000
    answer = read(write(path, flow))
    assert what(only(answer)) == plain and answer["files"][0]["flows_idle"] == 0


def test_times_go_backwards(path, plain):
    flow = mail()
    for i, packet in enumerate(flow.packets):
        packet[0] = START - i * 10
    answer = only(read(write(path, flow)))
    assert what(answer) == plain and answer["opened"] <= answer["closed"]


@pytest.mark.parametrize("time", [0, 1, 4294967295])
def test_strange_times(path, plain, time):
    flow = mail()
    for packet in flow.packets:
        packet[0] = time
    assert what(only(read(write(path, flow)))) == plain


def test_many_flows_at_once(path):
    """Interleaved, in small pieces, some of them out of order."""
    flows = [Flow(client_port=2000 + i).open().talk(*(MAIL if i % 2 else LOGIN), size=3 + i % 7).close() for i in range(200)]
    packets = [packet for flow in flows for packet in flow.packets]
    merged = Flow()
    merged.packets = sorted(packets, key=lambda packet: packet[0])
    answer = read(write(path, merged))
    assert len(answer["sessions"]) == 200
    for row in answer["sessions"]:
        assert row["outcome"] == "cleartext" and not {"client-gap", "server-gap"} & set(row["facts"])
        assert ("cleartext-mail" in row["findings"]) == (row["client"]["port"] % 2 == 1)


def test_endless_hole_is_bounded(path):
    """A segment that never comes, and megabytes behind it."""
    flow = Flow().open().talk("S: 220 a", "C: EHLO a", "S: 250 a", "C: MAIL FROM:<a>", "S: 250 ok", "C: DATA", "S: 354 go")
    flow.next["C"] += 100
    flow.send("C", b"x" * 3_000_000, size=1400)
    answer = read(write(path, flow.close()))
    row = only(answer)
    assert "client-gap" in row["facts"] and answer["files"][0]["gaps_by_limit"] >= 1 and row["outcome"] == "cleartext"


def test_fallback_is_linked(path):
    failed = Flow(client_port=41000).open().talk(*QUIET[:3], "C: STARTTLS", "S: 220 go").send("C", b"\x16\x03\x01\x00\x05\x01\0\0\1\0")
    failed = failed.segment("S", RST | ACK)
    retry = mail(client_port=41001, start=START + 60)
    stranger = mail(client_port=41002, client="192.0.2.9", start=START + 61)
    rows = read(write(path, [failed, retry, stranger]))["sessions"]
    assert rows[0]["outcome"] == "failed" and rows[1]["linked_session"] == rows[0]["id"]
    assert "tls-fallback" in rows[1]["findings"] and rows[1]["cause"] == "tls-fallback"
    assert "tls-fallback" not in rows[2]["findings"]


def test_loopback_demands_nothing(path):
    assert "would-block" in only(read(write(path, login())))["facts"]
    row = only(read(write(path, login(client="127.0.0.1", server="127.0.0.2"))))
    assert row["policy"]["require"] == "none" and "would-block" not in row["facts"] and row["severity"] == "info"


def test_fin_with_data(path, plain):
    flow = Flow().open().talk(*MAIL[:-2])
    flow.segment("C", PSH | ACK | FIN, b"QUIT\r\n")
    flow.next["C"] += 7
    flow.segment("S", PSH | ACK | FIN, b"221 bye\r\n")
    assert what(only(read(write(path, flow)))) == plain
