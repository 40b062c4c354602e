"""The page in a real browser: a click shows the kernels of the pixel, as the arrays have them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and its driver"),
]


@pytest.fixture(scope="module")
def seen(tiny: Path, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "page.html"
    arguments = ["inspect", video, "-o", page, "--at", "3f", "--frames", 2, "--raw"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--weights", str(tiny)])
    assert done.exit_code == 0, done.output
    return page


@pytest.fixture
def browser(seen: Path) -> Iterator[object]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(seen.as_uri())
        WebDriverWait(driver, 20).until(lambda d: ready(d) == "0")
        yield driver
    finally:
        driver.quit()


def ready(driver) -> str | None:
    return driver.execute_script("return document.body.dataset.ready")


def click(driver, title: str, x: float, y: float) -> None:
    """Click at a place, as parts of its sides, of the picture with a title."""
    from selenium.webdriver.common.action_chains import ActionChains

    image = driver.find_element("css selector", f'img[alt="{title}"]')
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
    width, height = image.size["width"], image.size["height"]
    # Offsets count from the middle.
    offset = round((x - 0.5) * width), round((y - 0.5) * height)
    ActionChains(driver).move_to_element_with_offset(image, *offset).click().perform()


def canvas(driver, kind: str, t: int) -> np.ndarray:
    """The pixels of a kernel that is shown, (height, width, 4)."""
    script = """
        const canvas = document.querySelectorAll(`#${arguments[0]} canvas`)[arguments[1]];
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.height, canvas.width, [...data.data]];"""
    height, width, pixels = driver.execute_script(script, kind, t)
    return np.array(pixels, np.uint8).reshape(height, width, 4)


@pytest.mark.parametrize(("title", "x", "y"), [("frame t", 0.3, 0.7), ("residual", 0.8, 0.25)])
def test_a_click_shows_the_kernels_of_that_pixel(browser, seen, title, x, y):
    click(browser, title, x, y)
    place = browser.find_element("id", "place").text
    column, row = (int(part.split()[-1]) for part in place.replace("Pixel ", "").split(", "))
    assert abs(column - x * 64) <= 1
    assert abs(row - y * 48) <= 1
    with np.load(seen.with_name("page_000003.npz")) as arrays:
        degradation = arrays["kernel_degradation"][row, column]
        restoration = arrays["kernel_restoration"][row, column]
    for t in range(3):
        shown = canvas(browser, "degradation", t)[..., 0]
        np.testing.assert_allclose(shown, degradation[t] / degradation.max() * 255, atol=1.5)
        table = canvas(browser, "restoration", t).astype(int)
        kernel = restoration[1, 2, t]  # second line, third column of the table of sub-pixels
        cell = table[4:7, 8:11]
        redder = cell[..., 0] - cell[..., 2]
        assert (np.sign(redder) == np.sign(np.rint(kernel / np.abs(restoration).max() * 127))).all()


def test_arrow_keys_move_the_pixel_and_the_marks(browser):
    from selenium.webdriver.common.keys import Keys

    click(browser, "frame t", 0.5, 0.5)
    before = browser.find_element("id", "place").text
    mark = browser.find_element("css selector", ".mark")
    left = mark.get_attribute("style")
    browser.find_element("css selector", "body").send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element("id", "place").text != before
    assert mark.get_attribute("style") != left


def test_another_frame_shows_its_own_pictures_and_kernels(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    first = browser.find_element("css selector", 'img[alt="frame t"]').get_attribute("src")
    kernel = canvas(browser, "degradation", 1)
    browser.find_elements("css selector", "#frames button")[1].click()
    WebDriverWait(browser, 20).until(lambda d: ready(d) == "1")
    assert "frame 4" in browser.find_element("id", "about").text
    assert browser.find_element("css selector", 'img[alt="frame t"]').get_attribute("src") != first
    assert (canvas(browser, "degradation", 1) != kernel).any()


def test_every_picture_loads_without_errors_or_requests(browser):
    widths = browser.execute_script("return [...document.images].map((i) => i.naturalWidth)")
    assert len(widths) == 30
    assert all(widths)
    requests = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert requests
    assert not [text for text in requests if '"url":"http' in text]
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [360, 820, 1600])
def test_nothing_is_wider_than_the_screen(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_what_got_into_the_page_could_ask_nothing_from_elsewhere(browser):
    answer = """
        const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective));
        fetch("http://192.0.2.1/").catch(() => {});"""
    assert browser.execute_async_script(answer) == "connect-src"
