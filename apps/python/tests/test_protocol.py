"""Frames, whichever way their bytes come."""

import random

from ropewalk._protocol import Code, Decoder, Field, Kind, field, fields_of, head, number_field, number_of


def frames(count, seed):
    chance = random.Random(seed)
    made = []
    for id in range(count):
        fields = field(Field.SERVICE, b"s" * chance.randrange(20)) if chance.random() < 0.5 else b""
        payload = chance.randbytes(chance.choice((0, 1, 30, 5000)))
        made.append((id, fields, payload, head(Kind.REQUEST, Code.OK, id, len(payload), fields) + payload))
    return made


def test_frames_come_out_as_they_went_in_however_they_are_cut():
    for seed in range(50):
        made = frames(20, seed)
        stream = b"".join(m[3] for m in made)
        chance = random.Random(-seed)
        decoder, got = Decoder(), []
        while stream:
            piece = stream[:chance.choice((1, 15, 16, 17, 1000, 100_000))]
            stream = stream[len(piece):]
            got += decoder.feed(piece)
        assert [(f.id, f.fields, f.payload) for f in got] == [m[:3] for m in made]
        assert all(f.kind == Kind.REQUEST for f in got)


def test_fields_are_read_and_unknown_ones_skipped():
    data = field(200, b"later") + number_field(Field.DEADLINE, 1500) + field(Field.KEY, b"")
    fields = fields_of(data)
    assert number_of(fields[Field.DEADLINE]) == 1500
    assert fields[Field.KEY] == b""
    assert number_of(fields.get(Field.ATTEMPT), 1) == 1
