"""The page of attention, opened in a browser."""

import pytest
import torch

import anylens
from anylens.features import attention
from anylens.report import attention_page
from anylens.zoo.feeding import Samples
from tests.report import browser as browsers

pytestmark = pytest.mark.skipif(
    browsers.executable() is None, reason="no Chromium is installed to open pages with"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = browsers.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def test_a_head_and_a_position_show_their_weights(browser, tmp_path):
    lens, given = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 2)[0]
    found = attention(lens, given, row=1)
    browser.open(f"file://{attention_page(found, tmp_path / 'attention.html')}")
    browser.until("document.querySelectorAll('.head').length === 24")
    browser.click(".head[data-pattern='2'][data-head='3']")
    browser.click("#queries [data-p='20']")
    with torch.no_grad():
        plain = anylens.load("zoo:shapes-vit").model
        plain.set_attn_implementation("eager")
        weights = plain(**given, output_attentions=True).attentions[2][1, 3, 20]
    best = browser.js("Number(document.querySelector('#keys .al-best').dataset.p)")
    assert best == int(weights.argmax())
    shown = browser.js(
        "[...document.querySelectorAll('#keys [data-p]')].map(e => Number(e.style.getPropertyValue('--v')))"
    )
    order = browser.js("[...document.querySelectorAll('#keys [data-p]')].map(e => Number(e.dataset.p))")
    torch.testing.assert_close(torch.tensor(shown), (weights / weights.max())[order], atol=0.02, rtol=0)
    browser.press("ArrowRight")
    browser.press("Enter")
    assert browser.js("document.querySelector('#queries .chosen').dataset.p") == "21"
    browser.click("#keys [data-p='30']")
    assert browser.js("document.getElementById('told').textContent").startswith(
        "patch (3, 5) is looked at most by"
    )
    assert not browser.faults
    assert all(address.startswith(("file:", "data:")) for address in browser.asked)
