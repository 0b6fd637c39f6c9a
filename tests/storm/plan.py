"""What an episode will be, drawn from its seed: the configuration, what is asked when, what is done to whom when. Which
process a fault meets depends on who is there then."""
import dataclasses
import random

import protocol

ONLY = ["signals", "kill", "freeze", "recycle", "clients", "limits", "shards", "tls", "keys"]

# What an episode of one kind does; a mixed one does some of all.
PROCESS_FAULTS = {
    "signals": ["signal"] * 6 + ["churn"] * 3 + ["hup"],
    "kill": ["kill"] * 4 + ["kill_handler"] * 3 + ["churn"] * 3,
    "freeze": ["freeze"],
    "recycle": ["signal"] + ["churn"],
    "clients": ["client"],
    "limits": ["client"] * 2 + ["kill", "kill_handler"],
    "shards": ["kill"] * 2 + ["signal", "churn", "kill_handler", "freeze"],
    "tls": ["client"] * 3 + ["kill", "churn", "hup"],
    "keys": ["kill"] * 3 + ["kill_handler", "freeze", "signal"],
}
MIXED = ["signal"] * 3 + ["kill"] * 2 + ["kill_handler"] * 2 + ["freeze"] * 2 + ["churn"] * 3 + ["client"] * 4 + ["hup"]


@dataclasses.dataclass
class Worker:
    processes: int = 1
    recycle_after: int = 0

    @property
    def has_master(self):
        return self.processes > 1 or self.recycle_after > 0


@dataclasses.dataclass
class Ask:
    """A request that is to be sent, or a PING, STATUS or HELLO (`kind`)."""
    at: float  # seconds from the beginning of the load
    kind: str = "request"
    service: str = "job"
    behaviour: str = "r"
    milliseconds: int = 0
    size: int = 0
    deadline_ms: int = None
    attempts: int = None
    priority: int = None
    key: bytes = None
    cancel_after: float = None  # seconds; 0: in the same write
    same_id: bool = False  # takes an id that was used and answered before
    refused: int = None


@dataclasses.dataclass
class Fault:
    at: float
    kind: str
    seed: int  # of what is decided when it happens


@dataclasses.dataclass
class Plan:
    seed: int
    theme: str
    shards: int = 1
    client_tls: bool = False
    cluster_tls: bool = False
    tcp_only: bool = False
    slots: int = 1
    limits: list = dataclasses.field(default_factory=list)
    timeout_ms: int = 12000
    workers: list = dataclasses.field(default_factory=list)
    load_s: float = 5
    drains_first: bool = False  # at the end the broker is told to leave while requests run
    connections: list = dataclasses.field(default_factory=list)  # of lists of Ask, in order of time
    faults: list = dataclasses.field(default_factory=list)

    @property
    def only_ok(self):
        return self.theme in ("signals", "recycle")

    @property
    def services(self):
        return ["job", "slow", "stay"] + ([] if self.shards > 1 else ["row"])

    def __str__(self):
        words = [self.theme, f"{len(self.workers)}x{self.slots}"]
        words += [f"shards={self.shards}"] * (self.shards > 1)
        words += ["tls"] * self.client_tls + ["cluster-tls"] * self.cluster_tls + ["tcp-only"] * self.tcp_only
        for w in self.workers:
            if w.has_master:
                words.append(f"master:{w.processes}" + (f"/recycle:{w.recycle_after}" if w.recycle_after else ""))
        return " ".join(words + [f"{o[2:]}={v}" for o, v in self.limits])


def draw(seed, only=None):
    r = random.Random(seed)
    theme = only or (r.choice(ONLY) if r.random() < 0.4 else "mixed")
    plan = Plan(seed, theme)
    draw_configuration(r, plan)
    plan.load_s = r.uniform(3, 9) if theme != "freeze" else r.uniform(6, 10)
    plan.connections = [draw_connection(r, plan) for _ in range(r.randint(3, 6))]
    if plan.only_ok:
        leave_out_what_is_too_much(plan)
    plan.faults = draw_faults(r, plan)
    crowd_the_joins(r, plan)
    plan.drains_first = r.random() < 0.5 and not plan.limits  # under limits it may not have read what was asked
    return plan


def draw_configuration(r, plan):
    plan.shards = 3 if plan.theme == "shards" or (plan.theme not in ("keys", "limits") and r.random() < 0.25) else 1
    plan.client_tls = plan.theme == "tls" or r.random() < 0.2
    plan.cluster_tls = r.random() < (0.7 if plan.theme == "tls" else 0.2)
    plan.tcp_only = r.random() < 0.3
    plan.slots = r.choice([1, 1, 2, 2, 3, 4])
    for _ in range(r.choice([1, 2, 2, 3, 4])):
        worker = Worker()
        if r.random() < (0.5 if plan.theme in ("signals", "recycle") else 0.25):
            worker.processes = r.randint(2, 3)
        if r.random() < (1 if plan.theme == "recycle" else 0.12):
            worker.recycle_after = r.choice([3, 10, 30, 100])
        plan.workers.append(worker)
    if plan.theme == "limits" or (plan.theme == "mixed" and r.random() < 0.2):
        plan.limits = draw_limits(r, plan.shards)


