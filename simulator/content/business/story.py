"""The history of three years: the first customers, growth, weekly payouts, and other objects."""

from __future__ import annotations

from simulator.content.business.customers import live, sign_up
from simulator.content.business.maker import DAY, Maker
from simulator.content.business.money import Purse, pay_out
from simulator.content.business.offer import open_shop
from simulator.content.business.sidelines import sidelines


def tell(make: Maker, customers: int, since: int) -> None:
    """Writes the history of a business that has won `customers` customers between `since` and now."""
    offer = open_shop(make, since)
    if customers == 0:
        return
    purse = Purse()
    span = make.now - since - DAY
    for number in range(customers):
        # Growth: the number of customers rises with the square of the time that the shop has been open.
        moment = since + DAY + int(span * ((number + 1) / (customers + 1)) ** 0.5)
        live(make, offer, purse, moment, founder=number == 0)
    for _ in range(3):
        gone = sign_up(make, since + make.chance.randrange(span))
        make.account.delete("customers", gone["id"], at=make.now - make.chance.randrange(40 * DAY))
    sidelines(make, offer, purse)
    pay_out(make, purse, since)
