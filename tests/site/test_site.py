"""The site: built without a warning, each link leads somewhere, nothing comes from elsewhere, the card is one page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.site.sources import HTML, INDEX, Site, contents
from tests.support.play import ROOT

pytestmark = pytest.mark.timeout(900)  # it may run beside other tiers, last in line for the cores

#: what a browser fetches by itself
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the names that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if tag in LOADS and LOADS[tag] in given:
            self.loads.add(given[LOADS[tag]])


@pytest.fixture(scope="module")
def site() -> dict[Path, Page]:
    """The pages of the site, made anew by the command that `make docs` runs."""
    done = subprocess.run([sys.executable, "-m", "tests.site"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return {path: Page(path) for path in sorted(HTML.rglob("*.html"))}


def test_every_guide_module_and_role_has_its_page(site: dict[Path, Page]) -> None:
    pages = {str(path.relative_to(HTML)) for path in site}
    wanted = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    wanted |= {f"collection/{path.stem}_module.html" for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")}
    wanted |= {f"collection/{path.name}_role.html" for path in (ROOT / "roles").iterdir()}
    assert wanted <= pages


def test_the_index_orders_every_guide() -> None:
    """One line of docs/index.md is what a new page needs."""
    listed = set(contents().split())
    assert sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in listed) == [INDEX.name]


def test_links_lead_somewhere(site: dict[Path, Page]) -> None:
    broken = []
    for path, page in site.items():
        for link in page.links:
            target, dummy, name = unquote(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (path.parent / target).resolve() if target else path
            there = file.is_file() and (not name or file.suffix != ".html" or name in site[file].names)
            broken += [] if there else [f"{path.relative_to(HTML)}: {link}"]
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    assert [load for page in site.values() for load in page.loads if "//" in load] == []
    elsewhere = re.compile(r"(@import|url\()\s*['\"]?(https?:)?//")
    styles = [path for path in HTML.rglob("*.css") if elsewhere.search(path.read_text(encoding="utf-8"))]
    assert styles == []


def test_a_link_to_what_is_not_there_is_refused(tmp_path: Path) -> None:
    made = Site(tmp_path / "source")
    with pytest.raises(LookupError, match=r"docs/no_such\.md is no file"):
        made._led("docs/index.md", "see [it](no_such.md)")
    assert made._led("docs/index.md", "see [it](../roles/run)") == "see [it](collection/run_role.rst)"


def test_the_card_is_one_page_of_a4(site: dict[Path, Page], tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if not chromium:
        reason = "chromium is not installed: the card is not printed (scripts/system-packages installs it)"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    argv += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={tmp_path / 'card.pdf'}"]
    env = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([*argv, f"file://{HTML / 'card.html'}"], env=env, capture_output=True, check=True, timeout=300)
    printed = (tmp_path / "card.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    sizes = [float(number) for number in re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", printed)[0]]
    assert [round(size) for size in sizes] == [595, 842]


def test_the_card_names_playbooks_that_there_are() -> None:
    named = set(re.findall(r"ansible-playbook (\w+\.yml)", (ROOT / "docs" / "card.md").read_text(encoding="utf-8")))
    assert named
    assert sorted(name for name in named if not (ROOT / "playbooks" / name).exists()) == []
