"""Random histories of subscriptions in several currencies and intervals, created in chronological order.

lives = Lives(make, seed=3, count=100, since=…)
lives.go_on(until)            # everything that happens up to that second
lives.contracts               # each with `mrr_at`
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

from simulator.account.objects import Object
from simulator.content.business.contracts import Contract
from simulator.content.business.maker import DAY, Maker

EVERY = (("month", 1), ("month", 3), ("year", 1), ("week", 1), ("day", 30))
CURRENCIES = ("usd", "eur", "jpy", "kwd")


class Lives:
    """The subscriptions and the prices that they use. `prorate` is the share of changes that are prorated."""

    def __init__(self, make: Maker, *, seed: int, count: int, since: int, until: int, prorate: float = 1.0) -> None:
        self.make, self.contracts = make, list[Contract]()
        self._chance = make.chance = random.Random(f"lives/{seed}")
        self._prorate = prorate
        make.now = since
        self._prices = {
            (currency, every): [self._price(currency, *every, kind) for kind in range(7)]
            for currency in CURRENCIES
            for every in EVERY
        }
        self._metered = {
            (currency, every): self._price(currency, *every, 1, usage="metered")
            for currency in CURRENCIES
            for every in EVERY
        }
        self._coupons = [
            make.add("coupons", "coupon", since, id=f"forever {percent}", percent_off=percent, duration="forever",
                     valid=True)
            for percent in (20.0, 33.33, 100.0)
        ] + [
            make.add("coupons", "coupon", since, id="three months", percent_off=25.0, duration="repeating",
                     duration_in_months=3, valid=True),
            make.add("coupons", "coupon", since, id="an amount", amount_off=300, currency="usd", duration="forever",
                     valid=True),
        ]  # fmt: skip
        self._queue: list[tuple[int, int, Iterator[int]]] = []
        for number in range(count):
            begins = since + DAY + self._chance.randrange(int((until - since) * 0.7))
            heapq.heappush(self._queue, (begins, number, self._live(begins)))

    def go_on(self, until: int) -> None:
        """Makes all changes up to and including a second."""
        while self._queue and self._queue[0][0] <= until:
            at, number, life = heapq.heappop(self._queue)
            self.make.now = at
            if (then := next(life, None)) is not None:
                heapq.heappush(self._queue, (max(then, at + 1), number, life))
        self.make.now = until

    def _price(self, currency: str, interval: str, count: int, kind: int, usage: str = "licensed") -> Object:
        amount, chance = ("0", "999", "1250.5", "4900", "700", None, None)[kind], self._chance
        tiers = [
            {"up_to": top, "unit_amount": None, "unit_amount_decimal": str(each), "flat_amount": None,
             "flat_amount_decimal": str(flat)}
            for top, each, flat in ((5, 900, 400), (20, 700, 0), (None, 500, 250))
        ]  # fmt: skip
        pack = {"divide_by": 3, "round": chance.choice(("up", "down"))} if kind == 4 else None
        return self.make.add(
            "prices", "price", self.make.now, active=True, type="recurring", currency=currency,
            unit_amount_decimal=amount, product=f"prod_{kind}",
            unit_amount=int(amount) if amount is not None and "." not in amount else None,
            billing_scheme="per_unit" if amount is not None else "tiered", metadata={}, transform_quantity=pack,
            tiers_mode=(None, None, None, None, None, "graduated", "volume")[kind],
            tiers=tiers if amount is None else None,
            recurring={"interval": interval, "interval_count": count, "usage_type": usage, "meter": None,
                       "trial_period_days": None},
        )  # fmt: skip

    def _live(self, begins: int) -> Iterator[int]:
        """The history of a customer; yields the second of the next change."""
        make, chance = self.make, self._chance
        customer = make.add("customers", "customer", begins, name=f"Customer {len(self.contracts)}", metadata={})
        currency = chance.choice(CURRENCIES)
        for number in range(chance.choice((1, 1, 1, 2))):
            if number:
                yield make.now + chance.randrange(DAY, 60 * DAY)
            every = chance.choice(EVERY)
            prices = self._prices[currency, every]
            sold = [(chance.choice(prices), chance.randrange(1, 30)) for _ in range(chance.choice((1, 1, 2)))]
            coupon = chance.choice(self._coupons) if chance.random() < 0.4 else None
            is_amount = coupon is not None and coupon["amount_off"] is not None
            if is_amount and currency != "usd":
                coupon = None
            elif not is_amount and chance.random() < 0.25:
                sold.append((self._metered[currency, every], 0))
            contract = Contract.begin(make, customer, sold, coupon=coupon, trial_days=chance.choice((0, 0, 0, 14)))
            self.contracts.append(contract)
            yield from self._go_through(contract)

    def _go_through(self, contract: Contract) -> Iterator[int]:
        make, chance = self.make, self._chance
        for _ in range(chance.randrange(2, 12)):
            until = make.now + chance.randrange(3 * 3600, 40 * DAY)
            while contract.end < until and contract.status != "canceled":
                yield contract.end
                contract.bill()
            if contract.status == "canceled":
                return
            yield until
            self._act(contract)
        while contract.status != "canceled":
            yield contract.end
            contract.bill()

    def _act(self, contract: Contract) -> None:
        """Makes one random change that is possible now."""
        chance, prorate = self._chance, self._chance.random() < self._prorate
        sold = [id for id, item in contract.items.items() if item.price["recurring"]["usage_type"] == "licensed"]
        item = chance.choice(sold)
        now = contract.items[item]
        every = (now.price["recurring"]["interval"], now.price["recurring"]["interval_count"])
        prices = self._prices[contract.currency, every]
        kinds = ("quantity",) * 3 + ("price", "price", "add", "remove", "switch", "plan", "pause", "ask", "end")
        match chance.choice(kinds):
            case "quantity":
                contract.change(
                    item, now.price, chance.choice([n for n in range(1, 30) if n != now.quantity]), prorate=prorate
                )
            case "price":
                contract.change(item, chance.choice(prices), now.quantity, prorate=prorate)
            case "add" if len(contract.items) < 4:
                contract.add(chance.choice(prices), chance.randrange(1, 9), prorate=prorate)
            case "remove" if len(sold) > 1:
                contract.remove(item, prorate=prorate)
            case "switch" if len(contract.items) == 1 and contract.status == "active":
                other = chance.choice([interval for interval in EVERY if interval != every])
                contract.switch(chance.choice(self._prices[contract.currency, other][1:]), now.quantity)
            case "plan":
                contract.plan(item, chance.choice(prices), chance.randrange(1, 20))
            case "pause":
                contract.pause(
                    None if contract.paused else chance.choice(("void", "mark_uncollectible", "keep_as_draft"))
                )
            case "ask" if contract.ends_at is None and chance.random() < 0.4:
                contract.ask_to_end()
            case "end" if chance.random() < 0.3:
                contract.end_now(prorate=prorate)
