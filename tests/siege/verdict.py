"""What must hold of a broker while it is besieged, and after."""
import dataclasses

MIB = 1 << 20
SLACK_MIB = 64  # what allocators, sockets and the program itself may take besides what the limits say
ANNOUNCED_MIB = 64  # what may be there of messages that were announced and have not come (announced_memory::allowance)
CONNECTION_KIB = 16  # a connection's own, as the README has it: `ropewalk limits`, --connections
# Below this a time says nothing of the broker: two processors run it, its worker, a hundred clients and whatever else
# there is. (6 to 8 ms on a machine that does nothing else; 13 to 18 before newcomers were read little by little, and 24 to 61 before those
# who flood were read as bulk.)
FLOOR_MS = 20


@dataclasses.dataclass
class State:
    """Of the broker, as its status and the kernel say."""
    memory_mib: float
    descriptors: int
    connections: int = 1  # the one that asks
    held_bytes: int = 0
    queued: int = 0
    in_flight: int = 0


@dataclasses.dataclass
class Siege:
    limits: dict  # the broker's options
    before: State
    after: State
    max_memory_mib: float  # the most that was seen
    calm_p99_ms: float  # the modest client's
    p99_ms: float
    late_p99_ms: float  # how late it came to run meanwhile when it wanted nothing of the broker
    asked: int  # by the modest client, meanwhile
    wrong: list  # what it was answered instead
    alive: bool


def allowed_mib(siege):
    """What may be there at most: what was there before, and what the limits add up to."""
    limits = siege.limits
    memory = limits["--memory"] + limits["--answers-memory"]
    connections = limits["--connections"] * CONNECTION_KIB * 1024
    return siege.before.memory_mib + (memory + connections) / MIB + ANNOUNCED_MIB + SLACK_MIB


BOOKS = ("connections", "held_bytes", "queued", "in_flight", "descriptors")


def books_are_back(before, now):
    return all(getattr(now, what) <= getattr(before, what) for what in BOOKS)


def faults(s):
    found = []
    if not s.alive:
        return ["the broker is gone"]
    if s.max_memory_mib > allowed_mib(s):
        found.append(f"memory: {s.max_memory_mib:.0f} MiB, and the limits add up to {allowed_mib(s):.0f}")
    if s.asked == 0 or s.wrong:
        found.append(f"the modest client: {s.asked} asked, {len(s.wrong)} not answered as they should be"
                     + (f", such as {s.wrong[0]}" if s.wrong else ""))
    # The client and the broker's loop wait for a processor as long as that, on the way there and on the way back.
    if s.p99_ms > max(2 * s.calm_p99_ms, FLOOR_MS) + 4 * s.late_p99_ms:
        found.append(f"the modest client's p99: {s.p99_ms:.1f} ms, and {s.calm_p99_ms:.1f} before; it came to run "
                     f"{s.late_p99_ms:.1f} ms late")
    if s.after.memory_mib > s.before.memory_mib + SLACK_MIB:
        found.append(f"memory after: {s.after.memory_mib:.0f} MiB, and {s.before.memory_mib:.0f} before")
    for what in BOOKS:
        if getattr(s.after, what) > getattr(s.before, what):
            found.append(f"{what} after: {getattr(s.after, what)}, and {getattr(s.before, what)} before")
    return found
