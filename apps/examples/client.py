import socket
import struct


class Ropewalk:  # a client from scratch: net/PROTOCOL.md says what goes over the wire
    def __init__(self, host="127.0.0.1", port=7070):
        self.socket = socket.create_connection((host, port))
        self.incoming = self.socket.makefile("rb")
        self.last_id = 0

    def send(self, service, payload):
        self.last_id += 1
        field = bytes([2, len(service)]) + service.encode()
        head = struct.pack(">IBBHQ", 12 + len(field) + len(payload), 3, 0, len(field), self.last_id)
        self.socket.sendall(head + field + payload)
        return self.last_id

    def receive(self):
        length, kind, code, fields, id = struct.unpack(">IBBHQ", self.incoming.read(16))
        return id, code, self.incoming.read(length - 12)[fields:]


if __name__ == "__main__":
    client = Ropewalk()
    words = [b"many", b"hands", b"one", b"rope"]
    asked = {client.send("upper", word): word for word in words}  # all at once; answers in any order
    for _ in words:
        id, code, payload = client.receive()  # code 0: a reply; else an error, and the payload says why
        print(asked[id].decode(), "->", payload.decode() if code == 0 else f"error {code}: {payload.decode()}")
