"""A headless Chromium for tests, spoken to by the DevTools protocol over a pair of pipes."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT_SECONDS = 60

# Chromium reads commands from descriptor 3 and writes answers to 4.
_LAUNCH = (
    "import os, sys; commands, answers = map(int, sys.argv[1:3]); "
    "os.dup2(commands, 3); os.dup2(answers, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page in a browser of its own.

    `events` holds what the browser has told without being asked, such as requests and console
    messages.
    """

    def __init__(self, profile):
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, str(commands), str(answers), CHROMIUM),
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-pipe"),
            ],
            pass_fds=(commands, answers),
            env={**os.environ, "HOME": str(profile)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._received = b""
        self._session = {}
        self._last_id = 0
        self.events = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._session = {}
            self.send("Browser.close")
        finally:
            try:
                self._process.wait(TIMEOUT_SECONDS)
            finally:
                self._process.kill()
                os.close(self._commands)
                os.close(self._answers)

    def send(self, method, **params):
        """Give a command and return its result."""
        self._last_id += 1
        command = {"id": self._last_id, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self._last_id:
            self.events.append(message)
        assert "error" not in message, message["error"]
        return message["result"]

    def open(self, url):
        """Go to a page and wait until it is loaded; forget earlier events."""
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not self.told("Page.loadEventFired"):
            self.events.append(self._next())

    def told(self, method):
        """Return the parameters of the events of this name."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def evaluate(self, expression, wait=False):
        """Return the value of a JavaScript expression on the page, or what it promises."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def resize(self, width, height=800):
        """Look at the page through a window of this many CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme):
        """Prefer colours, "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def click(self, x, y):
        """Press and release the left button of the mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key):
        """Press and release a key that has a name and a character, such as Enter."""
        codes = {"key": key, "code": key, "windowsVirtualKeyCode": 13, "text": "\r"}
        self.send("Input.dispatchKeyEvent", type="keyDown", **codes)
        self.send("Input.dispatchKeyEvent", type="keyUp", **codes)

    def screenshot(self, whole=False):
        """Return a PNG of what is in the window, or of the whole page."""
        return _data(self.send("Page.captureScreenshot", captureBeyondViewport=whole))

    def pdf(self):
        """Return the page as printed, its headings as bookmarks."""
        outline = {"generateTaggedPDF": True, "generateDocumentOutline": True}
        return _data(self.send("Page.printToPDF", printBackground=True, **outline))

    def _next(self):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], TIMEOUT_SECONDS)
            assert ready, f"no answer within {TIMEOUT_SECONDS} s"
            received = os.read(self._answers, 1 << 20)
            assert received, "the browser has gone"
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


def _pipe():
    """Return the ends for reading and writing, away from the numbers that Chromium wants."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved


def _data(result):
    return base64.b64decode(result["data"])
