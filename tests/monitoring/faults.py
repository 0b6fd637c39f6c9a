"""Three faults of the kind that wake people, injected for real, and what everything that one looks at says of them."""
import pathlib
import re
import socket
import sys
import threading
import time

from place import Service, eventually

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "storm"))

import protocol  # noqa: E402

LEAKING = pathlib.Path(__file__).resolve().parent / "leaking.py"


class Fault:
    """A service, what happens to it, and which alerts that is to raise."""

    options = ()
    alerts = ()
    metrics = ""  # which of the numbers are quoted
    explain = ("explain", "--failed", "--limit", "2")

    def __init__(self, binary, folder):
        self.name = type(self).__name__.lower()
        self.service = Service(binary, pathlib.Path(folder) / self.name, *self.options)
        self.quotes = {}
        self.sending = []

    def send(self, service, *words):
        self.sending.append(self.service.sends(service, *words))

    def ask(self, prometheus):
        """What the tools say while it happens, and the rest when the alerts have been raised."""
        self.quotes["status"] = self.service.says("status")
        self.quotes["top"] = of_interest(self.service.says("top", "--once"))
        raised = {}  # one that is about a rise is over when that is
        eventually(lambda: raised.update(prometheus.firing(self.name)) or set(self.alerts) <= set(raised), 25,
                   lambda: f"{self.name}: {self.alerts} are not all raised, but {raised}")
        self.quotes["alerts"] = "".join(f"{name}: {raised[name]}\n" for name in self.alerts)
        self.quotes["metrics"] = self.counted()
        self.quotes["explain"] = of_runs(self.service.says(*self.explain))
        self.quotes["log"] = self.logged()

    def counted(self):
        """The numbers that it is about."""
        return "".join(line + "\n" for line in self.service.metrics().splitlines() if re.match(self.metrics, line))

    def close(self):
        for one in self.sending:
            one.kill()
            one.wait()
        self.service.close()


class Fails(Fault):
    """One service fails everything on one node: its model is not there any more."""

    alerts = ("RopewalkServiceFails", "RopewalkNodeFails")
    metrics = r'ropewalk_node_(?:answered|failed)_total|ropewalk_service_errors_total\{service="score",code="FAILED"\}'

    def prepare(self):
        for node in ("left", "right"):
            home = self.service.folder / node
            home.mkdir()
            (home / "model").write_text("weights")
            self.service.worker(node, "--service", "score=cmd:sh -c 'sleep 0.02 && cat model'", "--service", "upper=builtin:upper",
                                "--slots", "1", cwd=home)
        self.service.has_nodes(2)
        self.send("score", "--data", "x", "--count", "1000000", "--window", "3")
        self.send("upper", "--data", "x", "--count", "40")

    def inject(self):
        (self.service.folder / "right/model").unlink()
        eventually(lambda: "FAILED" in self.service.log("broker"))
        time.sleep(1)  # so that rates over a second are of this

    def logged(self):
        return first_line(self.service.log("broker"), "FAILED") + first_line(self.service.log("right"), "FAILED")


class Leaks(Fault):
    """A handler leaks until it is ended by max-memory, and so does every other that gets the message."""

    alerts = ("RopewalkRunsLost", "RopewalkWorkersLost")
    metrics = r'ropewalk_broker_restarts_total|ropewalk_service_retries_total|' \
              r'ropewalk_service_errors_total\{service="thumb",code="WORKER_LOST"\}'
    explain = ("explain", "--failed", "--limit", "1")

    def prepare(self):
        self.service.worker("left", "--service", f"thumb=exec:{sys.executable} {LEAKING}", "--slots", "2",
                            "--set", "thumb.max-memory=40MiB")
        self.service.has_nodes(1)
        self.send("thumb", "--data", "0", "--count", "20", "--window", "2")

    def inject(self):
        self.send("thumb", "--data", "100000")
        eventually(lambda: "WORKER_LOST" in self.service.log("broker"))

    def logged(self):
        return first_line(self.service.log("broker"), "WORKER_LOST") + first_line(self.service.log("left"), "twice its max-memory")


class Unread(Fault):
    """A client asks for much and reads no answers."""

    options = ("--unread-answers-time", "4s")
    alerts = ("RopewalkClientCutOff",)
    metrics = "ropewalk_broker_(?:unread_bytes|answer_memory_bytes|cut_off_total)"

    def prepare(self):
        self.service.worker("left", "--service", "echo=builtin:echo", "--slots", "2")
        self.service.has_nodes(1)

    def inject(self):
        host, port = self.service.clients.rsplit(":", 1)
        self.client = socket.create_connection((host, int(port)))
        asking = b"".join(protocol.request(id, bytes(64 << 10), "echo", 60_000) for id in range(1, 801))
        threading.Thread(target=self.write, args=(asking,), daemon=True).start()
        eventually(lambda: re.search(r"paused", self.service.says("top", "--once")))

    def write(self, asking):
        try:
            self.client.sendall(asking)
        except OSError:
            pass  # it is cut off

    def logged(self):
        return first_line(self.service.log("broker"), "cut off")

    def close(self):
        self.client.close()
        super().close()


def first_line(log, what):
    """The first warning or error with these words."""
    return next(line + "\n" for line in log.splitlines() if what in line and re.search(" (?:warning|error) ", line))


def of_runs(explained):
    """Without attempts that were not begun: on a machine that has no time for a slot, one goes back before."""
    return re.sub(r"^  \d+(?: +\S+){5} +returned\b.*\n", "", explained, flags=re.M)


def of_interest(top):
    """Without the clients that do as they should: among them are whoever asks, and Prometheus."""
    rest, _, clients = top.partition("CLIENT ")
    bad = [line for line in ("CLIENT " + clients).splitlines(True) if "paused" in line]
    return rest + "CLIENT " + clients.splitlines(True)[0] + "".join(bad) if bad else rest.rstrip("\n") + "\n"
