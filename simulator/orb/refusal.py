"""The answers of the simulated Orb, and its errors (RFC 7807)."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

ERRORS = "https://docs.withorb.com/reference/error-responses#"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and its JSON body."""

    status: int
    body: bytes


class Refusal(Exception):
    """An error answer; `kind` is the last part of its type, `detail` a sentence."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = int(kind[:3]), kind, detail

    @property
    def answer(self) -> Answer:
        """As RFC 7807 has it."""
        title = self.kind[4:].replace("-", " ").capitalize()
        problem = {"status": self.status, "title": title, "type": ERRORS + self.kind}
        return Answer(self.status, orjson.dumps(problem | {"detail": self.detail, "validation_errors": []}))
