import queue
import socket
import struct
import threading


class Ropewalk:  # a client from scratch: net/PROTOCOL.md says what goes over the wire
    def __init__(self, host="127.0.0.1", port=7070):
        self.socket = socket.create_connection((host, port))
        self.incoming = self.socket.makefile("rb")
        self.outgoing = queue.SimpleQueue()
        self.last_id = 0
        # Written beside the reading: who only writes, and reads later, stands still together with a broker that waits
        # for its answers to be read.
        threading.Thread(target=self._write, daemon=True).start()

    def _write(self):
        try:
            while True:
                self.socket.sendall(self.outgoing.get())
        except OSError:
            pass  # the connection is over: receive says so

    def _read(self, count):
        data = self.incoming.read(count)
        if len(data) < count:
            raise ConnectionError("the broker closed the connection; what it has not answered may have run")
        return data

    def send(self, service, payload):
        self.last_id += 1
        field = bytes([2, len(service)]) + service.encode()
        head = struct.pack(">IBBHQ", 12 + len(field) + len(payload), 3, 0, len(field), self.last_id)
        self.outgoing.put(head + field + payload)
        return self.last_id

    def receive(self):
        while True:
            length, kind, code, fields, id = struct.unpack(">IBBHQ", self._read(16))
            payload = self._read(length - 12)[fields:]
            if kind == 5 and id == 0:  # an ERROR about the connection, which then ends
                raise ConnectionError(payload.decode())
            if kind in (4, 5):  # a REPLY or an ERROR; other frames are skipped
                return id, code, payload


if __name__ == "__main__":
    client = Ropewalk()
    words = [b"many", b"hands", b"one", b"rope"]
    asked = {client.send("upper", word): word for word in words}  # all at once; answers in any order
    for _ in words:
        id, code, payload = client.receive()  # code 0: a reply; else an error, and the payload says why
        print(asked[id].decode(), "->", payload.decode() if code == 0 else f"error {code}: {payload.decode()}")
