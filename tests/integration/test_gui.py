"""Desktops: a prod-gui container, seen and used by a browser, and by whom it is not to be."""
import hashlib
import hmac
import http.cookies
import os
import re
import ssl
import time

import pytest
import websocket

from harness.browser import Browser
from harness.client import Reply
from harness.fixtures import fresh_name
from harness.stack import TOP
from harness.wait import wait_for
from test_refusals import refused

pytestmark = pytest.mark.gui

COOKIE = "__Secure-quilt-gui"
BACKGROUND = [0x25, 0x33, 0x79]  # of the theme that the image's recipe chooses


@pytest.fixture(scope="module")
def desktop(api):
    """A prod-gui container whose desktop is up: its id."""
    r = api.post("/api/containers", {"name": fresh_name("desktop"), "image": "prod-gui", "memory_limit_mb": 1024, "cpu_limit_percent": 200})
    assert r.status == 201, r
    # Measured, and at that time nothing of it can be there.
    assert r.json["gui_ready"] is False and r.json["checks"]["gui_backend_reachable"] is False and r.json["exec_ready"] is True, r
    made = r.json["container_id"]
    wait_ready(api, made)
    yield made
    wait_for(lambda: api.delete(f"/api/containers/{made}?timeout_ms=0").status in (200, 404), what="the desktop is deleted")


def ready(api, container):
    r = api.get(f"/api/containers/{container}/ready")
    assert r.status == 200, r
    return r.json


def wait_ready(api, container):
    now = wait_for(lambda: (lambda x: x if x["gui_ready"] else None)(ready(api, container)), 120, what="the desktop is up")
    assert now["ready"] is True and now["checks"]["gui_backend_reachable"] is True, now


def test_not_made(api, stack):
    """A node without the image says who makes it."""
    images = f"{stack.pool}/images"
    os.rename(f"{images}/prod-gui", f"{images}/.aside")
    try:
        for query in ("", "?execution=async"):
            r = refused(api.post(f"/api/containers{query}", {"name": fresh_name(), "image": "prod-gui"}), 404, "IMAGE_NOT_FOUND")
            assert "image build prod-gui" in r["hint"], r
    finally:
        os.rename(f"{images}/.aside", f"{images}/prod-gui")


def test_no_command(api):
    r = refused(api.post("/api/containers", {"name": fresh_name(), "image": "prod-gui", "command": ["true"]}), 400, "VALIDATION_ERROR")
    assert r["details"]["field"] == "/command" and "command" in r["hint"], r


@pytest.fixture
def link(api, desktop):
    r = api.get(f"/api/containers/{desktop}/gui-url")
    assert r.status == 200, r
    assert r.json["gui_url"].startswith(f"/gui/{desktop}/?gui_token=") and 0 < r.json["expires_at"] - time.time() <= 300, r
    return r.json["gui_url"]


def cookie_of(reply):
    jar = http.cookies.SimpleCookie(reply.headers["Set-Cookie"])
    return jar[COOKIE]


def signed(stack, kind, until, tenant, key, container):
    """A pass as the server makes it."""
    with open(f"{stack.etc}/gui.secret", "rb") as f:
        mac = hmac.new(f.read(), f"quilt-gui-1 {kind} {until} {tenant} {key} {container}".encode(), hashlib.sha256).hexdigest()
    return f"{until}.{tenant}.{key}.{mac}"


class Rfb:
    """The WebSocket of a desktop."""

    def __init__(self, api, path, origin="", **kw):
        stack = api.stack
        self.ws = websocket.create_connection(f"wss://{stack.host}:{stack.port}{path}", timeout=60, origin=stack.url if origin == "" else origin,
                                              suppress_origin=origin is None, sslopt={"ca_certs": stack.ca, "cert_reqs": ssl.CERT_REQUIRED}, **kw)
        self.data = b""
        if api.record:
            api.record("GET", path.split("?")[0], Reply(101, {}, b""))

    def read(self, n):
        while len(self.data) < n:
            op, part = self.ws.recv_data()
            assert op == websocket.ABNF.OPCODE_BINARY, (op, part)
            self.data += part
        out, self.data = self.data[:n], self.data[n:]
        return out

    def until_closed(self):
        while True:
            op, part = self.ws.recv_data()
            if op == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(part[:2], "big")


