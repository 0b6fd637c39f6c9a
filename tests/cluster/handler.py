#!/usr/bin/env python3
"""A handler that stays up and does what its messages say, well or badly: for the tests of `exec:`.

    echo TEXT     replies with TEXT                     pid            replies with its PID
    attempt       replies with the attempt's number     left           replies with the time left, in ms
    sleep MS      replies after so long; stops if told  deaf MS        the same, but does not stop
    die N         is killed by signal N                 exit N         ends with that exit status
    fail TEXT     ERROR FAILED                          busy           ERROR BUSY
    print TEXT    prints TEXT, then replies             noise BYTES    prints so many bytes, then replies
    large BYTES   replies with so many bytes            garbage        writes what is no frame
    half          writes half a frame, and stops        twice          answers twice
    unasked       answers what nobody asked             close          closes the channel and lives on
    close-in MS   replies, and does that so much later
    mute          closes stdout and stderr, then replies
    fork          leaves a child behind, replies its PID    version     replies with it
    stall         never reads again
    eat MIB       takes so much memory, keeps it, replies   eat-child MIB   a child does, which stays
    files N       opens so many files, replies how many     flaky N     ERROR FAILED up to the Nth attempt
    fields        replies key, trace context and client     self        replies user, group and niceness
    site          replies with its version, and a number that all processes of its node have
    number        prints the request's number, and replies with it at the second attempt

    --concurrency N    says that it takes so many at a time
    --start SECONDS    is ready only then
    --never            is never ready
    --deaf             ignores that the channel ends, and SIGTERM
    --at-start N       exits with that status before it is ready
    --version FILE     its version, as it stands in FILE at the start; "fails": it does
    --say TEXT         its version
    --on-signal N FILE     ignores that the channel ends; at that signal it writes FILE and ends
    --stdio            speaks over stdin and stdout, and prints nothing there but for "print"
"""
import argparse
import os
import signal
import socket
import struct
import sys
import threading
import time

HELLO, HELLO_OK, REQUEST, REPLY, ERROR, CANCEL = 1, 2, 3, 4, 5, 6
FAILED, BUSY, CANCELLED = 1, 3, 10
DEADLINE, KEY, TRACE, CONCURRENCY, ATTEMPT, CLIENT, NUMBER = 4, 6, 8, 11, 12, 13, 16

options = argparse.ArgumentParser()
options.add_argument("--concurrency", type=int, default=0)
options.add_argument("--start", type=float, default=0)
options.add_argument("--never", action="store_true")
options.add_argument("--deaf", action="store_true")
options.add_argument("--at-start", type=int, default=-1)
options.add_argument("--version")
options.add_argument("--say")
options.add_argument("--on-signal", nargs=2)
options.add_argument("--stdio", action="store_true")
o = options.parse_args()
version = open(o.version).read() if o.version else o.say or ""
if version == "fails":
    sys.exit("this version is broken")

if o.stdio:
    frames = os.fdopen(0, "rb")
else:
    channel = socket.socket(fileno=int(os.environ["ROPEWALK_FD"]))
    frames = channel.makefile("rb")
kept = []
lock = threading.Lock()
stopped = {}


def write(data):
    with lock:
        if not o.stdio:
            return channel.sendall(data)
        while data:
            data = data[os.write(1, data):]


def frame(kind, code, request, payload=b"", fields=b""):
    return struct.pack(">IBBHQ", 12 + len(fields) + len(payload), kind, code, len(fields), request) + fields + payload


def fields_of(data):
    result = {}
    while data:
        result[data[0]] = data[2:2 + data[1]]
        data = data[2 + data[1]:]
    return result


