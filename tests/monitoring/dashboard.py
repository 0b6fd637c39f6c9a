"""The dashboard against a broker's real /metrics and a real Prometheus: what it names is there, and what it asks is answered."""
import itertools
import json
import re
import subprocess
import threading
import urllib.error
import urllib.request

from place import DOCKER, Service, get

FILE = DOCKER / "grafana/dashboards/ropewalk.json"
# What Prometheus itself puts on everything that it scrapes, and on alerts.
OF_PROMETHEUS = {"instance", "job"}
NAME = r"(?:ropewalk|process)_\w+"


class Busy(Service):
    """A little of everything: two shards, certificates, two nodes, answers, errors, refusals, what waits, and a service that is
    paused."""

    def __init__(self, binary, folder):
        certs = folder / "certs"
        self.binary = binary
        super().__init__(binary, folder / "busy", "--shards", "2", "--startup-grace", "0s", "--cluster-tls",
                         self.made(certs) / "broker")
        for node in ("left", "right"):
            self.worker(node, "--cluster-tls", certs / "worker", "--http", "127.0.0.1:0", "--slots", "1", "--service", "nap=builtin:sleep", "--service",
                        "no=cmd:sh -c 'sleep 0.05; exit 3'", "--service", "idle=builtin:echo")
        self.has_nodes(2)
        self.workers = [self.where_a_worker_listens(node) for node in ("left", "right")]
        self.sending = [self.sends("nap", "--data", "20", "--count", "1000000", "--window", "8"),
                        self.sends("no", "--data", "x", "--count", "1000000", "--window", "2")]
        assert self.post("/v1/pause/idle") == 200
        self.open = True
        self.asking = threading.Thread(target=self.ask_what_is_paused)
        self.asking.start()

    def made(self, certs):
        subprocess.run([self.binary, "certs", "--dir", certs, "--host", "127.0.0.1"], check=True, capture_output=True)
        return certs

    def post(self, path):
        try:
            fields = {"Ropewalk-Timeout": "50ms"}
            urllib.request.urlopen(urllib.request.Request(f"http://{self.http}{path}", b"x", fields), timeout=10).read()
        except urllib.error.HTTPError as refused:
            return refused.code
        return 200

    def ask_what_is_paused(self):
        while self.open:
            assert self.post("/v1/services/idle") == 504

    def close(self):
        self.open = False
        self.asking.join()
        for one in self.sending:
            one.kill()
            one.wait()
        super().close()


def expressions(board):
    """(title, expression, legend) of all panels and of what is written over them."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]
    for one in board["annotations"]["list"]:
        if "expr" in one:
            yield one["name"], one["expr"], ""


def labels_of(metrics):
    """Of every metric its labels; of a histogram by the names of its samples."""
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", metrics, re.M):
        found.setdefault(name, set(OF_PROMETHEUS)).update(re.findall(r'(\w+)="', labels))
    return found


def well_formed(board):
    """As Grafana 9 to 11 import it: they bring older schemas up to their own, and none of them knows a later one."""
    assert board["schemaVersion"] == 36 and board["uid"] == "ropewalk" and "id" not in board
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = set(itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])))
        assert cells and place["x"] + place["w"] <= 24 and not cells & taken, (panel["title"], place)
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("stat", "timeseries") and panel["targets"], panel["title"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
    names = [one["name"] for one in board["templating"]["list"]]
    assert names == ["datasource", "instance", "service"], names


def names_what_is_there(board, metrics):
    there = labels_of(metrics)
    asked = [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    for expression in [e for _, e, _ in expressions(board)] + asked:
        for name, labels in re.findall(rf"\b({NAME})(?:\{{([^}}]*)\}})?", expression):
            assert name in there, f"{name} is not in /metrics: {expression}"
            for label in re.findall(r"(\w+)(?:=~|!=|!~|=)", labels):
                assert label in there[name], f"{name} has no label {label}: {expression}"
        known = set().union(*(there[name] for name in re.findall(rf"\b{NAME}", expression)), set())
        for by in re.findall(r"by \(([^)]*)\)", expression):
            assert set(by.replace(" ", "").split(",")) <= known, f"{by}: {expression}"
        for name, label in re.findall(rf"label_values\(({NAME})[^,]*, (\w+)\)", expression):
            assert label in there[name], expression
    return there


def filled_in(expression, instance=".+", service=".+"):
    """As Grafana sends it."""
    for name, value in {"$instance": instance, "$service": service, "$__rate_interval": "2s"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def is_answered(board, prometheus):
    """Every expression has a result, each result what its legend names, and a choice of broker and service is one."""
    count = 0
    for title, expression, legend in expressions(board):
        rows = prometheus.query(filled_in(expression))
        assert rows, f"{title}: nothing comes of {expression}"
        for row in rows:
            assert all(row["metric"].get(label) for label in re.findall(r"{{(\w+)}}", legend)), (title, legend, row)
        if "$instance" in expression:
            assert not prometheus.query(filled_in(expression, instance="nobody")), (title, expression)
        if "$service" in expression:
            assert not prometheus.query(filled_in(expression, service="none")), (title, expression)
        chosen = prometheus.query(filled_in(expression, "busy", "(nap|no)"))
        assert all(row["metric"].get("instance", "busy") == "busy" for row in chosen if "$instance" in expression), (title, chosen)
        assert all(row["metric"].get("service", "nap") in ("nap", "no") for row in chosen if "$service" in expression), (title, chosen)
        count += 1
    return count


def check(busy, prometheus):
    board = json.loads(FILE.read_text())
    well_formed(board)
    there = names_what_is_there(board, busy.metrics() + get(busy.workers[0], "/metrics"))
    used = set(re.findall(rf"\b{NAME}", " ".join(e for _, e, _ in expressions(board)))) & set(there)
    count = is_answered(board, prometheus)
    print(f"dashboard: {count} expressions on {len(used)} of {len(there)} names; all are there, all have a result")
