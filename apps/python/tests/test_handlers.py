"""Programs that define handlers, as a worker runs them."""

import signal
import subprocess
import sys
import time

import pytest
from ropewalk._protocol import Code, Field, Kind, field

UPPER = """
    @ropewalk.handler("s")
    def upper(message):
        return message.upper()
"""


def test_bytes_in_and_bytes_out(node):
    n = node(UPPER)
    assert n.concurrency == 1
    assert n.ask(b"hello") == (Code.OK, b"HELLO")
    assert n.ask(b"") == (Code.OK, b"")
    large = b"x" * 2_000_000
    assert n.ask(large) == (Code.OK, large.upper())
    assert n.end() == (0, "")


@pytest.mark.parametrize("made, reply", [("'\\u00e4'", "\u00e4".encode()), ("None", b""), ("bytearray(b'a')", b"a"),
                                         ("memoryview(b'ab')[:1]", b"a")])
def test_what_a_handler_may_return(node, made, reply):
    n = node(f"""
        @ropewalk.handler("s")
        def f(message):
            return {made}
    """)
    assert n.ask(b"") == (Code.OK, reply)


def test_a_handler_that_returns_something_else_has_failed_and_goes_on(node):
    n = node("""
        @ropewalk.handler("s")
        def f(message):
            return 5 if message else b"fine"
    """)
    code, why = n.ask(b"x")
    assert code == Code.FAILED
    assert b"returned a int; it may return bytes, str or None" in why
    assert n.ask(b"") == (Code.OK, b"fine")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_exception_is_its_last_line_and_the_place_and_the_log_has_the_traceback(node, kind):
    n = node(f"""
        {kind} inner(message):
            raise ValueError("no such " + message.decode())

        @ropewalk.handler("s")
        {kind} f(message):
            return {"await " if kind != "def" else ""}inner(message)
    """)
    code, why = n.ask(b"model")
    assert code == Code.FAILED
    assert why.startswith(b"ValueError: no such model (")
    assert why.endswith(b"handlers0.py:4, in inner)")
    status, printed = n.end()
    assert status == 0
    assert "Traceback" in printed and "in f" in printed


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_retry_gives_the_message_to_another_worker(node, kind):
    n = node(f"""
        @ropewalk.handler("s")
        {kind} f(message):
            raise ropewalk.Retry("the GPU is taken")
    """)
    assert n.ask(b"") == (Code.BUSY, b"the GPU is taken")
    assert n.end() == (0, "")


def test_the_context_has_what_the_client_gave_and_who_that_is(node):
    n = node("""
        @ropewalk.handler("s")
        def f(message, context):
            return repr((context.key, context.trace, context.client))
    """)
    assert n.ask(b"") == (Code.OK, b"(b'', b'', '')")
    more = field(Field.KEY, b"k\x00") + field(Field.TRACE, b"00-1") + field(Field.CLIENT, "älice".encode())
    assert n.ask(b"", fields=more) == (Code.OK, repr((b"k\x00", b"00-1", "älice")).encode())


def test_the_context_says_what_is_known(node):
    n = node("""
        @ropewalk.handler("s")
        def f(message, context):
            return f"{context.service} {context.attempt} {context.time_left:.1f}"
    """)
    assert n.ask(b"", attempt=3, deadline_ms=5000) in ((Code.OK, b"s 3 5.0"), (Code.OK, b"s 3 4.9"))


def test_one_program_may_have_handlers_for_several_services(node):
    text = UPPER + """
    @ropewalk.handler("t")
    def lower(message):
        return message.lower()
    """
    assert node(text, "s").ask(b"aB") == (Code.OK, b"AB")
    assert node(text, "t").ask(b"aB") == (Code.OK, b"ab")
    status, printed = node(text, "u", hello=False).end()
    assert status == 1
    assert "no handler for service 'u'; it has: 's', 't'" in printed


def test_a_handler_without_a_name_is_for_whatever_service_there_is(node):
    text = """
        @ropewalk.handler()
        def f(message, context):
            return context.service
    """
    assert node(text, "anything").ask(b"") == (Code.OK, b"anything")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_print_is_harmless(node, kind):
    n = node(f"""
        import sys
        @ropewalk.handler("s")
        {kind} f(message):
            print("binary", message, flush=True)
            sys.stdout.buffer.write(bytes(range(128)))
            return message
    """)
    for i in range(10):
        assert n.ask(b"%d" % i) == (Code.OK, b"%d" % i)


