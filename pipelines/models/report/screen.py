"""The report as one screen of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.models.report.answers import Answers

MOVEMENTS = ("new", "expansion", "contraction", "churn", "reactivation")
GRAVEST = 3


def money(answers: Answers, amount: int | float | None) -> str:
    """Formats an amount in the smallest unit: `EUR 1,234.56`, `JPY 1,235`."""
    if amount is None:
        return "–"
    units = 10**answers.decimals
    return f"{answers.currency.upper()} {'-' if amount < 0 else ''}{abs(amount) / units:,.{answers.decimals}f}"


def percent(share: float | None) -> str:
    """Formats a share as a percentage."""
    return "–" if share is None else f"{share * 100:.1f} %"


def change(now: float | None, before: float | None) -> str:
    """Formats the relative change from `before` to `now`: `+7.2 %`."""
    if now is None or not before:
        return "–"
    return f"{(now - before) / before * 100:+.1f} %"


def screen(answers: Answers) -> str:
    """The headline, the month's movements, retention and churn, past-due amounts, trials, and the gravest insights."""
    return "\n".join(_lines(answers))


def _lines(answers: Answers) -> Iterator[str]:
    head, moved, late, trials = answers.headline, answers.movements, answers.past_due, answers.trials
    as_of = answers.as_of[:16].replace("T", " ")
    yield f"{answers.account}, {answers.currency.upper()}, {answers.month[:7]} (tables as of {as_of} UTC)"
    yield ""
    if head["mrr"] is None:
        yield "There are no subscriptions that count in this month."
    else:
        yield from _table(
            ("", "now", "to last month", "to last year"),
            [
                (
                    title, shown, change(head[name], head[f"{name}_before"]),
                    change(head[name], head[f"{name}_year_before"]),
                )
                for title, name, shown in (
                    ("MRR", "mrr", money(answers, head["mrr"])),
                    ("ARR", "arr", money(answers, head["arr"])),
                    ("customers", "customers", f"{head['customers']:,}"),
                    ("ARPA", "arpa", money(answers, head["arpa"])),
                )
            ],
        )  # fmt: skip
        yield ""
        yield from _table(
            ("movements", "MRR", "customers"),
            [
                ("opening", money(answers, moved["opening"]), f"{moved['opening_customers']:,}"),
                *((name, money(answers, moved[name]), f"{moved[f'{name}_customers']:,}") for name in MOVEMENTS),
                ("closing", money(answers, moved["closing"]), f"{moved['closing_customers']:,}"),
            ],
        )
        yield ""
        yield from _table(
            ("retention", "", "churn", ""),
            [
                ("NRR", percent(head["nrr"]), "customers", percent(head["customer_churn"])),
                ("GRR", percent(head["grr"]), "gross MRR", percent(head["gross_mrr_churn"])),
                ("customers", percent(head["logo_retention"]), "net MRR", percent(head["net_mrr_churn"])),
            ],
        )
    yield ""
    yield (
        f"Past due: {money(answers, late['mrr'])} of MRR in {_count(late['subscriptions'], 'subscription')}; "
        f"{money(answers, late['recoverable'])} in {_count(late['invoices'], 'failed invoice')} can still be recovered."
    )
    yield (
        f"Trials: {trials.get('started', 0):,} started, {trials.get('ended', 0):,} ended,"
        f" {trials.get('converted', 0):,} converted ({percent(trials.get('conversion_rate'))}); {trials['trying']:,}"
        " running."
    )
    for insight in answers.insights[:GRAVEST]:
        amount = f" ({money(answers, insight['amount'])})" if insight["amount"] is not None else ""
        yield f"! {insight['title']}{amount}. {insight['detail']} {insight['recommendation']}"


def _count(many: int, noun: str) -> str:
    return f"{many:,} {noun}" + ("" if many == 1 else "s")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()
