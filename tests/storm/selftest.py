"""A checker that cannot fail is worth nothing: histories that are well but for one planted fault each. Every fault must
be found under its name; a history without one, and those with what is excused, must be found good."""
import protocol
from check import Checker
from history import MS, Answer, Fault, History, Loss, Request, Rules, Run

SECOND = 1000 * MS
NODE, OTHER_NODE = 100, 200
CASES = []


def case(kind):
    """The function spoils a good history so that the checker must report `kind` (None: nothing)."""
    def register(spoil):
        CASES.append((kind, spoil))
        return spoil
    return register


def reply(at, attempt=1, **more):
    return Answer(at, protocol.REPLY, protocol.OK, attempt=attempt, **more)


def error(at, code):
    return Answer(at, protocol.ERROR, code)


def request(number, sent, **more):
    made = Request(number, number, 1, more.pop("service", "job"), length=10, crc=number, id=number, sent=sent,
                   flushed=sent,
                   deadline_ms=1000, **more)
    return made


def run(number, start, end, attempt=1, node=NODE, killed=False, **more):
    return Run(start, end, start, 0 if killed else end, number, number, 1000 + number, (node,), attempt, 10, number,
               **more)


def good():
    """Three requests, two of them of one key; each is run once and answered."""
    h = History(Rules())
    h.started = 0
    for number in (1, 2, 3):
        at = number * SECOND
        r = request(number, at, key=b"k" if number < 3 else None, service="row" if number < 3 else "job")
        r.answers.append(reply(at + 50 * MS))
        h.requests.append(r)
        h.runs.append(run(number, at + 5 * MS, at + 40 * MS, service=r.service))
    return h


def end_with(h, code, at=None):
    """The third request's answer is this error."""
    r = h.requests[2]
    r.answers[:] = [error(at or r.sent + 50 * MS, code)]
    return r


@case(None)
def nothing_is_planted(_h):
    pass


@case("never answered")
def no_answer(h):
    h.requests[0].answers.clear()


@case("answered more than once")
def two_answers(h):
    h.requests[0].answers.append(reply(2 * SECOND))


@case("a reply that is not the request's own")
def foreign_reply(h):
    h.requests[0].answers[0].right = False


@case("an answer that nobody waits for")
def stray_answer(h):
    h.oddities.append(("an answer that nobody waits for", ""))


@case("an unjustified TIMEOUT")
def early_timeout(h):
    end_with(h, protocol.TIMEOUT)


@case("answered late")
def late_timeout(h):
    end_with(h, protocol.TIMEOUT, h.requests[2].sent + 1400 * MS)


@case(None)
def late_because_the_storm_was(h):
    r = end_with(h, protocol.TIMEOUT, h.requests[2].sent + 1400 * MS)
    h.runs[2].end = h.runs[2].alive = r.answers[0].at
    h.lateness.add(r.answers[0].at - 200 * MS, r.answers[0].at)


@case("an unjustified CANCELLED")
def not_cancelled(h):
    end_with(h, protocol.CANCELLED)


@case(None)
def cancelled(h):
    end_with(h, protocol.CANCELLED).cancelled = h.requests[2].sent


@case("an unjustified BUSY")
def busy_without_limits(h):
    end_with(h, protocol.BUSY)


@case("an unjustified FAILED")
def failed_untold(h):
    end_with(h, protocol.FAILED)


@case("an unjustified NO_SERVICE")
def no_service(h):
    end_with(h, protocol.NO_SERVICE)


@case("an unjustified DRAINING")
def draining(h):
    end_with(h, protocol.DRAINING)


@case(None)
def draining_when_told(h):
    h.rules.drain_at = h.requests[2].sent - MS
    end_with(h, protocol.DRAINING)
    del h.runs[2]


@case("an unjustified UNAUTHORIZED")
def unauthorized(h):
    end_with(h, protocol.UNAUTHORIZED)


@case("an unjustified BAD_REQUEST")
def bad_request(h):
    end_with(h, protocol.BAD_REQUEST)


@case("an unjustified OK")
def ok_from_the_dead(h):
    h.requests[2].behaviour = "k"


@case("lost by a drain")
def lost_by_a_drain(h):
    h.rules.only_ok = True
    end_with(h, protocol.WORKER_LOST)


@case("an unjustified WORKER_LOST")
def lost_though_nothing_happened(h):
    end_with(h, protocol.WORKER_LOST).attempts = 1


@case("an unjustified WORKER_LOST")
def lost_without_a_run(h):
    """The blame fell on one that waited: the only slot was busy with another."""
    r = end_with(h, protocol.WORKER_LOST)
    r.attempts = 2
    h.runs.append(run(3, r.sent + MS, r.sent + 2 * MS, node=OTHER_NODE, killed=True))
    h.faults.append(Fault("kill", r.sent + 2 * MS, (OTHER_NODE,)))
    h.runs[2].number = h.runs[2].nonce = h.runs[2].crc = 4
    other = request(4, r.sent, behaviour="k", attempts=1)
    other.answers.append(error(r.sent + 50 * MS, protocol.WORKER_LOST))
    h.requests.append(other)
    h.faults.append(Fault("kill", h.runs[2].start + 10 * MS, (NODE,)))


