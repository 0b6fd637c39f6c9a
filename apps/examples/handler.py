#!/usr/bin/env python3
"""A handler that stays up, from net/PROTOCOL.md alone: replies with each message in capital letters.

    ropewalk worker --service 'up=exec:python3 apps/examples/handler.py'
"""
import os
import socket
import struct

HELLO, HELLO_OK, REQUEST, REPLY, ERROR = 1, 2, 3, 4, 5
FAILED = 1
channel = socket.socket(fileno=int(os.environ["ROPEWALK_FD"]))
frames = channel.makefile("rb")


def send(kind, code, request, payload):
    head = struct.pack(">IBBHQ", 12 + len(payload), kind, code, 0, request)
    channel.sendall(head + payload)


while head := frames.read(16):
    length, kind, code, fields, request = struct.unpack(">IBBHQ", head)
    body = frames.read(length - 12)[fields:]
    if kind == HELLO:
        send(HELLO_OK, 0, request, b"")
    elif kind == REQUEST:
        try:
            send(REPLY, 0, request, body.upper())
        except Exception as error:
            send(ERROR, FAILED, request, str(error).encode())