def test_browser(api, stack, desktop, link):
    """The desktop is seen, a window clicked at, and a command typed into it; what it does is then there."""
    as_user = "cd /home/user && DISPLAY=:1 HOME=/home/user exec setpriv --reuid=user --regid=user --clear-groups "
    r = api.post(f"/api/containers/{desktop}/exec", {"command": ["sh", "-c", as_user + "/usr/lib/quilt/gui-terminal -geometry 30x6+600+400 -name second"], "detach": True})
    assert r.status == 202, r
    wait_for(lambda: api.exec(desktop, "sh", "-c", as_user + "icesh clients")["stdout"].count("XTerm)") == 2, what="both windows")
    browser = Browser(stack.image_root("prod-gui"), f"{stack.etc}/tls/server.crt", stack.host, stack.port)
    shot = f"{TOP}/build/gui/desktop-{stack.variant}.png"
    try:
        browser.open(stack.url + link)
        wait_for(lambda: browser.js("document.documentElement.classList.contains('noVNC_connected')"), what="noVNC is connected")
        # Its address shows no pass any more, and neither do scripts get at the cookie.
        assert browser.js("location.pathname") == f"/gui/{desktop}/vnc.html" and "token" not in browser.js("location.href")
        assert browser.js("document.cookie") == ""
        # The window manager puts windows elsewhere when the screen becomes the browser's size.
        def seen():
            m = re.search(r"\(xterm\.XTerm\) +\d+x\d+\+(\d+)\+(\d+)", api.exec(desktop, "sh", "-c", as_user + "icesh clients")["stdout"])
            x, y = (int(n) + 200 for n in m.groups())
            s = browser.js(f"""(() => {{ const c = document.querySelector('#noVNC_container canvas'), r = c.getBoundingClientRect();
                               const at = (x, y) => [...c.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3);
                               return {{background: at(c.width / 2, c.height - 60), window: at({x}, {y}), x: r.x + {x} * r.width / c.width, y: r.y + {y} * r.height / c.height}}; }})()""")
            return s if s and s["background"] == BACKGROUND and s["window"] == [255, 255, 255] else None

        at = wait_for(seen, what="the desktop with its window")
        # The window that was opened last has the keyboard: only a click gives it to the other.
        browser.click(at["x"], at["y"])
        browser.type("tty >/tmp/typed\n")
        typed = wait_for(lambda: api.exec(desktop, "cat", "/tmp/typed")["stdout"].strip() or None, what="what the command did")
        first = api.exec(desktop, "sh", "-c", "ps -o tty= --ppid $(pgrep -f '^xterm.* -T Terminal$')")["stdout"].strip()
        assert typed == f"/dev/{first}" and first.startswith("pts/"), (typed, first)
    finally:
        browser.screenshot(shot)
        complaints = browser.complaints()
        browser.close()
    assert os.path.getsize(shot) > 5000
    assert not [c for c in complaints if "Content Security Policy" in c or "Content-Security-Policy" in c], complaints
    # Neither pass is in any log.
    assert "gui_token" not in stack.logs(100000)


def test_link_then_cookie(api, anonymous, desktop, link):
    page = anonymous.get(link)
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html"), page
    assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-store"
    assert "script-src 'self';" in page.headers["Content-Security-Policy"] and page.headers["X-Content-Type-Options"] == "nosniff"
    cookie = cookie_of(page)
    assert cookie["path"] == f"/gui/{desktop}/" and cookie["secure"] and cookie["httponly"] and cookie["samesite"] == "Strict", cookie
    sent = {"Cookie": f"other=1; {COOKIE}={cookie.value}"}
    for path, kind in (("vnc.html", "text/html"), ("core/rfb.js", "text/javascript"), ("app/styles/base.css", "text/css"),
                       ("app/images/icons/novnc-16x16.png", "image/png"), ("", "text/html")):
        r = anonymous.get(f"/gui/{desktop}/{path}", headers=sent)
        assert r.status == 200 and r.headers["Content-Type"].startswith(kind) and "Set-Cookie" not in r.headers, (path, r)
    assert anonymous.get(f"/gui/{desktop}/app/images/icons/novnc-16x16.png", headers=sent).body.startswith(b"\x89PNG")
    # An old link that is opened again; and what is not there.
    assert anonymous.get(f"/gui/{desktop}/?gui_token=1.ten_x.key_x.00", headers=sent).status == 200
    for path in ("nothing.js", "app", "%2e%2e/%2e%2e/etc/passwd", "app/..%2f..%2f..%2fdoc/novnc/copyright"):
        assert anonymous.get(f"/gui/{desktop}/{path}", headers=sent).status in (400, 404), path
    # The cookie is for this alone: no API, and no other desktop.
    refused(anonymous.get(f"/api/containers/{desktop}", headers=sent), 401, "UNAUTHORIZED")
    refused(anonymous.get(f"/gui/ctr_{'0' * 25}/vnc.html", headers=sent), 401, "UNAUTHORIZED")
    refused(api.post(f"/gui/{desktop}/vnc.html"), 405, "METHOD_NOT_ALLOWED")


