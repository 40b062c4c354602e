"""A page opened in Debian's chromium, without a network, and read back."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE_SECONDS = 60
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--force-device-scale-factor=1", "--mute-audio"),
)


class Browser:
    """One chromium; `open` a page, then ask it."""

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=ChromeService(DRIVER))

    def open(self, page: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Open a page from its file, and wait for its first frame."""
        self.emulate(width, height, dark=dark)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # of the page before
        self.driver.get(page.absolute().as_uri())
        self.shown(0)

    def emulate(self, width: int, height: int, *, dark: bool = False) -> None:
        """A screen of this size and scheme; a narrow one is a phone's, with touch."""
        phone = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def js(self, script: str, *arguments: object) -> object:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str) -> None:
        """Until a script returns something true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.js(condition):
            assert time.monotonic() < end, f"waited in vain for: {condition}"
            time.sleep(0.02)

    def shown(self, number: int) -> None:
        """Wait until a frame is shown and nothing is being loaded."""
        self.wait(f"return !loading && picture.dataset.frame === '{number}'")

    def find(self, selector: str):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def press(self, key: str, *modifiers: str) -> None:
        """A key pressed and let go, wherever the focus is."""
        bits = sum({"Alt": 1, "Control": 2, "Shift": 8}[name] for name in modifiers)
        for kind in ("keyDown", "keyUp"):
            self.key(kind, key, bits)

    def key(self, kind: str, key: str, modifiers: int = 0) -> None:
        event = {"type": kind, "key": key, "modifiers": modifiers}
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", event)

    def place(self, x: float, y: float, selector: str = "#picture") -> tuple[float, float]:
        """A point of the window at a place in an element, both from 0 to 1."""
        box = self.js(
            "return document.querySelector(arguments[0]).getBoundingClientRect()", selector
        )
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """With the mouse, between points of the window."""
        self._mouse("mousePressed", begin)
        self._mouse("mouseMoved", end)
        self._mouse("mouseReleased", end)

    def _mouse(self, kind: str, point: tuple[float, float]) -> None:
        event = {"type": kind, "x": point[0], "y": point[1], "button": "left", "clickCount": 1}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event | {"buttons": 1})

    def touch(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """With one finger, between points of the window."""
        for kind, points in (("touchStart", [begin]), ("touchMove", [end]), ("touchEnd", [])):
            event = {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    def pixels(self, selector: str = "#picture") -> np.ndarray:
        """What a canvas holds, (height, width, 3) uint8."""
        return self.decoded(
            self.js("return document.querySelector(arguments[0]).toDataURL()", selector)
        )

    @staticmethod
    def decoded(url: str) -> np.ndarray:
        """The picture of a data URL, (height, width, 3) uint8."""
        file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
        return np.asarray(Image.open(file).convert("RGB"))

    def complaints(self) -> list[str]:
        """What the console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses the page has asked for since it was opened."""
        events = (
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        )
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path) -> None:
        """The whole page as a picture."""
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True}
        )
        path.write_bytes(base64.b64decode(shot["data"]))
