"""Names: a tenant's containers find each other by name, and nobody else's; all other names are the nameservers'."""
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest
from harness.fixtures import fresh_name
from harness.monitor import Monitor, Pause
from harness.wait import wait_for

A, SOA, TXT = 1, 6, 16
DOMAIN = "quilt.internal"


class Nameserver:
    """Answers A of NAME by a table, TXT with 4,000 bytes (by UDP: cut), and counts; all else does not exist."""

    def __init__(self, address):
        self.names = {"www.example.org": "203.0.113.7", "inside.example.org": "127.0.0.1"}
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.create_server((address, 53), backlog=64)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.serve_udp, self.serve_tcp)]
        for t in self.threads:
            t.start()

    def answer(self, query, tcp):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        qtype = struct.unpack("!H", query[at + 1:at + 3])[0]
        question, name = query[12:at + 5], ".".join(labels).lower()
        self.asked.append((name, qtype, tcp))
        records, flags = [], 0x8180
        if qtype == TXT and name == "www.example.org":
            if tcp:
                records = [b"\xc0\x0c" + struct.pack("!HHIH", TXT, 1, 60, 201) + b"\xc8" + b"x" * 200 for _ in range(20)]
            else:
                flags |= 0x0200
        elif name not in self.names:
            flags |= 3
        elif qtype == A:
            records = [b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(self.names[name])]
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

    def serve_udp(self):
        while True:
            try:
                query, who = self.udp.recvfrom(4096)
                self.udp.sendto(self.answer(query, False), who)
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                c, _ = self.tcp.accept()
                with c:
                    n = struct.unpack("!H", c.recv(2))[0]
                    out = self.answer(c.recv(n), True)
                    c.sendall(struct.pack("!H", len(out)) + out)
            except OSError:
                return

    def close(self):
        for s in (self.udp, self.tcp):
            s.shutdown(socket.SHUT_RDWR) if s is self.tcp else None
            s.close()


@pytest.fixture(scope="module")
def nameserver(stack):
    address = stack.settings["nameservers"]
    subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    server = Nameserver(address)
    yield server
    server.close()
    subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], check=True)


def lookup(api, container, name, kind="a"):
    """(addresses, everything that nslookup said)"""
    r = api.exec(container, "nslookup", f"-type={kind}", name)
    text = r["stdout"] + r["stderr"]
    answer = text.split("\n\n", 1)[1] if "\n\n" in text else ""
    return re.findall(r"Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)\s", answer + "\n"), text


def inside(stack, api, container, question, tcp=False, count=1):
    """Ask the resolver from the container's network, byte by byte: its answer to QUESTION, or None."""
    pid = api.get(f"/api/containers/{container}")["pid"]
    program = """
import socket, struct, sys
q, tcp, count = bytes.fromhex(sys.argv[2]), sys.argv[3] == "True", int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((sys.argv[1], 53))
for _ in range(count):
    s.send((struct.pack("!H", len(q)) if tcp else b"") + q)
if tcp:
    f = s.makefile("rb")
    head = f.read(2)
    print((f.read(struct.unpack("!H", head)[0]) if len(head) == 2 else b"").hex())
elif count == 1:
    print(s.recv(65535).hex())
"""
    r = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", "-c", program, stack.settings["gateway"], question.hex(),
                        str(tcp), str(count)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert r.returncode == 0, r.stderr
    return bytes.fromhex(r.stdout.strip())


def question(name, qtype=A, flags=0x0100, ident=0x1234, edns=None):
    q = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0)
    q += b"".join(bytes([len(n)]) + n.encode() for n in name.split(".")) + b"\0" + struct.pack("!HH", qtype, 1)
    return q + (b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b"")


def rcode(answer):
    return answer[3] & 15


def counts(answer):
    return struct.unpack("!HHHH", answer[4:12])


def test_names_of_the_tenant_and_of_nobody_else(api, other_api, make_container):
    a, b, c = make_container(), make_container(), make_container(client=other_api)
    assert f"search {DOMAIN}" in api.exec(a["container_id"], "cat", "/etc/resolv.conf")["stdout"]
    # At once: b was answered as running, so its name is there.
    for name in (b["name"], f"{b['name']}.{DOMAIN}", b["name"].upper(), a["name"]):
        want = (a if name == a["name"] else b)["ip_address"]
        assert lookup(api, a["container_id"], name)[0] == [want], lookup(api, a["container_id"], name)
    for name in (c["name"], f"{c['name']}.{DOMAIN}", fresh_name(), f"x.{b['name']}.{DOMAIN}"):
        found, text = lookup(api, a["container_id"], name)
        assert found == [] and "NXDOMAIN" in text, text
    assert lookup(other_api, c["container_id"], c["name"])[0] == [c["ip_address"]]


def test_a_rename_and_an_end_are_seen_at_once(api, make_container):
    a, b = make_container(), make_container()
    old, new = b["name"], fresh_name()
    assert lookup(api, a["container_id"], old)[0] == [b["ip_address"]]
    r = api.post(f"/api/containers/{old}/rename", {"new_name": new})
    assert r.status == 200 and r["dns_updated"] is True, r
    assert lookup(api, a["container_id"], new)[0] == [b["ip_address"]]
    wait_for(lambda: lookup(api, a["container_id"], old)[0] == [], deadline=10, what="the old name is gone")
    assert api.post(f"/api/containers/{new}/kill").status == 200
    wait_for(lambda: lookup(api, a["container_id"], new)[0] == [], deadline=10, what="the name of one that does not run is gone")


