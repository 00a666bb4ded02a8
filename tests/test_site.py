"""The site of the documentation is built without a warning, and its links lead somewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_readme_links_to_files_that_are_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert link.startswith("https://") or (ROOT / link).exists(), f"{page.name}: {link}"


@pytest.mark.slow(kept="links of the README")
@pytest.mark.skipif(not importlib.util.find_spec("zensical"), reason="needs pip install 'pim-jax[docs]'")
def test_every_page_is_built_and_every_link_leads_somewhere(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (ROOT / "site").glob("*.html")}
    nav = set(re.findall(r'"([\w-]+)\.md"', (ROOT / "zensical.toml").read_text()))
    assert nav == pages, "a page is not in the navigation, or a page of it is not there"
    assert "Pim" in (ROOT / "site" / "api.html").read_text()
    start = (ROOT / "site" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://[^"]+\.(?:js|css)"', start), "the site must be readable offline"
