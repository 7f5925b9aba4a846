"""Drives Debian's headless Chromium through its DevTools pipe with the standard library alone."""

import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page of a fresh browser; use it in a `with` block. RuntimeError when a command fails or takes too long."""

    def __init__(self, page: Path, profile: Path, width: int = 1200, height: int = 900, patience: float = 60):
        self._page, self._profile, self._size, self._patience = page, profile, (width, height), patience
        self._numbers, self._left = itertools.count(1), b""

    def __enter__(self) -> "Browser":
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def pipes():  # Chromium reads commands from descriptor 3 and writes answers to 4
            spare = os.dup(theirs_in), os.dup(theirs_out)  # they may be 3 or 4 themselves, and closed on exec
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pipes, close_fds=False,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            width, height = self._size
            self.send(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            self.send("Page.navigate", url=self._page.resolve().as_uri())
            self.wait("document.readyState === 'complete' && location.protocol === 'file:'")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    _session = None

    def send(self, method: str, **params) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self._patience
        while True:
            answer, separator, rest = self._left.partition(b"\0")
            if separator:
                self._left = rest
                reply = json.loads(answer)
                if reply.get("id") == number:
                    if "error" in reply:
                        raise RuntimeError(f"{method}: {reply['error']}")
                    return reply["result"]
                continue
            ready, _, _ = select.select([self._in], [], [], max(0, deadline - time.monotonic()))
            received = os.read(self._in, 1 << 20) if ready else b""
            if not received:
                raise RuntimeError(f"{method}: no answer from {CHROMIUM}")
            self._left += received

    def ask(self, expression: str):
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        deadline = time.monotonic() + self._patience
        while not self.ask(expression):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the page never came to: {expression}")
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """A real click in the middle of an element, scrolled into view; it waits until the element stands still."""
        find = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center',"
            "behavior: 'instant'}); const b = e.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;"
            "return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null; })()"
        )
        deadline, before = time.monotonic() + self._patience, None
        while (box := self.ask(find)) is None or box != before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{selector} is covered or never stands still")
            before = box
            time.sleep(0.05)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)
