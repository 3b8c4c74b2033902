"""The exported site, and the page opened in Chromium: once for all tests of this folder."""

import pytest

from .support import Opened, Served, export_site, launch


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return export_site(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="session")
def driver():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(driver):
    browser = launch(driver)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def served(site):
    server = Served(site)
    yield server
    server.close()


@pytest.fixture
def opened(chromium, served):
    page = Opened(chromium, served.url)
    assert page.ready().startswith("Ready"), page.problem
    yield page
    assert page.complaints == []
    assert page.outside(served.url) == []
    page.page.close()
