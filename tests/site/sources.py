"""The documentation site: the guides of docs/, the README, and antsibull-docs' pages of modules and roles.

`python -m tests.site` builds it into .cache/site/html, offline; a warning is a failure. Pages stay as they are read in
a repository; what differs on the site (where a link leads, the order of the pages) is put in here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tests.docs.pages import FENCE
from tests.gates.tree import project_files
from tests.support.play import ROOT

HOME = ROOT / ".cache" / "site"
HTML = HOME / "html"
INDEX = ROOT / "docs" / "index.md"
STYLE = ROOT / "docs" / "site"
REFERENCE = "collection"
COPIES = "files"
INLINE = re.compile(r"(\[[^\]]+\]\()([^)\s]+)(\))")
OUTSIDE = re.compile(r"[a-z]+:")
#: pages of the project that are no guides, and what they are called on the site
OTHERS = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md"}
#: what antsibull-docs refers to of Ansible's own documentation, whose inventory is not fetched
ANSIBLE = "https://docs.ansible.com/ansible/latest/"
THEIRS = {
    "common_return_values": "reference_appendices/common_return_values.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "action_plugins": "plugins/action.html",
}
SETTINGS = {
    "project": "dualwrite.rollback",
    "extensions": ["myst_parser", "sphinx_antsibull_ext"],
    "html_theme": "furo",
    "html_theme_options": {"top_of_page_buttons": []},
    "html_title": "dualwrite.rollback",
    "html_static_path": [str(STYLE)],
    "html_css_files": ["print.css"],
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_copy_source": False,
    "myst_heading_anchors": 4,
    "myst_links_external_new_tab": False,
    "nitpicky": True,
    "pygments_style": "ansible",
}


class Site:
    """The sources of the site, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))} | OTHERS
        self.outside: dict[str, list[str]] = {}
        self._files = project_files()

    def write(self) -> None:
        """Write every source; raises LookupError for a link to what is no file or folder of the project."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._reference()
        for name, page in self.pages.items():
            text = self._led(name, (ROOT / name).read_text(encoding="utf-8"))
            if name == str(INDEX.relative_to(ROOT)):
                text += contents()
            (self.folder / page).write_text(text, encoding="utf-8")

    def _reference(self) -> None:
        """Have antsibull-docs write a page for each module, role and callback."""
        target = self.folder / REFERENCE
        target.mkdir(parents=True)
        for path in (self.folder, target):
            path.chmod(0o755)
        words = ["collection", "--use-current", "--squash-hierarchy", "--fail-on-error"]
        command = ["antsibull-docs", *words, "--no-add-antsibull-docs-version", "--dest-dir", str(target)]
        subprocess.run([*command, "dualwrite.rollback"], check=True)

    def _led(self, name: str, text: str) -> str:
        """Return a page's text with the links of its prose led to where their targets are on the site."""
        parts, end = [], 0
        for fence in FENCE.finditer(text):
            parts += [self._links(name, text[end : fence.start()]), fence.group(0)]
            end = fence.end()
        return "".join([*parts, self._links(name, text[end:])])

    def _links(self, name: str, text: str) -> str:
        return INLINE.sub(lambda found: found[1] + self._target(name, found[2]) + found[3], text)

    def _target(self, name: str, link: str) -> str:
        if OUTSIDE.match(link):
            self.outside.setdefault(link, []).append(name)
            return link
        path, mark, anchor = link.partition("#")
        if not path:
            return link
        file = (ROOT / name).parent.joinpath(path).resolve()
        return self._place(str(file.relative_to(ROOT))) + mark + anchor

    def _place(self, name: str) -> str:
        """Return where a file or folder of the project is on the site; files that are no pages are copied there."""
        module = re.fullmatch(r"plugins/modules/(\w+)\.py", name)
        role = re.fullmatch(r"roles/(\w+)(/README\.md)?", name)
        if name in self.pages:
            return self.pages[name]
        if module or role:
            return f"{REFERENCE}/{module[1]}_module.rst" if module else f"{REFERENCE}/{role[1]}_role.rst"
        if name in self._files:
            self._copy(name)
            return f"{COPIES}/{name}"
        inside = [one for one in self._files if one.startswith(f"{name}/") and not (ROOT / one).is_symlink()]
        if not inside or any(one.endswith((".md", ".rst")) for one in inside):
            raise LookupError(f"{name} is no file of the project, and no folder whose files can be shown")
        for one in inside:
            self._copy(one)
        listed = "\n".join(f"- [{one.removeprefix(f'{name}/')}]({one.removeprefix(f'{name}/')})" for one in inside)
        page = self.folder / COPIES / name / "index.md"
        page.write_text(f"---\norphan: true\n---\n# {name}\n\n{listed}\n", encoding="utf-8")
        return f"{COPIES}/{name}/index.md"

    def _copy(self, name: str) -> None:
        target = self.folder / COPIES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


def contents() -> str:
    """Return the tables of contents of the site: the sections of the index, with the pages that each links to."""
    tables = []
    for section in INDEX.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, dummy, text = section.partition("\n")
        entries = []
        for link in (found[2].partition("#")[0] for found in INLINE.finditer(text)):
            page = OTHERS.get(str(PurePosixPath(link).relative_to(".."))) if link.startswith("../") else link
            if page and page.endswith(".md") and page not in entries:
                entries.append(page)
        if entries:
            tables.append((title, entries))
    tables.append(("Reference", [f"{REFERENCE}/index"]))
    written = (f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) for title, pages in tables)
    return "\n" + "".join(f"{table}\n```\n" for table in written)


def resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Have a reference to Ansible's own documentation lead there; any other that is missing stays a warning."""
    from docutils.nodes import reference

    target = node.get("reftarget", "")
    if node.get("reftype") == "envvar" and target.startswith("ANSIBLE_"):
        place = f"reference_appendices/config.html#envvar-{target}"
    elif target in THEIRS:
        place = THEIRS[target]
    else:
        return None
    return reference("", "", content, refuri=ANSIBLE + place, internal=False)


def build() -> int:
    """Build the site; return the exit code. Links that lead out of the project are listed, not followed."""
    from sphinx.application import Sphinx

    site = Site(HOME / "source")
    site.write()
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    shutil.rmtree(HTML, ignore_errors=True)
    app = Sphinx(
        str(site.folder),
        None,
        str(HTML),
        str(HOME / "doctrees"),
        "html",
        confoverrides={**SETTINGS, "release": version, "version": version},
        status=None,
        warningiserror=True,
        freshenv=True,
    )
    app.connect("missing-reference", resolve)
    app.build(force_all=True)
    for link, names in sorted(site.outside.items()):
        print(f"not followed: {link} ({', '.join(sorted(set(names)))})")
    print(f"{len(site.pages)} pages and the reference: {HTML / 'index.html'}")
    return app.statuscode
