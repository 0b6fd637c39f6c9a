"""A collector of traces that believes nothing: `collector.py MODE` listens on a port of 127.0.0.1, which it prints, and
prints a line for each span that it was sent, or what is wrong with a request. It is held to
opentelemetry/proto/collector/trace/v1 and its mapping to JSON: no field that is not in there, ids in hexadecimal digits,
64 bits as strings.

MODE: good; busy (the first requests are answered 429, Retry-After 1); broken (500); slow (never answers).
"""
import http.server
import json
import re
import sys
import time

# Field -> (what it has to be, whether it must be there). The proto's messages, as JSON names them.
STRING = lambda v: isinstance(v, str)
UINT32 = lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**32
FIXED64 = lambda v: isinstance(v, str) and re.fullmatch(r"[0-9]{1,20}", v) is not None and int(v) < 2**64
INT64 = lambda v: isinstance(v, str) and re.fullmatch(r"-?[0-9]{1,19}", v) is not None
BOOL = lambda v: isinstance(v, bool)
DOUBLE = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)


def hex_id(size):
    return lambda v: isinstance(v, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", v) is not None and int(v, 16) != 0


def list_of(what):
    def check(value):
        return isinstance(value, list) and all(is_a(what, one) for one in value)
    return check


def one_of(fields):
    def check(value):
        return isinstance(value, dict) and len(value) == 1 and all(k in fields and fields[k](v) for k, v in value.items())
    return check


def is_a(fields, value):
    if not isinstance(value, dict):
        return False
    for name, one in value.items():
        if name not in fields:
            raise ValueError(f"there is no field {name!r}")
        if not fields[name][0](one):
            raise ValueError(f"{name} is {one!r}")
    for name, (_, needed) in fields.items():
        if needed and name not in value:
            raise ValueError(f"{name} is missing in {value!r}")
    return True


ANY_VALUE = one_of({"stringValue": STRING, "boolValue": BOOL, "intValue": INT64, "doubleValue": DOUBLE})
KEY_VALUE = {"key": (lambda v: STRING(v) and v != "", True), "value": (ANY_VALUE, True)}
STATUS = {"message": (STRING, False), "code": (lambda v: v in (0, 1, 2), False)}
SPAN = {
    "traceId": (hex_id(16), True), "spanId": (hex_id(8), True), "traceState": (STRING, False),
    "parentSpanId": (lambda v: v == "" or hex_id(8)(v), False), "flags": (UINT32, False),
    "name": (lambda v: STRING(v) and v != "", True), "kind": (lambda v: UINT32(v) and 1 <= v <= 5, True),
    "startTimeUnixNano": (FIXED64, True), "endTimeUnixNano": (FIXED64, True),
    "attributes": (list_of(KEY_VALUE), False), "droppedAttributesCount": (UINT32, False),
    "status": (lambda v: is_a(STATUS, v), False),
}
SCOPE = {"name": (STRING, False), "version": (STRING, False), "attributes": (list_of(KEY_VALUE), False)}
SCOPE_SPANS = {"scope": (lambda v: is_a(SCOPE, v), False), "spans": (list_of(SPAN), True), "schemaUrl": (STRING, False)}
RESOURCE = {"attributes": (list_of(KEY_VALUE), False), "droppedAttributesCount": (UINT32, False)}
RESOURCE_SPANS = {"resource": (lambda v: is_a(RESOURCE, v), False), "scopeSpans": (list_of(SCOPE_SPANS), True),
                  "schemaUrl": (STRING, False)}
REQUEST = {"resourceSpans": (list_of(RESOURCE_SPANS), True)}


def attributes_of(where):
    names = [one["key"] for one in where["attributes"]]
    if len(names) != len(set(names)):
        raise ValueError(f"an attribute is there twice: {names}")
    return {one["key"]: next(iter(one["value"].values())) for one in where["attributes"]}


def spans_of(request):
    is_a(REQUEST, request)
    for resource in request["resourceSpans"]:
        if attributes_of(resource["resource"])["service.name"] != "ropewalk":
            raise ValueError("service.name")
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if int(span["startTimeUnixNano"]) > int(span["endTimeUnixNano"]):
                    raise ValueError(f"it ends before it begins: {span}")
                if abs(int(span["endTimeUnixNano"]) - time.time_ns()) > 120 * 10**9:
                    raise ValueError(f"it was at another time: {span}")
                yield span | {"attributes": attributes_of(span)}


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode = "good"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
            print(f"invalid: {self.path} {self.headers['Content-Type']}", flush=True)
        if Collector.mode == "slow":
            print("slow", flush=True)
            time.sleep(3600)
        if Collector.mode == "busy":
            Collector.mode = "good"
            return self.answer(429, {"Retry-After": "1"}, time.monotonic())
        if Collector.mode == "broken":
            return self.answer(500, {})
        try:
            for span in spans_of(json.loads(body)):
                print(json.dumps(span), flush=True)
        except (ValueError, KeyError, TypeError) as error:
            print(f"invalid: {error!r}", flush=True)
        self.answer(200, {})

    def answer(self, status, fields, at=None):
        print(f"answered {status}" + (f" at {at}" if at else ""), flush=True)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def main():
    Collector.mode = sys.argv[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    print(f"port={server.server_port} ", flush=True)
    server.serve_forever()


main()
