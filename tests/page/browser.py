"""A headless Chromium, driven by its DevTools protocol over two pipes, from the standard library alone."""
import base64
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time


class Browser:
    """One browser with one page. What the page writes to its console, and every exception that it does not catch, is
    kept in `problems`; every URL that it asks for in `requests`."""

    def __init__(self):
        program = shutil.which("chromium")
        if not program:
            raise SystemExit("tests/page: there is no chromium; docker/install-deps test brings it")
        self.folder = tempfile.mkdtemp(prefix="ropewalk-chromium-")
        self.problems = []
        self.requests = []
        self.last_id = 0
        self.answers = {}
        self.rest = b""
        theirs_in, self.commands = os.pipe()
        self.events, theirs_out = os.pipe()

        def give_pipes():  # as descriptors 3 and 4, whatever they were
            high_in, high_out = os.dup2(theirs_in, 198), os.dup2(theirs_out, 199)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        options = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-sandbox", "--disable-gpu",
                   "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=1280,900",
                   f"--user-data-dir={self.folder}", "about:blank"]
        with open(self.folder + "/log", "wb") as log:
            self.process = subprocess.Popen([program, *options], preexec_fn=give_pipes, close_fds=False,
                                            pass_fds=(), stdout=log, stderr=log, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        page = next(t for t in self.say("Target.getTargets", on_page=False)["targetInfos"] if t["type"] == "page")
        self.session = self.say("Target.attachToTarget", on_page=False, targetId=page["targetId"],
                                flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.say(f"{domain}.enable")

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the protocol -------------------------------------------------------------------------------------------------

    def say(self, method, on_page=True, **parameters):
        """Sends a command and returns its result."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if on_page:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while self.last_id not in self.answers:
            if not self.hear(end - time.monotonic()):
                raise TimeoutError(f"chromium does not answer {method}")
        answer = self.answers.pop(self.last_id)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def hear(self, seconds):
        """Takes what has come, or comes within so many seconds; false if nothing does."""
        if not select.select([self.events], [], [], max(0, seconds))[0]:
            return False
        self.rest += os.read(self.events, 1 << 20)
        *messages, self.rest = self.rest.split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.note(message["method"], message["params"])
        return True

    def note(self, event, what):
        if event == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in what["args"]))
        elif event == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.problems.append(what["entry"]["text"] + " " + what["entry"].get("url", ""))
        elif event == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    # -- what a test does ---------------------------------------------------------------------------------------------

    def open(self, url):
        self.say("Page.navigate", url=url)

    def js(self, expression):
        """The value of an expression in the page, as JSON has it."""
        result = self.say("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", expression))
        return result["result"].get("value")

    def wait_for(self, expression, seconds=20):
        """Until the expression is true; returns how many seconds that took."""
        begin = time.monotonic()
        while not self.js(expression):
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"not within {seconds} s: {expression}\nthe page says: " +
                                     self.js("document.body.innerText")[:3000])
            self.hear(0.05)
        return time.monotonic() - begin

    def click(self, selector):
        """A click of the mouse in the middle of what the selector names, as a person would."""
        x, y = self.js(f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{block: "center", behavior: "instant"}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.say("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key, code=0, text=""):
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.say("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **extra)

    def write(self, text):
        self.say("Input.insertText", text=text)

    def look(self, width, height=900, dark=False, scale=1):
        """The size of the window, and whether the person likes it dark."""
        self.say("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                 mobile=width < 600)
        self.say("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole=False, format="png"):
        data = self.say("Page.captureScreenshot", format=format, captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
