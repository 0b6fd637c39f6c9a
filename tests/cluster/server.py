#!/usr/bin/env python3
"""A server for `unix:` and `tcp:`: each connection is tests/cluster/handler.py with the same options.

    server.py ADDRESS LOG OPTION...    ADDRESS: a path, or 127.0.0.1:PORT; each connection is a line in LOG
"""
import os
import pathlib
import signal
import socket
import sys

address, log = sys.argv[1:3]
handler = pathlib.Path(__file__).with_name("handler.py")
if address.startswith("/"):
    pathlib.Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
else:
    host, port = address.rsplit(":", 1)
    listener = socket.create_server((host, int(port)))
listener.listen()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    connection, _ = listener.accept()
    with open(log, "a") as out:
        out.write("connected\n")
    if os.fork() == 0:
        os.dup2(connection.fileno(), 3)
        os.environ["ROPEWALK_FD"] = "3"
        os.execv(sys.executable, [sys.executable, str(handler), *sys.argv[3:]])
    connection.close()