def test_coroutines_run_side_by_side(node):
    n = node("""
        import asyncio
        @ropewalk.handler("s")
        async def f(message):
            await asyncio.sleep(0.5)
            return message
    """)
    assert n.concurrency == 100
    begin = time.monotonic()
    asked = {n.send(b"%d" % i): b"%d" % i for i in range(100)}
    for _ in range(100):
        id, code, reply = n.answer()
        assert (code, reply) == (Code.OK, asked.pop(id))
    assert time.monotonic() - begin < 10  # and not 50


def test_a_coroutine_is_cancelled_with_its_message_and_only_it(node):
    n = node("""
        import asyncio
        @ropewalk.handler("s", concurrency=7)
        async def f(message):
            try:
                if float(message) > 10:
                    print("begun", flush=True)
                await asyncio.sleep(float(message))
                return "slept"
            finally:
                print("cleaned up", message.decode(), flush=True)
    """)
    assert n.concurrency == 7
    long = n.send(b"1000")
    short = n.send(b"0.5")
    assert n.process.stdout.readline() == "begun\n"
    n.write(Kind.CANCEL, long)
    assert n.answer() == (long, Code.CANCELLED, b"")
    assert n.answer() == (short, Code.OK, b"slept")
    n.write(Kind.CANCEL, short)  # is over: nothing happens
    assert n.ask(b"0") == (Code.OK, b"slept")
    status, printed = n.end()
    assert status == 0
    assert "cleaned up 1000" in printed


def test_a_coroutine_that_is_cancelled_before_it_begins_is_answered(node):
    n = node("""
        @ropewalk.handler("s")
        async def f(message):
            return message
    """)
    asked = set()
    for _ in range(100):
        id = n.send(b"x")
        n.write(Kind.CANCEL, id)
        asked.add(id)
    for _ in range(100):
        id, code, _ = n.answer()
        assert code in (Code.OK, Code.CANCELLED)
        asked.remove(id)
    assert not asked


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_startup_comes_before_the_first_message_and_shutdown_at_the_end(node, kind):
    n = node(f"""
        @ropewalk.startup
        {kind} load():
            global model
            model = b"loaded"

        @ropewalk.shutdown
        {kind} close():
            print("closed")

        @ropewalk.handler("s")
        {kind} f(message):
            return model
    """)
    assert n.ask(b"") == (Code.OK, b"loaded")
    assert n.end() == (0, "closed\n")


def test_a_startup_that_fails_ends_the_process_and_says_why(node):
    n = node(UPPER + """
    @ropewalk.startup
    def load():
        raise FileNotFoundError("model.bin")
    """, hello=False)
    status, printed = n.end()
    assert status == 1
    assert "model.bin" in printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_signal_ends_it_after_the_message_that_runs(node, kind, number):
    n = node(f"""
        import asyncio, time
        @ropewalk.shutdown
        def close():
            print("closed")
        @ropewalk.handler("s")
        {kind} f(message):
            print("begun", flush=True)
            {"await asyncio" if kind != "def" else "time"}.sleep(float(message))
            return "done"
    """)
    id = n.send(b"1")
    assert n.process.stdout.readline() == "begun\n"
    n.process.send_signal(number)
    assert n.answer() == (id, Code.OK, b"done")
    status, printed = n.process.wait(20), n.process.stdout.read()
    assert (status, printed) == (0, "closed\n")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_channel_that_breaks_is_the_end(node, kind):
    n = node(f"""
        @ropewalk.handler("s")
        {kind} f(message):
            return message
    """)
    assert n.ask(b"x") == (Code.OK, b"x")
    n.channel.close()
    assert n.process.wait(20) == 0


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_the_end_of_the_channel_waits_for_what_runs(node, kind):
    n = node(f"""
        import asyncio, time
        @ropewalk.handler("s")
        {kind} f(message):
            {"await asyncio" if kind != "def" else "time"}.sleep(0.3)
            return "done"
    """)
    id = n.send(b"")
    status, _ = n.end()
    assert status == 0
    assert n.answer() == (id, Code.OK, b"done")


def test_a_function_with_more_than_one_at_a_time_is_only_faster(node):
    n = node("""
        @ropewalk.handler("s", concurrency=64)
        def f(message):
            return message * 2
    """)
    assert n.concurrency == 64
    for _ in range(20):
        asked = {n.send(b"%d" % i): b"%d" % i * 2 for i in range(64)}
        while asked:
            id, code, reply = n.answer()
            assert (code, reply) == (Code.OK, asked.pop(id))


