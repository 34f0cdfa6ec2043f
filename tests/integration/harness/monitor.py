"""What Redis is asked, as it is asked, and writes that wait."""
import concurrent.futures
import os
import re
import subprocess


def client(stack, *args, stdin):
    """redis-cli, the administrator's, with a pipe to read from."""
    with open(f"{stack.etc}/redis-admin.secret", encoding="ascii") as f:
        name, password = f.read().strip().split(":", 1)
    return subprocess.Popen(["redis-cli", "-s", f"{stack.run}/redis.sock", "--user", name, *args], stdin=stdin, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "REDISCLI_AUTH": password})


class Monitor:
    """kill() as soon as Redis has carried out so many functions of the tenant since PATTERN was seen first."""

    def __init__(self, stack, tenant, pattern, steps, kill):
        self.process = client(stack, "MONITOR", stdin=subprocess.DEVNULL)
        assert self.process.stdout.readline() == "OK\n"
        self.tenant, self.pattern, self.steps, self.kill = tenant, re.compile(pattern), steps, kill
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.result = self.pool.submit(self.watch)

    def watch(self):
        seen = 0
        for line in self.process.stdout:
            if '"FCALL' in line and self.tenant in line and (seen or self.pattern.search(line)):
                seen += "qt_op_get" not in line
                if seen == self.steps:
                    self.kill()
                    return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.pool.shutdown()


class Pause:
    """Connected already, so that nothing is lost when it comes to it: now(), and what writes waits for so many ms; what only reads does not."""

    def __init__(self, stack):
        self.process = client(stack, stdin=subprocess.PIPE)
        assert self.ask("PING") == "PONG\n"

    def ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def now(self, ms):
        assert self.ask(f"CLIENT PAUSE {ms} WRITE") == "OK\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
