"""Converts the README for a package index: links to files of the repository become full URLs, or plain text. hatchling
runs it when a wheel or an sdist is built.

It reads the repository's URL from `[project.urls]`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Adds `readme` to the project's metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See hatchling."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        address = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_an_index(text, address)}


def for_an_index(text: str, repository: str | None) -> str:
    """The text with relative links resolved against the repository's URL. Without a URL, links become their text."""
    if repository is None:
        return LINK.sub(lambda found: found[1], text)
    return LINK.sub(lambda found: f"[{found[1]}]({repository.rstrip('/')}/blob/main/{found[2]})", text)
