"""How messages name an API, its settings and its key. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class ApiName:
    """`name` is the provider's name ("Stripe"), `section` the section of its settings ("sources.stripe")."""

    name: str
    section: str

    def setting(self, name: str) -> str:
        """The environment variable of a setting: "api_base" -> `SOURCES__STRIPE__API_BASE`."""
        return f"{self.section}.{name}".replace(".", "__").upper()

    def filled(self, text: str) -> str:
        """A text with its placeholders filled: `{api}` becomes the name, any other `{setting}` its environment
        variable.
        """
        return _PLACEHOLDER.sub(lambda each: self.name if each[1] == "api" else self.setting(each[1]), text)
