"""One browser for all pages."""

from collections.abc import Iterator

import pytest

from tests.pages.browser import Browser, start_browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless browser; skipped where there is none."""
    with start_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser, for a reader who prefers light pages."""
    chromium.prefer("light")
    return chromium