def test_passes(api, other_api, anonymous, stack, desktop, link):
    path, good = link.split("?gui_token=")
    until, tenant, key, mac = good.split(".")
    later = int(time.time()) + 100
    assert signed(stack, "l", until, tenant, key, desktop) == good
    assert anonymous.get(f"{path}?gui_token={signed(stack, 'l', later, tenant, key, desktop)}").status == 200
    bad = {
        "none": "",
        "changed": f"{until}.{tenant}.{key}.{'0' if mac[0] != '0' else '1'}{mac[1:]}",
        "cut": good[:-1],
        "longer": good + "0",
        "of more parts": good + ".x",
        "prolonged": f"{int(until) + 1000}.{tenant}.{key}.{mac}",
        "another key": f"{until}.{tenant}.key_{'0' * 25}.{mac}",
        "over": signed(stack, "l", int(time.time()) - 1, tenant, key, desktop),
        "a cookie's": signed(stack, "c", later, tenant, key, desktop),
        "another container's": signed(stack, "l", later, tenant, key, "ctr_" + "0" * 25),
        "of a key that is not there": signed(stack, "l", later, tenant, "key_" + "0" * 25, desktop),
        "another tenant's key": signed(stack, "l", later, "ten_" + "0" * 25, key, desktop),
    }
    for what, text in bad.items():
        r = anonymous.get(f"{path}?gui_token={text}" if text else path)
        assert r.status == 401 and r.json["error_code"] == "UNAUTHORIZED", (what, r)
        assert "Set-Cookie" not in r.headers, what
    # A cookie's pass is no better in a cookie when it is a link's, or over.
    for text in (good, signed(stack, "c", int(time.time()) - 1, tenant, key, desktop)):
        refused(anonymous.get(path, headers={"Cookie": f"{COOKIE}={text}"}), 401, "UNAUTHORIZED")
    # Another tenant: neither a link nor, with his own key and his own pass, the page.
    refused(other_api.get(f"/api/containers/{desktop}/gui-url"), 404, "CONTAINER_NOT_FOUND")
    refused(other_api.get(path), 404, "CONTAINER_NOT_FOUND")


def test_revoked_key(make_tenant, api, stack, anonymous, desktop):
    client = make_tenant.client(make_tenant.key(api.tenant_id, "gui"), api.tenant_id)
    link = client.get(f"/api/containers/{desktop}/gui-url").json["gui_url"]
    cookie = cookie_of(anonymous.get(link)).value
    stack.ctl("key", "revoke", link.split(".")[2])
    refused(anonymous.get(link), 401, "UNAUTHORIZED")
    refused(anonymous.get(f"/gui/{desktop}/vnc.html", headers={"Cookie": f"{COOKIE}={cookie}"}), 401, "UNAUTHORIZED")


def test_socket(api, anonymous, desktop, link):
    cookie = f"{COOKIE}={cookie_of(anonymous.get(link)).value}"
    path = f"/gui/{desktop}/websockify"
    for kw, status in (({}, 401), ({"cookie": cookie, "origin": "https://elsewhere.example"}, 403), ({"cookie": cookie, "origin": None}, 403),
                       ({"cookie": cookie, "subprotocols": ["binary"]}, 400)):
        with pytest.raises(websocket.WebSocketBadStatusException) as e:
            Rfb(api, path, **kw)
        assert e.value.status_code == status, kw
    two = [Rfb(api, path, cookie=cookie) for _ in range(2)]
    for c in two:
        assert c.read(12).startswith(b"RFB 003."), c.data
        c.ws.send_binary(b"RFB 003.008\n")
        kinds = c.read(1)[0]
        assert 1 in c.read(kinds)
        c.ws.send_binary(b"\x01")
        assert c.read(4) == bytes(4)
        c.ws.send_binary(b"\x01")
        width, height = int.from_bytes(c.read(2), "big"), int.from_bytes(c.read(2), "big")
        assert width >= 640 and height >= 480
    # Text is none of this protocol.
    two[0].ws.send("hello")
    assert two[0].until_closed() == 1003
    two[1].ws.close()
    # A link opens it, too: for clients that keep no cookies.
    with_link = Rfb(api, f"{path}?{link.split('?')[1]}")
    assert with_link.read(12).startswith(b"RFB 003.")
    with_link.ws.close()