@case(None)
def lost_with_its_node(h):
    end_with(h, protocol.WORKER_LOST).attempts = 1
    h.runs[2].end = 0
    h.faults.append(Fault("kill", h.runs[2].alive, (NODE,)))


@case(None)
def lost_with_a_node_that_was_frozen_before(h):
    """It was sent to a node that could not take it any more; it may run once, and nobody knows whether it did."""
    end_with(h, protocol.WORKER_LOST).attempts = 1
    del h.runs[2]
    h.faults.append(Fault("freeze", h.requests[2].sent - 100 * MS, (NODE,), h.requests[2].sent + 5 * SECOND))


@case("a run that nobody asked for")
def stranger(h):
    h.runs.append(run(99, SECOND, SECOND + MS))


@case("a handler was run with an empty message")
def empty_message(h):
    h.runs.append(Run(SECOND, SECOND, SECOND, SECOND + MS, 0, 0, 5, (NODE,)))


@case("a handler saw other bytes than were sent")
def other_bytes(h):
    h.runs[2].crc += 1


@case("run twice, though at most once was asked for")
def twice(h):
    h.requests[2].attempts = 1
    h.runs.append(run(3, h.runs[2].start - 2 * MS, h.runs[2].start - MS, killed=True))
    h.runs[2].attempt = 2


@case("started more often than it may")
def too_often(h):
    h.requests[2].attempts = 2
    start = h.runs[2].start
    h.runs[2].attempt = h.requests[2].answers[0].attempt = 3
    h.runs += [run(3, start - 4 * MS, start - 3 * MS, killed=True), run(3, start - 2 * MS, start - MS, 2, killed=True)]


@case("attempts do not count up")
def same_attempt(h):
    h.runs.append(run(3, h.runs[2].start - 4 * MS, h.runs[2].start - 3 * MS, killed=True))


@case("an attempt's number is not what it says")
def wrong_attempt(h):
    h.runs[2].attempt = h.requests[2].answers[0].attempt = 2


@case("started after its end was said")
def stale_start(h):
    r = end_with(h, protocol.TIMEOUT, h.requests[2].sent + 1000 * MS)
    h.runs[2] = run(3, r.answers[0].at + 400 * MS, r.answers[0].at + 410 * MS)


@case("started after its end was said")
def stale_start_after_a_thaw(h):
    """The node's only slot was busy when it froze: what it started afterwards had been waiting."""
    stale_start(h)
    h.runs.append(run(4, h.requests[2].sent, h.requests[2].sent + 100 * MS))
    busy = request(4, h.requests[2].sent)
    busy.answers.append(reply(busy.sent + 150 * MS))
    h.requests.append(busy)
    h.faults.append(Fault("freeze", h.requests[2].sent + 20 * MS, (NODE,), h.runs[2].start - 5 * MS))


@case(None)
def was_under_way_when_it_froze(h):
    stale_start(h)
    h.faults.append(Fault("freeze", h.requests[2].sent + 20 * MS, (NODE,), h.runs[2].start - 5 * MS))


@case("started after its end was said")
def start_for_who_is_gone(h):
    r = h.requests[2]
    r.answers.clear()
    r.listening, r.gone = False, h.runs[2].start - 500 * MS


@case("runs on though nobody waits for it")
def run_goes_on(h):
    r = end_with(h, protocol.TIMEOUT, h.requests[2].sent + 1000 * MS)
    h.runs[2].end = h.runs[2].alive = r.answers[0].at + 1500 * MS


@case("the answer of an attempt that was given up")
def superseded(h):
    h.runs.append(run(3, h.runs[2].start + 10 * MS, h.runs[2].start + 20 * MS, 2))


@case("a key's requests are out of order")
def out_of_order(h):
    h.runs[0].start, h.runs[1].start = h.runs[1].start, h.runs[0].start
    h.runs[0].end = h.runs[0].alive = h.runs[0].start + MS
    h.runs[1].end = h.runs[1].alive = h.runs[1].start + MS


@case("two runs of one key at a time")
def overlap(h):
    h.runs[0].alive = h.runs[1].start + 10 * MS
    h.runs[0].end = 0


@case(None)
def overlap_with_a_node_that_was_given_up(h):
    h.runs.append(run(1, h.runs[0].start - 20 * MS, h.runs[1].start + 10 * MS, node=OTHER_NODE, service="row"))
    h.runs[0].attempt = h.requests[0].answers[0].attempt = 2
    h.faults.append(Fault("freeze", h.runs[0].start - 10 * MS, (OTHER_NODE,), h.runs[0].start + 5 * SECOND))


@case("a node was lost though nothing was done to it")
def lost_node(h):
    h.losses.append(Loss(SECOND, "w1", NODE, "connection lost"))


@case(None)
def drained_node(h):
    h.losses.append(Loss(SECOND, "w1", NODE, "it was drained"))


def run_case(kind, spoil):
    history = good()
    spoil(history)
    found = {v.kind for v in Checker(history).check()}
    if kind is None:
        return f"self-test: {spoil.__name__} is well, but the checker says: {found}" if found else None
    return None if kind in found else f"self-test: {spoil.__name__}: the checker has found {found}, and not '{kind}'"


def run_all():
    return [text for kind, spoil in CASES if (text := run_case(kind, spoil))]
