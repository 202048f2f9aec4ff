"""How messages name an API, its settings and its key. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class ApiName:
    """`name` is the provider's ("Stripe"), `section` that of the settings by which it is reached ("sources.stripe")."""

    name: str
    section: str

    def setting(self, name: str) -> str:
        """The environment variable of a setting: "api_base" -> `SOURCES__STRIPE__API_BASE`."""
        return f"{self.section}.{name}".replace(".", "__").upper()

    def filled(self, text: str) -> str:
        """A text with the name for `{api}`, and for each other word in braces the variable of this setting."""
        return _PLACEHOLDER.sub(lambda each: self.name if each[1] == "api" else self.setting(each[1]), text)
