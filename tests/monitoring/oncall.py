"""docker/ONCALL.md: every alert has its section, and what it quotes is what is said."""
import re
import socket

from place import DOCKER

PAGE = DOCKER / "ONCALL.md"


def normal(text, service):
    """As it stands in the page: without what is of this run only. Columns stay where they are."""
    host = socket.gethostname()
    for pid in {str(process.pid) for process in service.running}:
        # In a table it stands before its machine: right-aligned if there is a single blank between them.
        text = re.sub(rf"\b{pid} (?={re.escape(host)}\b)", "4711 ".rjust(len(pid) + 1), text)
        text = re.sub(rf"\b{pid}(?= +{re.escape(host)}\b)", "4711".ljust(len(pid)), text)
    text = re.sub(rf"\b{re.escape(host)}\b *", lambda m: "box1 ".ljust(len(m[0])), text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:7070", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "2026-11-26T03:12:09.118", text)


def kinds(text):
    """What a text says apart from how much of it: numbers with their units are N."""
    words = re.sub(r"(?<!\w)\d[\w.,%/]*(?:-\d+)?", "N", text)
    words = re.sub(r"(?<!\S)-(?!\S)", "N", words)
    return {" ".join(line.split()) for line in words.splitlines() if line.strip()}


def blocks(page):
    return dict(re.findall(r"<!-- (\w+ \w+) -->\n```\n(.*?)```\n<!-- / -->", page, re.S))


def check_alerts(page):
    rules = set(re.findall(r"- alert: (\w+)", (DOCKER / "alerts.yaml").read_text()))
    sections = re.findall(r"^### (Ropewalk\w+)$", page, re.M)
    assert len(sections) == len(set(sections)) and set(sections) == rules, set(sections) ^ rules


def check_quotes(page, faults):
    quoted = blocks(page)
    said = {f"{fault.name} {what}": text for fault in faults for what, text in fault.quotes.items()}
    assert set(quoted) <= set(said), set(quoted) - set(said)
    assert {name.split()[0] for name in quoted} == {fault.name for fault in faults}
    for name, text in quoted.items():
        was, now = kinds(text), kinds(said[name])
        assert was == now, f"{name}: the page says\n{text}\nand now it is\n{said[name]}\n(what differs: {was ^ now}); " \
                           "if that is better, tests/monitoring/run --write"
    return len(quoted)


def write(page, faults):
    for fault in faults:
        for what, text in fault.quotes.items():
            page = re.sub(rf"(<!-- {fault.name} {what} -->\n```\n).*?(```\n<!-- / -->)", lambda m: m[1] + text + m[2], page,
                          flags=re.S)
    return page
