"""The page of features, opened in a browser from a file, as a reader opens it."""

import math
import wave

import pytest
import torch

import anylens
from anylens.features import Folder, Wanted, survey
from anylens.report.features import features_page
from anylens.report.features.page import in_script
from anylens.sae import make
from anylens.zoo.feeding import Samples
from tests.report import browser as browsers

pytestmark = pytest.mark.skipif(
    browsers.executable() is None, reason="no Chromium is installed to open pages with"
)

EVIL = "<img src=x onerror=alert(1)></script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = browsers.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A page of features on pictures, as a folder and as one file."""
    lens, point = anylens.load("zoo:shapes-vit"), "blocks.0.hook_resid_post"
    data = Samples("shapes-vit", 24, batch=12)
    found = survey(lens, make("topk", 80, 60, k=4), data, point=point, wanted=Wanted(3, 2, effects=3))
    folder = tmp_path_factory.mktemp("pictures")
    features_page(found, folder)
    return found, folder, features_page(found, folder / "one.html", one_file=True, title=EVIL)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A page of features on sounds of one's own."""
    folder = tmp_path_factory.mktemp("sounds")
    for number, hertz in enumerate((220, 440)):
        with wave.open(str(folder / f"tone {number}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            tone = torch.sin(torch.arange(16_000) * hertz * 2 * math.pi / 16_000)
            file.writeframes((tone * 9000).short().numpy().tobytes())
    lens = anylens.load("zoo:vowels-whisper")
    found = survey(
        lens, make("topk", 64, 32, k=4), Folder(lens, folder), point="encoder.blocks.0.hook_resid_post",
        wanted=Wanted(2, 1, effects=0),
    )  # fmt: skip
    return features_page(found, folder / "page")


def rows(browser):
    return browser.js("[...document.querySelectorAll('#rows th a')].map(a => Number(a.textContent))")


def test_it_opens_without_a_server_and_asks_for_nothing_but_its_own_files(browser, pictures):
    found, folder, _ = pictures
    browser.open(f"file://{folder}/index.html")
    browser.until("document.querySelectorAll('.thumb .al-cell.al-best').length > 3")
    assert browser.js("document.getElementById('count').textContent") == f"{len(found.alive)} features"
    assert all(address.startswith((f"file://{folder}/", "data:")) for address in browser.asked)
    assert not browser.faults


def test_the_index_is_sorted_by_what_is_clicked(browser, pictures):
    found, folder, _ = pictures
    browser.open(f"file://{folder}/index.html")
    browser.until("document.querySelectorAll('#rows tr').length > 3")
    by_density = sorted(found.alive, key=lambda n: (-int(found.tally.active[n]), n))
    assert rows(browser) == by_density[:40]
    browser.click("[data-column=top] button")
    by_top = sorted(found.alive, key=lambda n: -float(found.tally.top[n]))
    assert rows(browser)[:5] == by_top[:5]
    assert browser.js("document.querySelector('[data-column=top]').getAttribute('aria-sort')") == "descending"
    browser.click("[data-column=top] button")
    assert rows(browser)[:5] == by_top[::-1][:5]
    browser.click("[data-column=auroc] button")
    by_auroc = sorted(found.alive, key=lambda n: -found[n].factor.auroc)
    assert rows(browser)[0] == by_auroc[0]
    assert not browser.faults


def test_a_search_finds_numbers_and_factors_and_the_keys_lead_on(browser, pictures):
    found, folder, _ = pictures
    browser.open(f"file://{folder}/index.html")
    browser.until("document.querySelectorAll('#rows tr').length > 3")
    browser.press("/")
    number = found.alive[5]
    browser.type(str(number))
    assert rows(browser) == [n for n in rows(browser) if str(n).startswith(str(number))] != []
    browser.press("Escape")
    word = found[number].factor.value
    browser.type(word)
    assert number in rows(browser)
    browser.press("Escape")
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    second = rows(browser)[1]
    assert browser.js("document.activeElement.textContent") == str(second)
    browser.press("Enter")
    browser.until(f"document.getElementById('name').textContent === 'Feature {second}'")
    browser.press("ArrowRight")
    browser.until(f"document.getElementById('name').textContent === 'Feature {rows(browser)[2]}'")
    browser.press("Escape")
    browser.until("!document.getElementById('index').hidden")
    assert not browser.faults


def test_a_feature_shows_its_examples_with_the_strongest_patch_marked(browser, pictures):
    found, folder, one_file = pictures
    number = found.alive[0]
    known = found[number]
    for address in (f"file://{folder}/index.html", f"file://{one_file}"):
        browser.open(f"{address}#/feature/{number}")
        browser.until(
            f"document.querySelectorAll('#strongest .caption strong').length === {len(known.strongest)}"
        )
        browser.until(
            "[...document.querySelectorAll('#strongest img')].every(i => i.complete && i.naturalWidth === 32)"
        )
        for place, example in enumerate(known.strongest):
            drawn = f"document.querySelectorAll('#strongest li')[{place}]"
            assert browser.js(f"{drawn}.textContent").endswith(example.sample.name)
            best = browser.js(f"Number({drawn}.querySelector('.al-best')?.dataset.p ?? -1)")
            assert best == example.row
            marked = browser.js(f"[...{drawn}.querySelectorAll('[data-p][style]')].length")
            assert marked == int((example.acts > known.top / 2000).sum())
        assert browser.js("document.querySelectorAll('.histogram rect').length") == len(
            known.histogram.counts
        )
        assert browser.js("document.querySelectorAll('.near a').length") == 6
        assert not browser.faults


def test_what_comes_from_outside_is_text(browser, pictures):
    *_, one_file = pictures
    browser.open(f"file://{one_file}")
    browser.until("document.querySelectorAll('#rows tr').length > 3")
    assert browser.js("document.querySelector('h1').textContent") == EVIL
    assert browser.js("document.querySelectorAll('img[onerror]').length") == 0
    assert "</script>" not in in_script({"name": EVIL})


def test_a_sound_plays(browser, sounds):
    browser.open(f"file://{sounds}")
    browser.until("document.querySelectorAll('.thumb .al-outline').length > 0")
    browser.js("location.hash = '#/feature/' + document.querySelector('#rows a').textContent")
    browser.until("document.querySelectorAll('#strongest .al-player button').length > 0")
    assert "tone" in browser.js("document.querySelector('#strongest .caption').textContent")
    browser.click("#strongest .al-player button")
    playing = "(a => a.src.endsWith('.wav') && a.duration > 0.9 && a.currentTime > 0.02)"
    browser.until(f"{playing}(document.querySelector('#strongest audio'))")
    assert not browser.faults


def test_a_phone_shows_it_without_scrolling_sideways(browser, pictures):
    found, folder, _ = pictures
    browser.open(f"file://{folder}/index.html", width=360, height=700, phone=True)
    browser.until("document.querySelectorAll('.thumb .al-image').length > 3")
    wide = "document.documentElement.scrollWidth"
    assert browser.js(wide) <= 360
    browser.js(f"location.hash = '#/feature/{found.alive[0]}'")
    browser.until("document.querySelectorAll('#strongest .caption strong').length > 0")
    assert browser.js(wide) <= 360


def test_four_thousand_features_open_quickly(browser, tmp_path):
    lens, data = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 16, batch=16)
    found = survey(
        lens,
        make("topk", 80, 4000, k=64),
        data,
        point="blocks.1.hook_resid_post",
        wanted=Wanted(2, 1, effects=0),
    )
    features_page(found, tmp_path)
    browser.open(f"file://{tmp_path}/index.html")
    browser.until("document.querySelectorAll('.thumb .al-best').length > 3")
    taken = browser.js("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert taken < 2000
    assert browser.js("document.querySelectorAll('#rows tr').length") < 200  # drawn as they come into sight
    assert (tmp_path / "index.html").stat().st_size < 3_000_000
