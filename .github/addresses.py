"""Name the repository in what a release publishes: python .github/addresses.py ADDRESS REVISION

Changes two files in the current folder: adds the links that a package index shows to
pyproject.toml, and makes README.md's links to files beside it lead to those of the revision.
"""

import re
import sys
from pathlib import Path

# The target of [text](target), but for one with a scheme, or in the same page.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))")
PICTURES = (".png", ".webp", ".jpg", ".gif", ".svg")


def main(address: str, revision: str) -> None:
    """Rewrite pyproject.toml and README.md."""
    project, readme = Path("pyproject.toml"), Path("README.md")
    links = {
        "Repository": address,
        "Documentation": f"{address}/tree/{revision}/docs",
        "Changelog": f"{address}/blob/{revision}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }
    lines = "".join(f'{name} = "{link}"\n' for name, link in links.items())
    head = "[project.urls]\n"
    project.write_text(project.read_text("utf-8").replace(head, head + lines), "utf-8")

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1].endswith(PICTURES) else "blob"
        return f"{address}/{kind}/{revision}/{link[1]}"

    readme.write_text(LINK.sub(absolute, readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
