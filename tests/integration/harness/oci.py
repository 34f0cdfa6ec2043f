"""Images made by the tests, registries to pull them from: Debian's docker-registry, and one of our own that does as it is told."""
import base64
import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse

from .stack import free_port
from .wait import wait_for

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution."
BUSYBOX = "/bin/busybox"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def member(name, data=b"", kind=tarfile.REGTYPE, mode=0o644, uid=0, gid=0, link="", **more):
    t = tarfile.TarInfo(name)
    t.type, t.mode, t.uid, t.gid, t.linkname, t.size = kind, mode, uid, gid, link, len(data)
    for k, v in more.items():
        setattr(t, k, v)
    return t, data


def directory(name, mode=0o755, **more):
    return member(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name, link):
    return member(name, kind=tarfile.SYMTYPE, mode=0o777, link=link)


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for info, data in members:
            t.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def busybox_layer(*more, applets=("sh", "cat", "ls", "id", "env", "sleep", "echo", "pwd", "stat", "test", "grep", "wc")):
    with open(BUSYBOX, "rb") as f:
        program = f.read()
    return tar(directory("bin"), member("bin/busybox", program, mode=0o755), *(symlink(f"bin/{a}", "busybox") for a in applets),
               directory("etc"), directory("tmp", mode=0o1777), *more)


