"""Brokers, their workers and a Prometheus that looks at all of them, on loopback and on free ports."""
import atexit
import http.client
import json
import pathlib
import re
import socket
import subprocess
import time
import urllib.parse

DOCKER = pathlib.Path(__file__).resolve().parents[2] / "docker"
# A minute of the rules is so long here: their times are those of a real day, and nobody waits for that in a test.
MINUTE_MS = 600
SCRAPE_MS = 200


def eventually(what, seconds=20, why="it does not come to pass"):
    end = time.monotonic() + seconds
    while not (result := what()):
        if time.monotonic() > end:
            raise AssertionError(why() if callable(why) else why)
        time.sleep(0.05)
    return result


class Processes:
    """What is started goes with this object; what it says is in a log of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.running = []

    def start(self, log, *words, cwd=None):
        with open(self.folder / f"{log}.log", "ab") as out:
            process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd)
        atexit.register(process.kill)  # should what starts it not come to its own end
        self.running.append(process)
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self):
        for process in self.running:
            process.kill()
        for process in self.running:
            process.wait()


class Service(Processes):
    """A broker with its workers."""

    def __init__(self, binary, folder, *options):
        super().__init__(folder)
        self.binary = binary
        self.start("broker", binary, "broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", "--http", "127.0.0.1:0",
                   *options)
        ready = eventually(lambda: re.search(r"clients=(\S+?) http=(\S+?) nodes=([^\s,]+)", self.log("broker")),
                           why=lambda: self.log("broker"))
        self.clients, self.http, self.nodes = ready.groups()

    def worker(self, name, *options, cwd=None):
        self.start(name, self.binary, "worker", "--broker", self.nodes, "--name", name, *options, cwd=cwd)

    def has_nodes(self, count):
        said = self.says("status", "--wait", "10s", "--expect-nodes", str(count))
        assert f"\n{count} nodes," in said, said

    def says(self, *words):
        """What a command prints about this broker."""
        asked = subprocess.run([self.binary, *words, "--broker", self.clients], capture_output=True, text=True, timeout=30)
        return asked.stdout + asked.stderr

    def sends(self, service, *words):
        return subprocess.Popen([self.binary, "send", service, "--broker", self.clients, *words], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def metrics(self):
        return get(self.http, "/metrics")

    def where_a_worker_listens(self, name):
        return eventually(lambda: re.search(r"ready for HTTP: http=(\S+)", self.log(name)), why=lambda: self.log(name))[1]


def get(where, path):
    connection = http.client.HTTPConnection(where, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert answer.status in (200, 400, 422), (path, answer.status, said)
    return said


def quick(rules):
    """The rules as they are, but for their times."""
    return re.sub(r"\b(\d+)m\b", lambda m: f"{int(m[1]) * MINUTE_MS}ms", rules)


class Prometheus(Processes):
    """Debian's, with docker/prometheus.yaml: other targets, and less time."""

    def __init__(self, folder, targets, workers):
        super().__init__(folder)
        (self.folder / "alerts.yaml").write_text(quick((DOCKER / "alerts.yaml").read_text()))
        config = (DOCKER / "prometheus.yaml").read_text()
        config, count = re.subn(r"(    static_configs:\n)      - targets: .*\n", lambda m: m[1] + "".join(
            f"      - {{targets: ['{where}'], labels: {{instance: {name}}}}}\n" for name, where in targets.items()), config)
        assert count == 1, config
        config, count = re.subn(r"    dns_sd_configs:\n      - .*\n", lambda _: f"    static_configs:\n      - targets: {list(workers)}\n", config)
        assert count == 1, config
        config, count = re.subn(r"(scrape_interval|evaluation_interval|scrape_timeout): \w+", rf"\1: {SCRAPE_MS}ms", config)
        assert count == 3, config
        (self.folder / "prometheus.yaml").write_text(config)
        checked = subprocess.run(["promtool", "check", "config", self.folder / "prometheus.yaml"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.start("prometheus", "prometheus", f"--config.file={self.folder / 'prometheus.yaml'}",
                   f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address={self.address}")
        eventually(self._ready, why=lambda: self.log("prometheus"))

    def _ready(self):
        try:
            return len(self.query("up == 1")) == len(self.query("up")) > 0
        except (OSError, ValueError, AssertionError):
            return False

    def ask(self, path, **fields):
        said = json.loads(get(self.address, f"/api/v1/{path}?{urllib.parse.urlencode(fields)}"))
        assert said["status"] == "success", (fields, said)
        return said["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def firing(self, instance):
        """The summaries of the alerts that are firing there, by their names."""
        return {a["labels"]["alertname"]: a["annotations"]["summary"] for a in self.ask("alerts")["alerts"]
                if a["state"] == "firing" and a["labels"].get("instance") == instance}
