"""A headless Chromium that is told what to do by its DevTools protocol. It is the one of the image prod-gui, run from the image's tree on this machine: no second one has
to be fetched for the tests."""
import base64
import ctypes
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

from .wait import wait_for

# In namespaces of its own, so that nothing is left of it: the tree with programs that may be executed, /proc, /dev, an empty /tmp. Nobody's user; it has no sandbox
# there (the image's flags), and is shown our own pages only. Its network is a loopback alone: where links come and go, as they do beside tests, it gives up what it loads.
START = r"""
set -e
root=$1 in=$2 out=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro,nosuid,exec "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
ip link set lo up
# Not executed in our place: who changes its user is not told any more when its parent dies, and all others die with this one.
chroot --userspec=65534:65534 "$root" /usr/bin/env HOME=/tmp /usr/bin/chromium "$@" 3<&$in 4>&$out
"""
CLONE_NEWNET = 0x40000000


def spki(certificate):
    """What the certificate's key is pinned by: the base64 of its SHA-256."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    return base64.b64encode(subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der, check=True, capture_output=True).stdout).decode()


def in_thread(fn):
    """FN's value, from a thread that is gone then: what it did to itself is nobody else's."""
    out = []
    t = threading.Thread(target=lambda: out.append(fn()))
    t.start()
    t.join()
    return out[0]


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Browser:
    """HOST:PORT is what it can reach."""

    def __init__(self, root, certificate, host, port, size=(1024, 768)):
        self.log = tempfile.TemporaryFile()
        self.numbers = itertools.count(1)
        self.events, self.text, self.session = [], b"", None
        self.listener = None
        his_in, self.to = os.pipe()
        self.of, his_out = os.pipe()
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--ipc", "--net", "--fork", "--kill-child", "bash", "-c", START, "bash", root, str(his_in), str(his_out),
             "--headless", "--hide-scrollbars", f"--window-size={size[0]},{size[1]}", "--remote-debugging-pipe", "--user-data-dir=/tmp/profile",
             "--disable-background-networking",
             "--disable-gpu", "--disable-extensions", "--disable-component-update", "--disable-sync", "--no-pings", f"--ignore-certificate-errors-spki-list={spki(certificate)}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=(his_in, his_out))
        os.close(his_in)
        os.close(his_out)
        try:
            page = wait_for(lambda: next((t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"), None), what="a page")
            self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
            self._reach(host, port)
        except BaseException:
            self.close()
            raise

    def _reach(self, host, port):
        """Whoever connects to the address there comes out here."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            init = int(f.read().split()[0])

        def listen():
            with open(f"/proc/{init}/ns/net", "rb") as ns:
                assert ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), CLONE_NEWNET) == 0
            return socket.create_server((host, port), backlog=128)

        def serve():
            while True:
                try:
                    a, _ = self.listener.accept()
                except OSError:
                    return
                b = socket.create_connection((host, port))
                for pair in ((a, b), (b, a)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

        self.listener = in_thread(listen)
        threading.Thread(target=serve, daemon=True).start()

    def _message(self, deadline):
        while b"\0" not in self.text:
            if not select.select([self.of], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"Chromium does not answer: {self._log()}")
            part = os.read(self.of, 1 << 20)
            assert part, f"Chromium ended: {self._log()}"
            self.text += part
        one, self.text = self.text.split(b"\0", 1)
        return json.loads(one)

    def _log(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")[-3000:]

    def call(self, method, **params):
        number, deadline = next(self.numbers), time.monotonic() + 120
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            m = self._message(deadline)
            if m.get("id") == number:
                assert "error" not in m, m
                return m["result"]
            if "method" in m:
                self.events.append(m)

    def open(self, url):
        r = self.call("Page.navigate", url=url)
        assert "errorText" not in r, r

    def js(self, expression):
        """The value of EXPRESSION; None while the page is on its way to another."""
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return r["result"].get("value")

    def screenshot(self, path):
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def click(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for what in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        for c in text:
            key = "Enter" if c == "\n" else c
            code = {"\n": "Enter", " ": "Space", "/": "Slash", "-": "Minus", ".": "Period"}.get(c) or (f"Key{c.upper()}" if c.isalpha() else f"Digit{c}")
            for what in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=what, key=key, code=code, text="\r" if c == "\n" else c)

    def complaints(self):
        """What the page logged, or could not load."""
        self.js("0")
        out = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        return [f"{e['level']}: {e['text']} {e.get('url', '')}" for e in out if e["level"] in ("error", "warning")]

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        os.close(self.to)
        os.close(self.of)
        self.log.close()
