"""The page in a browser: what it shows, read back pixel by pixel, and how it is worked with."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from clips import number_in
from sources import HEIGHT, WIDTH, folder, numbered, quarter, still, textured, video

from vsrdb_cli.comparison.compare import write_page
from vsrdb_cli.evaluation.metrics import psnr, ssim

pytestmark = pytest.mark.slow

FEW, MANY = 4, 40
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pages: a few lossless frames, the same against a truth, many frames, and one picture."""
    at = tmp_path_factory.mktemp("pages")
    after, truth = textured(FEW, 1), textured(FEW, 2)
    small = quarter(textured(FEW, 3))
    page = {name: at / f"{name}.html" for name in ("few", "truth", "many", "one", "pictures")}
    files = video(at / "a.mkv", small), video(at / "b.mkv", after), video(at / "t.mkv", truth)
    write_page(files[0], files[1], page["few"])
    write_page(files[0], files[1], page["truth"], truth=files[2])
    counted = numbered(MANY)
    darker = (counted // 4 * 3).astype(np.uint8)
    darker[23, HEIGHT // 3 : HEIGHT // 2] = 255  # the frame that differs most
    write_page(video(at / "c.mkv", counted), video(at / "d.mkv", darker), page["many"])
    write_page(still(at / "e.png", small[0]), still(at / "f.png", after[0]), page["one"])
    write_page(folder(at / "g", small), folder(at / "h", after), page["pictures"])
    return {"page": page, "small": small, "after": after, "truth": truth}


def wiped_at(browser) -> int:
    """The column from which on the right picture is shown."""
    return round(int(browser.find("#wipe").get_attribute("aria-valuenow")) * WIDTH / 100)


def assert_wiped(browser, made, share: float) -> None:
    """Left of the wipe are the pixels of before, right of it those of after, all of them exact."""
    shown = browser.pixels()
    column = round(share * WIDTH)
    browser.press("n")
    left = np.kron(made["small"][0], np.ones((4, 4, 1))).astype(np.uint8)
    assert (browser.pixels()[:, : column - 2] == left[:, : column - 2]).all()
    browser.press("n")
    assert (shown[:, column + 2 :] == made["after"][0][:, column + 2 :]).all()
    assert (shown[:, : column - 2] != left[:, : column - 2]).any(), "bicubic is not the pixels"


@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_the_wipe_shows_both_pictures_at_the_place_it_is_dragged_to(browser, made, screen, share):
    browser.open(made["page"]["few"], **screen)
    move = browser.touch if screen is PHONE else browser.drag
    move(browser.place(0.5, 0.5, "#wipe"), browser.place(share, 0.6))
    assert wiped_at(browser) == pytest.approx(share * WIDTH, abs=2)
    assert_wiped(browser, made, share)


def test_the_wipe_follows_keys_and_a_click_beside_it(browser, made):
    browser.open(made["page"]["few"])
    for _ in range(5):
        browser.press("ArrowRight", "Shift")
    assert_wiped(browser, made, 0.6)
    browser.drag(browser.place(0.25, 0.2), browser.place(0.25, 0.2))
    assert_wiped(browser, made, 0.25)
    browser.press("ArrowRight")
    browser.shown(1)  # after a drag, arrow keys step as before
    browser.js("wipe.focus()")
    browser.press("ArrowLeft")
    assert browser.find("#wipe").get_attribute("aria-valuenow") == "24"
    assert browser.js("return picture.dataset.frame") == "1"


def test_holding_b_shows_all_of_the_left_picture(browser, made):
    browser.open(made["page"]["few"])
    browser.key("keyDown", "b")
    held = browser.pixels()
    browser.key("keyUp", "b")
    assert (browser.pixels()[:, WIDTH // 2 :] == made["after"][0][:, WIDTH // 2 :]).all()
    browser.js("change({ wipe: 1 })")
    assert (browser.pixels() == held).all()


def numbers(browser) -> tuple[int, int, int]:
    """The numbers the left and the right picture carry, and the one written under them."""
    browser.js("change({ wipe: 1 })")
    left = number_in(browser.pixels())
    browser.js("change({ wipe: 0 })")
    right = number_in(browser.pixels())
    written = re.match(r"frame (\d+) of", browser.find("#frame").text)
    return left, right, int(written[1])


def test_every_step_shows_its_frame_in_both_pictures(browser, made):
    browser.open(made["page"]["many"])
    for number in range(1, MANY):
        browser.press("ArrowRight")
        browser.shown(number)
        assert numbers(browser) == (number,) * 3
    for number in (38, 37, 36):
        browser.find("#back").click()
        browser.shown(number)
        assert numbers(browser) == (number,) * 3
    for key, number in (("Home", 0), ("End", MANY - 1)):
        browser.press(key)
        browser.shown(number)
        assert numbers(browser) == (number,) * 3


def test_steps_in_quick_succession_all_count(browser, made):
    browser.open(made["page"]["many"])
    for _ in range(9):
        browser.press("ArrowRight")
    browser.shown(9)
    assert numbers(browser) == (9,) * 3


def test_the_time_line_leads_to_the_frame_under_the_pointer(browser, made):
    browser.open(made["page"]["many"])
    point = browser.place(0.5, 0.5, "#plot")
    browser.drag(point, point)
    browser.wait("return !loading && state.frame > 0")
    assert numbers(browser)[2] in (19, 20)
    assert len(set(numbers(browser))) == 1


def test_while_playing_the_number_written_is_that_of_the_picture_shown(browser, made):
    browser.open(made["page"]["many"])
    browser.js("change({ wipe: 0 })")
    browser.press(" ")
    browser.wait("return state.playing && state.frame > 0")
    seen = []
    for _ in range(12):
        frame, url = browser.js("return [picture.dataset.frame, picture.toDataURL()]")
        seen.append(int(frame))
        assert number_in(browser.decoded(url)) == int(frame)
    assert len(set(seen)) > 1
    browser.press(" ")
    browser.wait("return !state.playing && !loading")
    assert len(set(numbers(browser))) == 1
    stopped = browser.js("return state.frame")
    time.sleep(0.3)
    assert browser.js("return state.frame") == stopped


def test_few_frames_play_too(browser, made):
    browser.open(made["page"]["few"])
    browser.find("#play").click()
    browser.wait("return state.frame === 2")
    browser.find("#play").click()
    browser.wait("return !state.playing && !loading")


def test_d_leads_to_the_frame_that_differs_most(browser, made):
    browser.open(made["page"]["many"])
    browser.press("d")
    browser.shown(23)
    assert numbers(browser) == (23,) * 3
    assert browser.find("#rank").text == "1/6"
    assert browser.js("return picture.dataset.exact") == "true"
    browser.press("d")
    browser.wait("return !loading && state.frame !== 23")
    browser.press("D", "Shift")
    browser.shown(23)


def test_the_loupe_shows_each_pixel_eight_times_as_large_and_exact(browser, made):
    browser.open(made["page"]["few"])
    browser.press("l")
    for _ in range(6):
        browser.press("+")
    assert browser.find("#zoom").text == "8×"
    browser.drag(browser.place(0.4, 0.3), browser.place(0.75, 0.8))
    x, y, side = browser.js("const { x, y, side } = square(); return [x, y, side]")
    assert x <= 0.75 * WIDTH <= x + side
    after = browser.pixels("#panes figure:nth-child(2) canvas")
    part = made["after"][0][y : y + side, x : x + side]
    assert (after == np.kron(part, np.ones((8, 8, 1)))).all()
    browser.press("n")
    before = browser.pixels("#panes figure:nth-child(1) canvas")
    wide = np.kron(made["small"][0], np.ones((4, 4, 1)))[y : y + side, x : x + side]
    assert (before == np.kron(wide, np.ones((8, 8, 1)))).all()
    assert "lossless" in browser.find("#fidelity").text


def test_the_loupe_says_where_pixels_are_not_exact(browser, made):
    browser.open(made["page"]["many"])
    browser.press("l")
    browser.press("End")
    browser.shown(MANY - 1)
    exact = browser.js("return picture.dataset.exact") == "true"
    assert ("lossless" in browser.find("#fidelity").text) == exact
    browser.js("show(1)")
    browser.shown(1)
    assert re.search(r"page's video, \d\d\.\d dB from", browser.find("#fidelity").text)


def test_with_a_truth_the_curves_are_psnr_and_ssim_of_both(browser, made):
    browser.open(made["page"]["truth"])
    browser.press("t")
    browser.js("change({ wipe: 0 })")
    assert (browser.pixels() == made["truth"][0]).all()
    browser.js("change({ wipe: 1 })")
    before = browser.pixels()
    for curve, metric, digits in (("PSNR", psnr, 2), ("SSIM", ssim, 4)):
        text = browser.find("#values span").text
        assert text.startswith(curve)
        for picture in (before, made["after"][0]):
            assert f"{metric(picture, made['truth'][0]):.{digits}f}" in text
        assert browser.js("return document.querySelectorAll('#plot path[stroke]').length") == 2
        browser.press("c")


def test_one_picture_needs_no_time_line(browser, made):
    browser.open(made["page"]["one"])
    assert (browser.pixels()[:, WIDTH // 2 + 1 :] == made["after"][0][:, WIDTH // 2 + 1 :]).all()
    assert not browser.find("#play").is_displayed()
    assert not browser.find("#timeline").is_displayed()
    assert "of 255" in browser.find("#values-still").text


def test_folders_of_pictures_have_frames_and_no_times(browser, made):
    browser.open(made["page"]["pictures"])
    browser.press("ArrowRight")
    browser.shown(1)
    assert browser.find("#frame").text == "frame 1 of 0–3"
    browser.js("change({ wipe: 0 })")
    assert (browser.pixels() == made["after"][1]).all()


@pytest.mark.parametrize("name", ["few", "truth", "many", "one"])
@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_leaves_the_page_or_complains_and_all_fits_the_screen(
    browser, made, name, screen, dark
):
    browser.open(made["page"][name], **screen, dark=dark)
    for key in ("l", "n", "t", "d", "ArrowRight", " "):
        browser.press(key)
    time.sleep(0.3)
    assert browser.js("return document.documentElement.scrollWidth") <= screen["width"]
    luma = browser.js("return getComputedStyle(document.documentElement).backgroundColor")
    assert (int(re.search(r"\d+", luma)[0]) < 128) == dark
    requests = browser.requests()
    assert requests.count(made["page"][name].as_uri()) == 1
    outside = [
        r for r in requests if not r.startswith((made["page"][name].as_uri(), "data:", "blob:"))
    ]
    assert outside == []
    assert browser.complaints() == []


def test_controls_have_names_for_those_who_do_not_see_them(browser, made):
    browser.open(made["page"]["truth"])
    unnamed = browser.js(
        "return [...document.querySelectorAll('button, input, select, canvas, [role=slider]')]"
        ".filter((e) => !(e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_where_the_video_does_not_play_the_lossless_frames_still_show(browser, made, tmp_path):
    text = made["page"]["many"].read_text()
    broken = tmp_path / "broken.html"
    place = text.index('id="mp4">') + len('id="mp4">')
    broken.write_text(text[:place] + "AAAA" * 500 + text[text.index("</script>", place) :])
    browser.emulate(**WIDE)
    browser.driver.get(broken.as_uri())
    browser.wait("return picture.dataset.frame === '23'")
    browser.press("ArrowRight")
    browser.wait("return !loading && !message.hidden")
    assert "23" in browser.find("#message").text
    assert numbers(browser) == (23,) * 3