def handle(request, fields, body):
    word, _, rest = body.partition(b" ")
    word = word.decode()
    reply = lambda payload: write(frame(REPLY, 0, request, payload))
    if word == "echo":
        reply(rest)
    elif word == "pid":
        reply(str(os.getpid()).encode())
    elif word == "version":
        reply(version.encode())
    elif word == "site":
        reply(f"{version} {os.getppid()}".encode())
    elif word == "attempt":
        reply(str(fields[ATTEMPT][0]).encode())
    elif word == "left":
        reply(str(struct.unpack(">I", fields[DEADLINE])[0]).encode())
    elif word in ("sleep", "deaf"):
        end = time.monotonic() + int(rest) / 1000
        while (left := end - time.monotonic()) > 0:
            if word == "sleep" and stopped[request].wait(min(left, 0.01)):
                return write(frame(ERROR, CANCELLED, request))
            time.sleep(min(left, 0.01))
        reply(b"slept")
    elif word == "die":
        os.kill(os.getpid(), int(rest))
        time.sleep(10)
    elif word == "stall":
        time.sleep(1000)
    elif word == "eat":
        kept.append(b"x" * (int(rest) << 20))
        reply(b"eaten")
    elif word == "eat-child":
        child = os.fork()
        if child == 0:
            kept.append(b"x" * (int(rest) << 20))
            time.sleep(1000)
        reply(b"eaten")
    elif word == "files":
        try:
            while len(kept) < int(rest):
                kept.append(open(os.devnull))
            reply(str(len(kept)).encode())
        except OSError as error:
            write(frame(ERROR, FAILED, request, str(error).encode()))
    elif word == "flaky":
        if fields[ATTEMPT][0] <= int(rest):
            write(frame(ERROR, FAILED, request, b"not this time"))
        else:
            reply(str(fields[ATTEMPT][0]).encode())
    elif word == "fields":
        reply(b"/".join(fields.get(f, b"") for f in (KEY, TRACE, CLIENT)))
    elif word == "number":
        number = struct.unpack(">Q", fields[NUMBER])[0]
        print("number", number, flush=True)
        if fields[ATTEMPT][0] == 1:
            write(frame(ERROR, FAILED, request, b"not at once"))
        else:
            reply(str(number).encode())
    elif word == "self":
        reply(f"{os.getuid()} {os.getgid()} {os.nice(0)}".encode())
    elif word == "exit":
        os._exit(int(rest))
    elif word == "fail":
        write(frame(ERROR, FAILED, request, rest))
    elif word == "busy":
        write(frame(ERROR, BUSY, request))
    elif word == "print":
        print(rest.decode(), flush=True)
        reply(b"printed")
    elif word == "noise":
        block = bytes(range(256)) * 256
        left = int(rest)
        while left > 0:
            os.write(1 + left % 2, block[:left])
            left -= len(block)
        reply(b"noisy")
    elif word == "large":
        reply(b"x" * int(rest))
    elif word == "garbage":
        write(b"Traceback (most recent call last):\n")
    elif word == "half":
        write(frame(REPLY, 0, request, b"half of it")[:20])
        time.sleep(1000)
    elif word == "twice":
        write(frame(REPLY, 0, request, b"once") + frame(REPLY, 0, request, b"twice"))
    elif word == "unasked":
        write(frame(REPLY, 0, request + 77, b"nobody asked"))
    elif word == "close":
        channel.shutdown(socket.SHUT_RDWR)
        time.sleep(1000)
    elif word == "close-in":
        threading.Timer(int(rest) / 1000, channel.shutdown, [socket.SHUT_RDWR]).start()
        reply(b"soon")
    elif word == "mute":
        os.close(1)
        os.close(2)
        reply(b"mute")
    elif word == "fork":
        child = os.fork()
        if child == 0:
            time.sleep(1000)
            os._exit(0)
        reply(str(child).encode())
    else:
        write(frame(ERROR, FAILED, request, b"no such thing to do: " + body[:50]))


if o.deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if o.on_signal:
    def on_signal(*_):
        open(o.on_signal[1], "w").write("stopped")
        os._exit(0)
    signal.signal(int(o.on_signal[0]), on_signal)
time.sleep(o.start)
if o.at_start >= 0:
    print("cannot begin: there is no model", file=sys.stderr, flush=True)
    sys.exit(o.at_start)
while head := frames.read(16):
    length, kind, code, size, request = struct.unpack(">IBBHQ", head)
    body = frames.read(length - 12)
    fields, body = fields_of(body[:size]), body[size:]
    if kind == HELLO and not o.never:
        more = struct.pack(">BBI", CONCURRENCY, 4, o.concurrency) if o.concurrency else b""
        write(frame(HELLO_OK, 0, request, fields=more))
    elif kind == CANCEL and request in stopped:
        stopped[request].set()
    elif kind == REQUEST:
        stopped[request] = threading.Event()
        if o.concurrency > 1 or body.startswith((b"sleep", b"deaf")):
            threading.Thread(target=handle, args=(request, fields, body), daemon=True).start()
        else:
            handle(request, fields, body)
while o.deaf or o.on_signal:
    time.sleep(1000)
os._exit(0)
