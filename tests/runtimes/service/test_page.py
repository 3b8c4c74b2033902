"""The service's page in headless Chromium: a picture is sent, shown beside the answer, refused."""

import shutil

import pytest

from tests.runtimes.service.support import encoded

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(service):
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.complaints, opened.requests = [], []
        opened.on("console", lambda message: opened.complaints.append(message.text))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("request", lambda request: opened.requests.append(request.url))
        opened.goto(f"http://127.0.0.1:{service.port}/docs")
        yield opened
        browser.close()


def sent(page, tmp_path, data):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    page.set_input_files("#file", path)
    page.click("#send")
    page.wait_for_selector("#send:enabled")
    return page.inner_text("#status")


def test_before_and_after(page, service, tmp_path):
    page.select_option("#format", "webp")
    assert "KiB out" in sent(page, tmp_path, encoded(height=40, width=60))
    assert page.is_visible("#result")
    for name in ("before", "after"):
        page.wait_for_function(f"document.getElementById('{name}').naturalWidth === 60")
    assert page.get_attribute("#save", "download") == "photo_sharp.webp"
    page.fill("#slider", "20")
    assert page.evaluate("getComputedStyle(document.getElementById('before')).clipPath") == (
        "inset(0px 80% 0px 0px)"
    )
    assert "SHA-256 222222222222" in page.inner_text("#model")
    assert "/v1/deblur" in page.inner_text("#operations")
    assert page.complaints == []
    allowed = (f"http://127.0.0.1:{service.port}/", "blob:", "data:")
    assert [url for url in page.requests if not url.startswith(allowed)] == []


def test_a_refusal_is_told(page, tmp_path):
    assert sent(page, tmp_path, b"hello").startswith("415 Unsupported Media Type: the body is not")
