import pytest
from browser import CHROMIUM, DRIVER, Browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Debian's chromium, one for all tests."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium: apt-get install chromium chromium-driver")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.driver.quit()