def test_a_ping_is_answered(node):
    for text in (UPPER, UPPER.replace("def ", "async def ")):
        n = node(text)
        n.write(Kind.PING, 9, b"there?")
        frame = n.next_frame()
        assert (frame.kind, frame.id, frame.payload) == (Kind.PONG, 9, b"there?")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_was_printed_before_a_crash_arrives(node, kind):
    n = node(f"""
        import os
        @ropewalk.handler("s")
        {kind} f(message):
            print("about to die")
            os.kill(os.getpid(), 9)
    """)
    n.send(b"")
    assert n.process.communicate(timeout=20)[0] == "about to die\n"


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_processes_that_a_handler_forks_are_its_own(node, kind):
    n = node(f"""
        import multiprocessing, time
        multiprocessing.set_start_method("fork")
        @ropewalk.handler("s")
        {kind} f(message):
            child = multiprocessing.Process(target=time.sleep, args=(1000,))
            child.start()
            child.terminate()
            child.join(10)
            return str(child.exitcode)
    """)
    assert n.ask(b"") == (Code.OK, b"-15")
    assert n.ask(b"") == (Code.OK, b"-15")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_whatever_an_exception_is_like_there_is_an_answer(node, kind):
    n = node(f"""
        import sys
        class Bad(Exception):
            def __str__(self):
                raise RuntimeError("no text")
        @ropewalk.handler("s")
        {kind} f(message):
            if message == b"retry":
                raise ropewalk.Retry("\\udcff")
            if message == b"stderr":
                sys.stderr = None
            raise Bad
    """)
    assert n.ask(b"retry") == (Code.BUSY, b"?")
    assert n.ask(b"bad")[0] == Code.FAILED
    assert n.ask(b"stderr")[0] == Code.FAILED


def test_a_coroutine_that_cancels_itself_has_failed(node):
    n = node("""
        import asyncio
        @ropewalk.handler("s")
        async def f(message):
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
    """)
    code, why = n.ask(b"")
    assert code == Code.FAILED
    assert b"CancelledError" in why


def test_a_function_with_defaults_is_a_handler_as_it_is(node):
    import zlib
    n = node("""
        import zlib
        ropewalk.handler("s")(zlib.compress)
    """)
    code, reply = n.ask(b"x" * 1000)
    assert (code, zlib.decompress(reply)) == (Code.OK, b"x" * 1000)


def test_a_reply_that_took_long_does_not_wait_for_those_behind_it(node):
    n = node("""
        import time
        @ropewalk.handler("s", concurrency=64)
        def f(message):
            time.sleep(0.3)
            return message
    """)
    begin = time.monotonic()
    for i in range(8):
        n.send(b"%d" % i)
    assert n.answer()[2] == b"0"
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_signal_in_the_middle_of_a_large_reply_does_not_cut_it(node, kind):
    n = node(f"""
        import os
        @ropewalk.handler("s")
        {kind} f(message):
            os.kill(os.getpid(), 15)
            return b"x" * 8_000_000
    """)
    n.send(b"")
    time.sleep(0.2)
    assert n.answer()[2] == b"x" * 8_000_000
    assert n.process.wait(20) == 0


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_comes_after_a_signal_is_for_another_worker(node, kind):
    n = node(f"""
        import asyncio, time
        @ropewalk.handler("s", concurrency=10)
        {kind} f(message):
            print("begun")
            {"await asyncio" if kind != "def" else "time"}.sleep(0.5)
            return "done"
    """)
    first = n.send(b"")
    assert n.process.stdout.readline() == "begun\n"
    n.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    expected = {(first, Code.OK)} | {(n.send(b""), Code.BUSY)}
    assert {n.answer()[:2] for _ in range(2)} == expected


def test_without_a_worker_it_says_how_it_is_started(tmp_path):
    program = tmp_path / "alone.py"
    program.write_text("import ropewalk\nropewalk.handler('s')(bytes.upper if 0 else lambda m: m)\nropewalk.serve()\n")
    from conftest import FOLDER
    out = subprocess.run([sys.executable, str(program)], env={"PYTHONPATH": str(FOLDER)}, capture_output=True, text=True)
    assert out.returncode == 1
    assert "ropewalk worker --service 'NAME=exec:python3" in out.stderr


def test_handlers_that_make_no_sense_are_said_when_they_are_defined():
    import ropewalk
    with pytest.raises(ValueError, match="at least 1"):
        ropewalk.handler("a", concurrency=0)
    with pytest.raises(TypeError, match="takes no argument"):
        ropewalk.handler("b")(lambda: None)
    ropewalk.handler("c")(lambda m: m)
    with pytest.raises(ValueError, match="two handlers for service 'c'"):
        ropewalk.handler("c")(lambda m: m)
