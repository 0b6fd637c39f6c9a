"""Compares the two histories with what the README promises. Nothing here looks at the broker: requests, runs and what
the storm did to processes are all it goes by, and the lists of excuses are short on purpose. selftest.py plants each of
these faults, and expects each to be found."""
import collections
import dataclasses

import protocol
from history import GIVEN_UP_NS, MS

LATE_START_NS = 150 * MS  # after an end was said
LATE_ANSWER_NS = 300 * MS  # after a deadline; what the promise leaves for the way
LATE_END_NS = 1000 * MS  # within which a program is ended that nobody waits for any more
# A run that is younger than this when its node is lost may not have come to the broker's knowledge.
YOUNG_NS = 100 * MS
# Two clocks are compared with a rounding of a millisecond each.
ROUNDING_NS = 2 * MS


@dataclasses.dataclass
class Violation:
    kind: str
    text: str
    request: object = None
    at: int = 0


class Checker:
    def __init__(self, history):
        self.h = history
        self.runs_of = collections.defaultdict(list)
        self.runs_on = collections.defaultdict(list)  # by node and service
        for run in sorted(history.runs, key=lambda r: r.start):
            self.runs_of[run.number].append(run)
            for pid in run.ancestors:
                self.runs_on[pid, run.service].append(run)
        self.freezes = [f for f in history.faults if f.kind == "freeze"]
        self.found = []

    def check(self):
        for request in self.h.requests:
            runs = self.runs_of.get(request.number, [])
            self.check_answers(request)
            self.check_code(request, runs)
            self.check_bytes(request, runs)
            self.check_attempts(request, runs)
            self.check_starts_after_end(request, runs)
            self.check_outlives_end(request, runs)
            self.check_superseded(request, runs)
        self.check_strangers()
        self.check_keys()
        self.check_losses()
        for kind, text in self.h.oddities:
            self.report(kind, text)
        return self.found

    def report(self, kind, text, request=None, at=0):
        self.found.append(Violation(kind, text, request, at))

    # -- what the excuses are made of

    def faults_on(self, pids, begin, end, *kinds):
        return [f for f in self.h.faults if f.kind in kinds and f.at <= end and max(f.at, f.until) >= begin
                and set(pids) & set(f.pids)]

    def frozen_at(self, run, at, slack=0):
        return bool([f for f in self.faults_on(run.ancestors, at - slack, at + slack, "freeze")])

    def node_lost(self, run):
        """When the node of this run was lost by what the storm did (not by a drain), or None."""
        killed = self.faults_on(run.ancestors, run.start - YOUNG_NS, run.alive + 300 * MS, "kill")
        if killed:
            return killed[0].at
        if len(run.ancestors) < 3:  # its node was gone when it looked who that is
            before = [f for f in self.h.faults if f.kind == "kill" and 0 <= run.start - f.at < 500 * MS]
            if before:
                return before[-1].at
        given_up = [f for f in self.faults_on(run.ancestors, run.start - YOUNG_NS, run.alive + 300 * MS, "freeze")
                    if f.until - f.at >= GIVEN_UP_NS]
        return given_up[0].at if given_up else None

    def known_at(self, fault):
        """When the broker knew of a node's death: its socket closes when the programs that it has started are gone."""
        told = [l.at + MS for l in self.h.losses if l.pid in fault.pids and 0 <= l.at + MS - fault.at < 5000 * MS]
        return max(fault.at, fault.until, *told)

    def busy(self, pid, service, at):
        return sum(1 for r in self.runs_on[pid, service] if r.start <= at <= r.last_seen)

    def unrecorded(self, request):
        """How many starts of it may have been lost before the program came to put them on record: one each time a node
        was lost of which not all slots were busy with others. What may be started only once is not risked: if it was on
        a lost node, it counts as started."""
        end = request.end_told or request.flushed + request.deadline_ms * MS
        return sum(1 for f in self.h.faults
                   if (f.kind == "kill" or (f.kind == "freeze" and f.until - f.at >= GIVEN_UP_NS))
                   # A node may be sent more until it is given up: nobody knows of it then what it has started.
                   and self.known_at(f) >= request.sent and f.at <= end
                   for pid in f.pids
                   if request.service == "echo" or request.attempts == 1
                   or self.busy(pid, request.service, f.at) < self.h.rules.slots)

    # -- one answer, the right one, in time

    def check_answers(self, request):
        if len(request.answers) > 1:
            self.report("answered more than once", ", ".join(protocol.name_of(a.code) for a in request.answers),
                        request, request.answers[1].at)
        if not request.answers and request.listening:
            self.report("never answered", "its connection is open, and its deadline is long over", request,
                        request.flushed)
        for answer in request.answers:
            if not answer.right:
                self.report("a reply that is not the request's own", f"told {protocol.name_of(answer.code)}", request,
                            answer.at)

    def check_code(self, request, runs):
        if not request.answers:
            return
        answer = request.answers[0]
        name = protocol.name_of(answer.code)
        rule = getattr(self, f"why_not_{name.lower()}", lambda *_: f"nothing justifies {name}")
        why_not = rule(request, answer, runs)
        if request.refused is not None:
            early = answer.code in (protocol.TIMEOUT, protocol.CANCELLED, protocol.BUSY) and not why_not
            due = answer.code == request.refused or early
            why_not = None if due else f"expected {protocol.name_of(request.refused)}"
        drained = self.h.rules.only_ok and answer.code not in (protocol.OK, protocol.DRAINING)
        if drained and request.refused is None:
            why_not = "nothing but drains happened, and they lose nothing"
        if why_not:
            kind = "lost by a drain" if drained else f"an unjustified {name}"
            self.report(kind, f"{why_not} ({answer.text})", request, answer.at)
        self.check_deadline(request, answer)

    def check_deadline(self, request, answer):
        """Only where the broker reads at once: from when it reads, the deadline counts."""
        if self.h.rules.limits or not request.flushed:
            return
        deadline = request.flushed + request.deadline_ms * MS
        late = answer.at - deadline - LATE_ANSWER_NS
        if late > 0 and late > 3 * self.h.lateness.within(deadline - 500 * MS, answer.at):
            self.report("answered late",
                        f"{protocol.name_of(answer.code)} {(answer.at - deadline) // MS} ms after the deadline",
                        request, answer.at)

    def why_not_ok(self, request, _answer, _runs):
        if request.behaviour in "fks":
            return "its handler never says so"

    def why_not_failed(self, request, _answer, _runs):
        if request.behaviour != "f":
            return "its handler does not fail"

    def why_not_timeout(self, request, answer, _runs):
        early = request.sent + request.deadline_ms * MS - answer.at
        if early > ROUNDING_NS:
            return f"{early / MS:.1f} ms before its deadline"

    def why_not_busy(self, _request, _answer, _runs):
        if not self.h.rules.limits:
            return "no limit is anywhere near"

    def why_not_draining(self, request, _answer, _runs):
        if not self.h.rules.drain_at or request.sent < self.h.rules.drain_at:
            return "the broker was not told to leave before it was asked"

    def why_not_cancelled(self, request, answer, _runs):
        if request.cancelled is None or request.cancelled > answer.at:
            return "nobody took it back"

    def why_not_worker_lost(self, request, answer, runs):
        runs = [r for r in runs if r.start <= answer.at]
        possible = len(runs) + self.unrecorded(request)
        if possible < request.attempts:
            return f"{len(runs)} runs are on record, {request.attempts} must have been lost"
        for run in runs:
            killed = self.faults_on([run.pid], run.start, answer.at, "kill_handler")
            if request.behaviour in "kso" or killed or self.node_lost(run) is not None:
                continue
            return f"nothing was done to the run of attempt {run.attempt} (pid {run.pid})"

    # -- runs: whose, of which bytes, how often, until when

    def check_strangers(self):
        asked = {r.number: r for r in self.h.requests}
        for run in self.h.runs:
            if run.number and (run.number not in asked or asked[run.number].nonce != run.nonce):
                self.report("a run that nobody asked for", f"request {run.number}, pid {run.pid}", None, run.start)
            elif not run.number and run.read and not self.cut_short(run):
                self.report("a handler was run with an empty message",
                            f"service {run.service}, pid {run.pid}, {run.length} bytes", None, run.start)

    def cut_short(self, run):
        """The pipe to a program ends with its node: it may read that end in the moment before it is killed itself."""
        near = [l for l in self.h.losses if not l.drained and l.pid in run.ancestors
                and abs(l.at - run.read) < 500 * MS]
        return bool(near or self.faults_on(run.ancestors, run.read - 200 * MS, run.read + 5 * MS, "kill"))

    def check_bytes(self, request, runs):
        for run in runs:
            if run.read and (run.length, run.crc) != (request.length, request.crc) and not self.cut_short(run):
                self.report("a handler saw other bytes than were sent",
                            f"{run.length} of {request.length} bytes, pid {run.pid}", request, run.read)

    def check_attempts(self, request, runs):
        """A start that its broker may not have heard of costs no attempt; but what may run once is not risked."""
        if request.attempts == 1 and len(runs) > 1:
            self.report("run twice, though at most once was asked for", f"{len(runs)} starts", request, runs[1].start)
        unheard = [r for r in runs if (lost := self.node_lost(r)) is not None and r.start > lost - YOUNG_NS]
        if request.attempts > 1 and len(runs) - len(unheard) > request.attempts:
            self.report("started more often than it may", f"{len(runs)} starts", request, runs[-1].start)
        unrecorded = self.unrecorded(request) if runs else 0
        for count, run in enumerate(runs, 1):
            before = runs[count - 2] if count > 1 else None
            if before and run.attempt <= before.attempt and not (before in unheard and run.attempt == before.attempt):
                self.report("attempts do not count up",
                            f"attempt {run.attempt} was started after attempt {before.attempt}", request, run.start)
            elif run.attempt > request.attempts or run.attempt > count + unrecorded:
                self.report("an attempt's number is not what it says",
                            f"attempt {run.attempt} is start number {count}", request, run.start)

    def check_starts_after_end(self, request, runs):
        told = request.end_told
        for run in runs:
            if told is None or run.start <= told + LATE_START_NS + 2 * self.h.lateness.within(told, run.start):
                continue
            if self.frozen_at(run, run.start) or self.was_under_way(request, run):
                continue
            what = protocol.name_of(request.answers[0].code) if request.answers else "its client was gone"
            self.report("started after its end was said",
                        f"attempt {run.attempt} {(run.start - told) // MS} ms after: {what}", request, run.start)

    def was_under_way(self, request, run):
        """A slot that had taken the message and was about to start the program when its node froze goes on where it
        was: that is one of those slots that ran no program then."""
        for f in self.freezes:
            if set(f.pids) & set(run.ancestors) and request.sent < f.at and f.until <= run.start < f.until + 500 * MS:
                node = next(p for p in f.pids if p in run.ancestors)
                free = self.h.rules.slots - self.busy(node, run.service, f.at)
                since = [r for r in self.runs_on[node, run.service] if f.until <= r.start <= run.start]
                return len(since) <= free
        return False

    def check_outlives_end(self, request, runs):
        told = request.end_told
        if told is None or (request.answers and request.answers[0].code not in (protocol.TIMEOUT, protocol.CANCELLED)):
            return
        for run in runs:
            late = run.last_seen - told - LATE_END_NS
            if run.start < told and late > 3 * self.h.lateness.within(told, run.last_seen) and \
                    not self.faults_on(run.ancestors, told - 1000 * MS, run.last_seen, "freeze"):
                self.report("runs on though nobody waits for it",
                            f"for {(run.last_seen - told) // MS} ms, pid {run.pid}", request, run.last_seen)

    def check_superseded(self, request, runs):
        for answer in request.answers[:1]:
            newer = [r for r in runs if r.attempt > answer.attempt > 0 and r.start < answer.at]
            if newer:
                self.report("the answer of an attempt that was given up",
                            f"attempt {answer.attempt}, after attempt {newer[0].attempt} had begun",
                            request, answer.at)

    # -- ordering keys

    def check_keys(self):
        lanes = collections.defaultdict(list)
        for request in self.h.requests:
            if request.key and request.refused is None:
                lanes[request.service, request.key].append(request)
        for (_, key), requests in lanes.items():
            self.check_order(key, requests)
            self.check_overlaps(key, requests)

    def check_order(self, key, requests):
        by_connection = collections.defaultdict(list)
        for request in requests:
            if self.runs_of.get(request.number):
                by_connection[request.connection].append(request)
        for asked in by_connection.values():
            asked.sort(key=lambda r: r.number)
            for earlier, later in zip(asked, asked[1:]):
                if self.runs_of[later.number][0].start < self.runs_of[earlier.number][0].start:
                    self.report("a key's requests are out of order",
                                f"key {key.decode()}: request {later.number} was first started before "
                                f"request {earlier.number}", earlier, self.runs_of[earlier.number][0].start)

    def check_overlaps(self, key, requests):
        runs = sorted([(r, q) for q in requests for r in self.runs_of.get(q.number, [])],
                      key=lambda pair: pair[0].start)
        for i, (run, request) in enumerate(runs):
            for other, others in runs[i + 1:]:
                if other.start >= run.last_seen:
                    break
                if self.given_up(run) or self.given_up(other):
                    continue  # what a cut-off worker does to others' order is not promised
                self.report("two runs of one key at a time",
                            f"key {key.decode()}: pid {other.pid} of request {others.number} started "
                            f"{(run.last_seen - other.start) / MS:.1f} ms before the end of pid {run.pid} "
                            f"of request {request.number}",
                            request, other.start)

    def given_up(self, run):
        return any(f.until - f.at >= GIVEN_UP_NS
                   for f in self.faults_on(run.ancestors, run.start, run.last_seen, "freeze"))

    # -- nodes

    def check_losses(self):
        for loss in self.h.losses:
            reasons = self.faults_on([loss.pid], loss.at - 60_000 * MS, loss.at + 100 * MS, "kill", "freeze", "signal")
            if not loss.drained and not reasons:
                self.report("a node was lost though nothing was done to it",
                            f"{loss.name} (pid {loss.pid}): {loss.why}", None, loss.at)
