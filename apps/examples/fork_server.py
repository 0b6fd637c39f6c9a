#!/usr/bin/env python3
"""A program that is loaded once and forked for each process, from net/PROTOCOL.md alone: replies with each message in capital
letters, and behind it how many words it has loaded and which process this is.

    ropewalk worker --service 'up=exec:python3 apps/examples/fork_server.py' --set up.recycle-after=1
"""
import array
import os
import socket
import struct

HELLO, HELLO_OK, REQUEST, REPLY, FORK, FORKED = 1, 2, 3, 4, 10, 11
IS_FORK_SERVER, PID = b"\x0e\x01\x01", b"\x0f\x04"  # fields
WORDS = ["rope", "walk"] * 100_000  # what takes long to load


def send(channel, kind, request, payload=b"", fields=b""):
    channel.sendall(struct.pack(">IBBHQ", 12 + len(fields) + len(payload), kind, 0, len(fields), request) + fields + payload)


def frames(channel):
    while head := channel.recvmsg(16, socket.CMSG_SPACE(3 * 4)):
        if not head[0]:
            return
        length, kind, code, fields, request = struct.unpack(">IBBHQ", head[0])
        body = channel.recv(length - 12, socket.MSG_WAITALL) if length > 12 else b""
        yield kind, request, body[fields:], [fd for _, _, data in head[1] for fd in array.array("i", data)]


def serve(channel):
    for kind, request, body, _ in frames(channel):
        if kind == HELLO:
            send(channel, HELLO_OK, request)
        elif kind == REQUEST:
            send(channel, REPLY, request, body.upper() + b" %d %d" % (len(WORDS), os.getpid()))


server = socket.socket(fileno=int(os.environ["ROPEWALK_FD"]))
for kind, request, body, descriptors in frames(server):
    if kind == HELLO:
        send(server, HELLO_OK, request, fields=IS_FORK_SERVER)
    elif kind == FORK:
        read, write = os.pipe()
        if os.fork() == 0:  # the one in between
            child = os.fork()
            if child == 0:
                server.close()
                os.dup2(descriptors[1], 1)
                os.dup2(descriptors[2], 2)
                os.environb.update(entry.split(b"=", 1) for entry in body.split(b"\0") if entry)
                serve(socket.socket(fileno=descriptors[0]))
            else:
                os.write(write, struct.pack(">I", child))
            os._exit(0)
        os.wait()
        send(server, FORKED, request, fields=PID + os.read(read, 4))
        for descriptor in [read, write, *descriptors]:
            os.close(descriptor)