def test_a_command_may_ask_before_its_container_is_known(stack, api, make_container):
    """It begins before its record says that it runs: here, by what Redis waits with."""
    b = make_container()

    def held():
        with Pause(stack) as pause, Monitor(stack, api.tenant_id, "qt_ctr_reserve", 1, lambda: pause.now(700)) as monitor:
            began = time.monotonic()
            c = make_container(command=["/bin/sh", "-c", f"nslookup -type=a {b['name']}; echo end; exec sleep 1000"])["container_id"]
            took = time.monotonic() - began
            assert monitor.result.result(60)

        def said():
            lines = [line["message"] for line in api.get(f"/api/containers/{c}/logs").json["logs"]]
            return "end" in lines and "\n".join(lines)

        text = wait_for(said, what="what the command found")
        assert b["ip_address"] in text, text
        return took > 0.6

    assert any(held() for _ in range(10)), "the record was never late"


def test_answers_are_whole(stack, api, other_api, make_container):
    a, b = make_container(), make_container(client=other_api)
    who = a["container_id"]
    answer = inside(stack, api, who, question(f"{a['name']}.{DOMAIN}"))
    assert rcode(answer) == 0 and answer[:2] == b"\x12\x34" and answer[2] & 0x84 == 0x84 and counts(answer) == (1, 1, 0, 0), answer
    assert answer[-4:] == socket.inet_aton(a["ip_address"]), answer
    answer = inside(stack, api, who, question(f"{fresh_name()}.{DOMAIN}"))
    assert rcode(answer) == 3 and counts(answer) == (1, 0, 1, 0) and struct.pack("!HH", SOA, 1) in answer, answer
    answer = inside(stack, api, who, question(f"{a['name']}.{DOMAIN}", qtype=28))
    assert rcode(answer) == 0 and counts(answer) == (1, 0, 1, 0), answer
    answer = inside(stack, api, who, question(f"{a['name']}.{DOMAIN}", edns=4096), tcp=True)
    assert rcode(answer) == 0 and counts(answer) == (1, 1, 0, 1), answer
    for ip, name in ((a["ip_address"], a["name"].encode()), (b["ip_address"], None)):
        reverse = ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
        answer = inside(stack, api, who, question(reverse, qtype=12))
        assert name in answer if name else rcode(answer) == 3, answer
    for bad, code in ((question("x", flags=0x1000), 4), (question("x")[:-1], 1), (question("a.b", qtype=252), 5)):
        assert rcode(inside(stack, api, who, bad)) == code, bad


def test_other_names_are_asked_of_the_nameservers(stack, api, make_container, nameserver):
    who = make_container()["container_id"]
    assert lookup(api, who, "www.example.org")[0] == ["203.0.113.7"]
    assert "NXDOMAIN" in lookup(api, who, "nobody.example.org")[1]
    # A name outside that leads inside is not told.
    answer = inside(stack, api, who, question("inside.example.org"))
    assert rcode(answer) == 2 and counts(answer)[1] == 0, answer
    # Cut by UDP, whole by TCP.
    answer = inside(stack, api, who, question("www.example.org", TXT))
    assert answer[2] & 2 and counts(answer)[1] == 0, answer
    answer = inside(stack, api, who, question("www.example.org", TXT), tcp=True)
    assert rcode(answer) == 0 and counts(answer)[1] == 20 and len(answer) > 4000, answer
    assert ("www.example.org", TXT, True) in nameserver.asked
    # Nobody outside hears of the containers' names.
    lookup(api, who, fresh_name())
    assert not [n for n, _, _ in nameserver.asked if "." not in n or n.endswith("internal")], nameserver.asked


def test_a_flood_is_its_own(stack, api, make_container, nameserver):
    bad, good, b = make_container()["container_id"], make_container()["container_id"], make_container()
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            inside(stack, api, bad, question("www.example.org"), count=20000)

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for _ in range(5):
            assert lookup(api, good, b["name"])[0] == [b["ip_address"]]
            assert lookup(api, good, "www.example.org")[0] == ["203.0.113.7"]
    finally:
        stop.set()
        for t in threads:
            t.join()


def test_the_parts_may_die(stack, api, make_container, nameserver):
    a, b = make_container(), make_container()

    def found():
        return lookup(api, a["container_id"], b["name"])[0] == [b["ip_address"]] and \
            lookup(api, a["container_id"], "www.example.org")[0] == ["203.0.113.7"]

    stack.kill("runtime")  # the sockets are the resolver's, too
    assert found()
    stack.kill("dns")
    wait_for(found, what="names are resolved by the next resolver")
    pid = a["pid"]
    stack.stop("redis")
    try:
        query = question(f"{b['name']}.{DOMAIN}")
        program = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); " \
                  f"s.sendto(bytes.fromhex('{query.hex()}'), ('{stack.settings['gateway']}', 53)); print(s.recv(512)[-4:].hex())"
        r = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", "-c", program], capture_output=True, text=True,
                           timeout=60, stdin=subprocess.DEVNULL)
        assert r.stdout.strip() == socket.inet_aton(b["ip_address"]).hex(), r
    finally:
        stack.start("redis")
    wait_for(lambda: lookup(api, a["container_id"], b["name"])[0] == [b["ip_address"]], what="Redis is read again")
    well = {"name": "dns", "ok": True, "detail": "the node's resolver is at work"}
    wait_for(lambda: well in api.get(f"/api/containers/{a['container_id']}/network/diagnostics")["checks"], what="it is known to be there")
    assert os.path.exists(f"{stack.run}/dns.ready")