def host_layer(*programs, more=()):
    """PROGRAMS of this machine (Debian packages of scripts/deps), with the libraries that they need, bash as sh, the terminals' descriptions and a UTF-8 locale."""
    paths, members = {"/usr/bin/bash", *more}, {}
    for p in (shutil.which(p) for p in programs):
        paths.add(p)
    for p in sorted(paths):
        if os.path.isfile(p):
            out = subprocess.run(["ldd", p], capture_output=True, text=True, check=True).stdout
            paths = paths | set(re.findall(r"(/\S+) \(0x", out))

    def add(path, name):
        if os.path.isdir(path):
            for entry in os.listdir(path):
                add(f"{path}/{entry}", f"{name}/{entry}")
            return
        with open(path, "rb") as f:
            members[name] = member(name, f.read(), mode=0o755)

    for p in sorted(paths | {"/lib/terminfo", "/usr/lib/locale/C.utf8"}):
        # On a Debian of today /bin and /lib are links to those of /usr.
        add(os.path.realpath(p), re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", p)[1:])
    return tar(*(directory(f"usr/{d}") for d in ("bin", "lib", "lib64")), *(symlink(d, f"usr/{d}") for d in ("bin", "lib", "lib64")), symlink("usr/bin/sh", "bash"),
               directory("etc"), member("etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n"), directory("root"), directory("tmp", mode=0o1777), *members.values())


def fresh_layer():
    """One that no store has yet, not even that of a test before: it must be fetched."""
    return busybox_layer(member("fresh", os.urandom(400000)))


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


PACK = {"": lambda d: d, "+gzip": lambda d: gzip.compress(d, 1, mtime=0), "+zstd": zstd}


class Image:
    """layers: tars, the bottom first. Blobs and manifest are made at once and can be spoiled before they are pushed."""

    def __init__(self, layers, config=None, packing="+gzip", docker=False, architecture="amd64", history=True, diff_ids=None):
        self.blobs = {}
        packs = [packing] * len(layers) if isinstance(packing, str) else packing
        self.layers = []
        for data, pack in zip(layers, packs):
            blob = PACK[pack](data)
            media = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else OCI + "layer.v1.tar" + pack
            self.layers.append({"mediaType": media, "digest": self.add(blob), "size": len(blob)})
        self.config = {"architecture": architecture, "os": "linux", "config": config or {},
                       "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha(d) for d in layers]}}
        if history:
            self.config["history"] = [{"created": "2026-01-02T03:04:05Z", "created_by": f"layer {i}"} for i in range(len(layers))]
            self.config["history"].append({"created_by": "CMD", "empty_layer": True, "comment": "none"})
        blob = json.dumps(self.config).encode()
        self.media = DOCKER + "manifest.v2+json" if docker else OCI + "manifest.v1+json"
        self.manifest = {"schemaVersion": 2, "mediaType": self.media, "layers": self.layers, "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json" if docker else OCI + "config.v1+json",
            "digest": self.add(blob), "size": len(blob)}}

    def add(self, blob):
        self.blobs[sha(blob)] = blob
        return sha(blob)

    @property
    def text(self):
        return json.dumps(self.manifest).encode()

    def descriptor(self, **platform):
        return {"mediaType": self.media, "digest": sha(self.text), "size": len(self.text), "platform": platform}


def index(*descriptors, docker=False):
    media = DOCKER + "manifest.list.v2+json" if docker else OCI + "index.v1+json"
    return media, json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": list(descriptors)}).encode()


class Authority:
    """A certificate authority of the tests, in DIR: ca.crt, and for 127.0.0.3 server.crt and server.key."""
    HOST = "127.0.0.3"

    def __init__(self, directory):
        self.dir = directory
        with open(f"{directory}/ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName=IP:{self.HOST}\n")
        new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        for command in ((*new, "-x509", "-subj", "/CN=tests", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt"),
                        (*new, "-subj", "/CN=registry", "-keyout", "server.key", "-out", "server.csr"),
                        ("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
                         "-out", "server.crt")):
            subprocess.run(command, cwd=directory, capture_output=True, check=True)

    def sign(self, data):
        """By the server's key, ES256: r and s, 32 bytes each, out of the DER that openssl writes."""
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{self.dir}/server.key"], input=data, capture_output=True, check=True).stdout
        out, at = b"", 2
        for _ in range(2):
            length = der[at + 1]
            out += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
            at += 2 + length
        return out


class Tokens:
    """A token service by TLS, as Docker's registry wants one: signed tokens to who knows the password of "quilt", for what is asked."""

    def __init__(self, authority, password):
        self.asked = []
        outer = self
        pem = open(f"{authority.dir}/server.crt", encoding="ascii").read()
        chain = "".join(pem.split("-----")[2].split())

        def part(o):
            return base64.urlsafe_b64encode(o if isinstance(o, bytes) else json.dumps(o).encode()).rstrip(b"=")

        def token(query):
            now = int(time.time())
            kind, name, actions = query["scope"][0].split(":")
            head = part({"typ": "JWT", "alg": "ES256", "x5c": [chain]})
            body = part({"iss": "tests", "sub": "quilt", "aud": query["service"][0], "exp": now + 300, "nbf": now - 10, "iat": now, "jti": os.urandom(8).hex(),
                         "access": [{"type": kind, "name": name, "actions": actions.split(",")}]})
            return (head + b"." + body + b"." + part(authority.sign(head + b"." + body))).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.asked.append(self.path)
                ok = self.headers.get("Authorization") == "Basic " + base64.b64encode(f"quilt:{password}".encode()).decode()
                text = json.dumps({"token": token(urllib.parse.parse_qs(self.path.split("?")[1]))} if ok else {}).encode()
                self.send_response(200 if ok else 401)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(f"{authority.dir}/server.crt", f"{authority.dir}/server.key")
        self.server = http.server.ThreadingHTTPServer((authority.HOST, 0), Handler)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        self.realm = f"https://{authority.HOST}:{self.server.server_address[1]}/token"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Registry:
    """docker-registry on loopback. PASSWORD: a private one, user "quilt". AUTHORITY: by TLS, at its HOST; what is pushed goes past that (DATA: another's, which
    is not so shut). TOKENS: who has a token of theirs."""

    def __init__(self, password=None, authority=None, data=None, tokens=None):
        self.dir = tempfile.TemporaryDirectory(prefix="qt-registry-")
        self.password, self.address = password, authority.HOST if authority else "127.0.0.1"
        self.data = data or f"{self.dir.name}/data"
        self.tls = ssl.create_default_context(cafile=f"{authority.dir}/ca.crt") if authority else None
        config = {"version": "0.1", "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": self.data}}, "http": {}}
        if authority:
            config["http"]["tls"] = {"certificate": f"{authority.dir}/server.crt", "key": f"{authority.dir}/server.key"}
        if tokens:
            config["auth"] = {"token": {"realm": tokens.realm, "service": "registry", "issuer": "tests", "rootcertbundle": f"{authority.dir}/ca.crt"}}
        elif password:
            import crypt
            with open(f"{self.dir.name}/htpasswd", "w", encoding="ascii") as f:
                f.write("quilt:" + crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)) + "\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": f"{self.dir.name}/htpasswd"}}
        while not self.started(config):
            pass

    def started(self, config):
        """False: somebody took the port before it could."""
        self.port = free_port()
        self.host = config["http"]["addr"] = f"{self.address}:{self.port}"
        with open(f"{self.dir.name}/config.yml", "w", encoding="ascii") as f:
            json.dump(config, f)  # which is YAML
        with open(f"{self.dir.name}/log", "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", f"{self.dir.name}/config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or self.try_call("GET", "/v2/") in (200, 401), what="the registry answers")
        if self.process.poll() is None:
            return True
        with open(f"{self.dir.name}/log", encoding="utf-8", errors="replace") as f:
            text = f.read()
        assert "address already in use" in text, text
        return False

    def close(self):
        self.process.kill()
        self.process.wait()
        self.dir.cleanup()

    def headers(self, **more):
        h = dict(more)
        if self.password:
            h["Authorization"] = "Basic " + base64.b64encode(f"quilt:{self.password}".encode()).decode()
        return h

    def call(self, method, path, body=None, **headers):
        c = (http.client.HTTPSConnection(self.address, self.port, timeout=30, context=self.tls) if self.tls else
             http.client.HTTPConnection(self.address, self.port, timeout=30))
        try:
            c.request(method, path, body, self.headers(**headers))
            r = c.getresponse()
            r.read()
            return r.status, dict(r.getheaders())
        finally:
            c.close()

    def try_call(self, *args):
        try:
            return self.call(*args)[0]
        except OSError:
            return None

    def push(self, repository, tag, image):
        for digest, blob in image.blobs.items():
            status, headers = self.call("POST", f"/v2/{repository}/blobs/uploads/")
            assert status == 202, status
            where = headers["Location"].split(self.host, 1)[-1]
            status, _ = self.call("PUT", where + ("&" if "?" in where else "?") + "digest=" + digest, blob)
            assert status == 201, status
        self.put_manifest(repository, tag, image.media, image.text)
        return f"{self.host}/{repository}:{tag}"

    def put_manifest(self, repository, tag, media, text):
        status, _ = self.call("PUT", f"/v2/{repository}/manifests/{tag}", text, **{"Content-Type": media})
        assert status == 201, status


class Evil:
    """A registry in which `routes` say what comes: path -> bytes, (status, headers, bytes), or a function of the handler."""

    def __init__(self, address="127.0.0.1"):
        self.routes, self.seen = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.seen.append((self.path, dict(self.headers)))
                what = outer.routes.get(self.path.split("?")[0], (404, {}, b"{}"))
                if callable(what):
                    what(self)
                    return
                status, headers, body = (200, {}, what) if isinstance(what, bytes) else what
                self.reply(status, headers, body)

            def reply(self, status, headers, body, length=None):
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.host = f"{address}:{self.server.server_address[1]}"
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, repository, tag, image):
        """IMAGE as it is, each part a route that a test can replace."""
        text = image.text
        for what in (tag, sha(text)):
            self.routes[f"/v2/{repository}/manifests/{what}"] = (200, {"Content-Type": image.media}, text)
        for digest, blob in image.blobs.items():
            self.routes[f"/v2/{repository}/blobs/{digest}"] = blob
        return f"{self.host}/{repository}:{tag}"
