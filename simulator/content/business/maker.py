"""Creates the objects of the business: generated from the SDK's annotations, with the important fields given."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from simulator.account.account import Account
from simulator.account.ids import Ids
from simulator.account.objects import Object
from simulator.content.shapes import Shapes

HOUR, DAY = 3600, 86400


class Maker:
    """Adds objects to an account. Only `chance` and the account's ids are random."""

    def __init__(self, account: Account, shapes: Shapes, seed: int) -> None:
        self.account, self.shapes = account, shapes
        self.chance = random.Random(f"business/{seed}/{account.id}")
        self.ids: Ids = account.ids
        self.now = account.clock.seconds()

    def add(
        self,
        table: str,
        object_name: str,
        at: int,
        *,
        event: bool | str = True,
        below: str | None = None,
        hidden: bool = False,
        **given: Any,
    ) -> Object:
        """Creates an object at a second, with the given fields; all others are empty."""
        object = self.plain(object_name, at, **given)
        return self.account.create(table, object, at=at, parent=below, hidden=hidden, event=event)

    def plain(self, object_name: str, at: int, **given: Any) -> Object:
        """A new object that is not added to the account (a line of an invoice, an item of a subscription)."""
        object = self.shapes.plain(object_name) | given
        if "id" not in given and "id" in object:
            object["id"] = self.ids.of(object_name)
        for name, value in (("created", at), ("livemode", self.account.livemode)):
            if name in object and name not in given:
                object[name] = value
        return object

    def tell(self, table: str, id: str, type: str, at: int) -> None:
        """Emits an event of a type, at a second, with the present state of an object."""
        self.account.tell(table, id, type, at=at)

    def happens(self, probability: float) -> bool:
        """Returns true with this probability."""
        return self.chance.random() < probability


def months_later(second: int, months: int) -> int:
    """The same day and time some months later; the 29th to the 31st become the 28th."""
    moment = datetime.fromtimestamp(second, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return int(moment.replace(year=year, month=month + 1, day=min(moment.day, 28)).timestamp())