def test_refused_sockets(api, desktop, container, stack):
    """Before there is a WebSocket, as the API's ordinary answers."""
    def ask(container, client=api, **more):
        return client.get(f"/gui/{container}/websockify", headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                                                   "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": stack.url, **more})

    refused(api.get(f"/gui/{desktop}/websockify", headers={"Origin": stack.url}), 400, "BAD_REQUEST")
    refused(ask(desktop, Origin=None), 403, "FORBIDDEN")
    refused(ask(f"ctr_{'0' * 25}"), 404, "CONTAINER_NOT_FOUND")
    refused(ask(container["container_id"]), 400, "VALIDATION_ERROR")
    assert api.post(f"/api/containers/{container['container_id']}/kill").status == 200
    refused(ask(container["container_id"]), 409, "INVALID_STATE")
    assert api.exec(desktop, "mv", "/run/gui/vnc", "/run/gui/away")["exit_code"] == 0
    try:
        refused(ask(desktop), 409, "GUI_NOT_READY")
        refused(api.get(f"/api/containers/{desktop}/gui-url"), 409, "GUI_NOT_READY")
        assert ready(api, desktop)["gui_ready"] is False
    finally:
        assert api.exec(desktop, "mv", "/run/gui/away", "/run/gui/vnc")["exit_code"] == 0
    key = {"X-Api-Key": api.key}
    some = [Rfb(api, f"/gui/{desktop}/websockify", header=key) for _ in range(stack.settings["tenant_streams"])]
    refused(ask(desktop), 429, "QUOTA_EXCEEDED")
    for c in some:
        c.ws.close()
    images = f"{stack.pool}/images"
    os.rename(f"{images}/prod-gui", f"{images}/.aside")
    try:
        refused(api.get(f"/gui/{desktop}/vnc.html"), 404, "IMAGE_NOT_FOUND")
    finally:
        os.rename(f"{images}/.aside", f"{images}/prod-gui")


def test_inside(api, desktop):
    """What the image promises: nothing listens on the network, and the desktop is not root's."""
    assert api.exec(desktop, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A '")["stdout"] == "0\n"
    out = api.exec(desktop, "sh", "-c", "ps -eo user=,comm= | sort -u")["stdout"].split("\n")
    users = {line.split()[1]: line.split()[0] for line in out if line}
    for program in ("Xtigervnc", "icewm", "xterm"):
        assert users[program] == "user", users
    assert api.exec(desktop, "stat", "-c", "%a %U", "/run/gui/vnc")["stdout"] == "600 user\n"


def test_ready_follows(api, anonymous, desktop, link):
    """Whoever ends the X server sees gui_ready fall, and rise again; those who looked on hear of it."""
    rfb = Rfb(api, f"/gui/{desktop}/websockify?{link.split('?')[1]}")
    rfb.read(12)
    # Stopped it accepts connections (the kernel does), and does not answer.
    assert api.exec(desktop, "pkill", "-STOP", "Xtigervnc")["exit_code"] == 0
    now = ready(api, desktop)
    assert now["gui_ready"] is False and now["ready"] is False and now["exec_ready"] is True and now["checks"]["gui_backend_reachable"] is False, now
    assert api.exec(desktop, "pkill", "-KILL", "Xtigervnc")["exit_code"] == 0
    assert rfb.until_closed() == 1000
    wait_ready(api, desktop)


def test_no_desktop(api, container):
    """Other images have none, and say nothing of it."""
    made = container["container_id"]
    assert "gui_ready" not in ready(api, made)
    refused(api.get(f"/api/containers/{made}/gui-url"), 400, "VALIDATION_ERROR")
    refused(api.get(f"/gui/{made}/"), 400, "VALIDATION_ERROR")
    refused(api.get(f"/api/containers/{made}/gui"), 404, "NOT_FOUND")
    refused(api.get(f"/api/containers/ctr_{'0' * 25}/gui-url"), 404, "CONTAINER_NOT_FOUND")


def test_ends(api, anonymous, make_container):
    """Stopped, started, deleted."""
    made = make_container(image="prod-gui", memory_limit_mb=512, strict=True)["container_id"]
    wait_ready(api, made)
    link = api.get(f"/api/containers/{made}/gui-url").json["gui_url"]
    rfb = Rfb(api, f"/gui/{made}/websockify?{link.split('?')[1]}")
    assert api.post(f"/api/containers/{made}/kill").status == 200
    assert rfb.until_closed() == 1000
    refused(api.get(f"/api/containers/{made}/gui-url"), 409, "INVALID_STATE")
    assert ready(api, made)["gui_ready"] is False
    api.operation(api.post(f"/api/containers/{made}/start"))
    wait_ready(api, made)
    # The link was for the container, and still is.
    assert anonymous.get(link).status == 200
    assert api.delete(f"/api/containers/{made}?timeout_ms=0").status == 200
    refused(anonymous.get(link), 404, "CONTAINER_NOT_FOUND")
    refused(api.get(f"/api/containers/{made}/gui-url"), 404, "CONTAINER_NOT_FOUND")
