"""A connection without its I/O: what is asked comes out as bytes, and what comes in as answers."""

import random
import socket
import threading

import pytest
from ropewalk import Busy, WorkerLost
from ropewalk._address import address_of
from ropewalk._connection import Connection, options_of
from ropewalk._engine import Engine
from ropewalk._errors import error_of
from ropewalk._protocol import Code, Decoder, Field, Kind, ProtocolError, field, fields_of, head, number_field, number_of
from ropewalk._sockets import Link


class Asked:
    def __init__(self, payload=b"", fixed=options_of("s"), expires=None):
        self.id = 0
        self.kind = Kind.REQUEST
        self.fixed = fixed
        self.expires = expires
        self.pieces = (payload,)
        self.size = len(payload)
        self.unwanted = False


def written(connection):
    return Decoder().feed(b"".join(connection.take_out()))


def came(connection, data):
    events = []
    while data:
        buffer = connection.buffer()
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        data = data[count:]
        events += connection.received(count)
    return events


def test_it_begins_with_hello_and_many_requests_are_one_write():
    c = Connection(b"secret")
    for i in range(100):
        c.request(Asked(b"%d" % i), 0.0)
    assert c.unsent_requests == 100
    out = c.take_out()
    assert len(out) == 1
    hello, *requests = Decoder().feed(out[0])
    assert hello.kind == Kind.HELLO
    assert fields_of(hello.fields)[Field.TOKEN] == b"secret"
    assert [r.payload for r in requests] == [b"%d" % i for i in range(100)]
    assert len({r.id for r in requests}) == 100
    assert c.take_out() == [] and c.unsent_bytes == 0


def test_a_large_payload_is_not_copied():
    c = Connection()
    large = bytearray(1_000_000)
    c.request(Asked(large), 0.0)
    assert any(piece is large for piece in c.take_out())
    (event,) = came(c, head(Kind.REPLY, Code.OK, 1, len(large)) + bytes(large))
    assert isinstance(event.frame.payload, memoryview) and event.frame.payload == large


def test_the_deadline_is_the_time_that_is_left_when_it_is_sent():
    c = Connection()
    for expires, left in ((10.0, 4000), (6.25, 250), (1.0, 1), (1e12, 0xFFFFFFFF)):
        c.request(Asked(expires=expires), 6.0)
        fields = fields_of(written(c)[-1].fields)
        assert number_of(fields[Field.DEADLINE]) == left


def test_every_answer_finds_its_request_in_whatever_order_and_pieces_they_come():
    chance = random.Random(5)
    for _ in range(20):
        c = Connection()
        asked = [Asked(b"%d" % i) for i in range(200)]
        for one in asked:
            c.request(one, 0.0)
        answers = [head(Kind.REPLY, 0, one.id, len(one.pieces[0])) + one.pieces[0] for one in asked]
        chance.shuffle(answers)
        data = b"".join(answers)
        got = []
        while data:
            size = chance.choice((1, 15, 17, 4000))
            got += came(c, data[:size])
            data = data[size:]
        assert all(event.request.pieces[0] == event.frame.payload for event in got)
        assert {event.request for event in got} == set(asked)
        assert not c.in_flight


def test_an_answer_that_nobody_waits_for_is_skipped():
    c = Connection()
    one = Asked()
    c.request(one, 0.0)
    assert c.cancel(one)
    assert [frame.kind for frame in written(c)] == [Kind.HELLO, Kind.REQUEST, Kind.CANCEL]
    assert len(came(c, head(Kind.ERROR, Code.CANCELLED, one.id, 0))) == 1
    assert came(c, head(Kind.REPLY, Code.OK, one.id, 0)) == []
    assert not c.cancel(one)


def test_what_is_about_the_connection_is_nobodys_answer():
    c = Connection()
    c.request(Asked(), 0.0)
    (event,) = came(c, head(Kind.ERROR, Code.TIMEOUT, 0, 4) + b"idle")
    assert event.request is None
    assert len(c.give_up()) == 1


def test_draining_is_noticed_and_a_ping_answered():
    c = Connection()
    one = Asked()
    c.request(one, 0.0)
    c.take_out()
    came(c, head(Kind.PING, 0, 9, 2) + b"hi")
    (pong,) = written(c)
    assert (pong.kind, pong.id, pong.payload) == (Kind.PONG, 9, b"hi")
    assert not c.draining
    came(c, head(Kind.ERROR, Code.DRAINING, one.id, 0))
    assert c.draining


def test_hello_ok_says_how_large_a_message_may_be():
    c = Connection()
    assert came(c, head(Kind.HELLO_OK, 0, 1, 0, number_field(Field.MAX_MESSAGE, 777))) == []
    assert c.max_message == 777


def test_bytes_that_are_no_frame_are_an_error():
    with pytest.raises(ProtocolError):
        came(Connection(), b"\0\0\0\1" + bytes(12))
    with pytest.raises(ProtocolError):
        came(Connection(), b"HTTP/1.1 400 Bad Request\r\n")


def test_each_code_has_a_class_of_its_own():
    classes = set()
    for code in Code:
        if code != Code.OK:
            (frame,) = Decoder().feed(head(Kind.ERROR, code, 1, 3) + b"why")
            error = error_of(frame)
            assert error.code == code and str(error) == "why" and error.retry_after is None
            classes.add(type(error))
    assert len(classes) == len(Code) - 1
    (frame,) = Decoder().feed(head(Kind.ERROR, Code.BUSY, 1, 0, number_field(Field.RETRY_AFTER, 250)))
    assert isinstance(error_of(frame), Busy) and error_of(frame).retry_after == 0.25
    assert not isinstance(error_of(frame), WorkerLost)


def test_none_overtakes_what_waits_for_the_connection():
    engine = Engine(address_of("ropewalk://localhost:1"))
    engine._thread = threading.current_thread()  # whose turns are taken here
    ours, theirs = socket.socketpair()
    with ours, theirs:
        jobs = [Asked(b"%d" % i) for i in range(4)]
        engine.send(jobs[0])
        engine.send(jobs[1])
        engine._link = Link(ours, Connection(), False)
        engine.send(jobs[2])  # the engine's thread has not seen the connection yet
        engine._look_after_waiting([])
        engine.send(jobs[3])
        engine._link.flush()
        assert [frame.payload for frame in Decoder().feed(theirs.recv(65536))[1:]] == [b"0", b"1", b"2", b"3"]
    engine._thread = None
    engine.close()


@pytest.mark.parametrize("wrong", [dict(service=""), dict(service="a b"), dict(service="x" * 129), dict(attempts=0),
                                   dict(attempts=256), dict(priority="urgent"), dict(key=b""), dict(key=b"x" * 256)])
def test_what_the_protocol_cannot_say_is_refused(wrong):
    with pytest.raises(ValueError):
        options_of(**{"service": "s", **wrong})
    assert field(Field.SERVICE, b"s") == options_of("s")
