"""Every answer of a run, one JSON line each: what the schema test reads."""
import json
import threading


class Recorder:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.file = open(path, "a", encoding="utf-8")

    def __call__(self, method, path, reply):
        body = reply.body.decode("utf-8", "surrogateescape")
        line = json.dumps({
            "method": method, "path": path, "status": reply.status,
            "content_type": reply.headers.get("Content-Type"), "body": body,
        })
        with self.lock:
            self.file.write(line + "\n")
            self.file.flush()

    def lines(self):
        with open(self.path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]