def draw_limits(r, shards):
    choices = [("--connection-requests", r.choice([1, 1, 2, 8])), ("--queue", r.choice([2, 10, 30])),
               ("--connection-memory", 1 << 20), ("--memory", 8 << 20),
               ("--service-memory", r.choice([3, 5]) * shards << 20),  # each shard has room for a message of 2 MiB
               ("--unread-answers", 65536), ("--node-bytes", 65536), ("--node-prefetch", r.choice([0, 1])),
               ("--retry-share", 0), ("--node-prefetch-time", 0)]
    return [(option, str(value)) for option, value in r.sample(choices, r.randint(1, 4))]


def draw_connection(r, plan):
    """Steady, or quiet with bursts: queues must come into being, and run empty again."""
    asks = [Ask(0, kind="hello")] if r.random() < 0.3 else []
    bursts = r.random() < 0.5
    now = r.uniform(0, 0.3)
    while now < plan.load_s:
        if bursts:
            service = r.choice(plan.services + ["echo"])
            asks += [draw_ask(r, plan, now + 0.0001 * i, service) for i in range(r.choice([5, 15, 40]))]
            now += r.expovariate(0.9)
        else:
            service = r.choices(plan.services + ["echo"], [3, 1] + [2] * (len(plan.services) - 2) + [3])[0]
            asks.append(draw_ask(r, plan, now, service))
            now += r.expovariate(25)
        if r.random() < 0.03:
            asks.append(Ask(now, kind=r.choice(["ping", "status"])))
    return asks


def crowd_the_joins(r, plan):
    """Some nodes join while more waits for them than they have slots: they get it all at once."""
    for fault in plan.faults:
        if fault.kind != "churn" or r.random() < 0.5:
            continue
        for service in [s for s in plan.services if s != "slow"]:
            asks = r.choice(plan.connections)
            asks += [draw_ask(r, plan, fault.at + r.uniform(0, 0.02), service) for _ in range(20)]
            asks.sort(key=lambda a: a.at)


def leave_out_what_is_too_much(plan):
    """Where every request must be answered with OK there is no more of it than the slots can run in the time."""
    left_ms = {service: 600 * plan.load_s * plan.slots * len(plan.workers) for service in plan.services + ["echo"]}
    for n, asks in enumerate(plan.connections):
        kept = []
        for ask in asks:
            left_ms[ask.service] -= ask.milliseconds
            if left_ms[ask.service] > 0:
                kept.append(ask)
        plan.connections[n] = kept


def draw_ask(r, plan, at, service):
    ask = Ask(at, service=service)
    ask.size = draw_size(r, service)
    ask.attempts = r.choices([None, 1, 2, 3, 5], [4, 1, 1, 1, 1])[0]
    ask.priority = r.choice([None, None, None, 0, 1, 2])
    ask.same_id = r.random() < 0.3
    if service == "echo":
        ask.behaviour = "e"
    elif service == "slow":
        ask.milliseconds = r.randint(100, 900)
    else:
        ask.milliseconds = r.choices([0, r.randint(1, 30), r.randint(30, 200)], [4, 5, 2])[0]
    if service == "row" and r.random() < 0.9:
        ask.key = b"k%d" % r.randrange(6)
    if plan.only_ok:
        ask.deadline_ms = 60000  # whatever is not answered with OK within it was lost
        return ask
    if service != "echo":
        ask.behaviour = r.choices("rfksont", [70, 4, 2, 1, 4, 3, 4])[0]
    draw_patience(r, ask)
    if r.random() < 0.01 and plan.shards > 1:
        ask.key, ask.refused = b"k", protocol.BAD_REQUEST
    elif r.random() < 0.003:
        ask.size, ask.refused = protocol.MAX_MESSAGE + r.randint(1, 100000), protocol.TOO_LARGE
    return ask


def draw_size(r, service):
    kind = r.choices(["none", "small", "some", "large", "largest"], [5, 60, 25, 9, 0.4])[0]
    largest = protocol.MAX_MESSAGE - (0 if service == "echo" else 200)  # a handler's reply is longer by its first line
    return {"none": 0, "small": r.randint(1, 200), "some": r.randint(200, 8000), "large": r.randint(8000, 300000),
            "largest": largest}[kind]


def draw_patience(r, ask):
    ask.deadline_ms = r.choices([r.randint(5, 200), r.randint(200, 3000), r.randint(3000, 10000), None],
                                [20, 35, 35, 10])[0]
    if r.random() < 0.15:
        ask.cancel_after = r.choice([0, 0, r.uniform(0, 0.02), r.uniform(0, 0.5), r.uniform(0, 2)])


def draw_faults(r, plan):
    kinds = PROCESS_FAULTS.get(plan.theme, MIXED)
    pause = r.uniform(0.25, 1.0)
    faults = []
    now = r.uniform(0.2, 0.6)
    while now < plan.load_s - 0.1:
        faults.append(Fault(now, r.choice(kinds), r.getrandbits(32)))
        now += r.expovariate(1 / pause)
    return faults[:30]
