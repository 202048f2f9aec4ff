"""The report as one HTML file with charts, which opens from disk and fetches nothing.

The charts are Vega-Lite specifications (charts.json), drawn as SVG when the page is created, so that it can be read
without JavaScript and on paper. The page draws them again itself, for tooltips. The library for both is in the extra
`[report]`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, resources
from typing import Any

from pipelines.models.report.answers import Answers
from pipelines.models.report.screen import change, money, percent
from sources.errors import BadConfiguration

Cell = Callable[[Any], str]
SHORT = 16  # characters
MOVEMENTS = ("new", "reactivation", "expansion", "contraction", "churn")
DRAW = """
for (const place of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  vegaEmbed(place, spec, { ast: true, actions: false, renderer: "svg" }).catch(() => {});
}
const choice = document.getElementById("choice");
const show = () => {
  for (const part of document.querySelectorAll("main")) part.hidden = part.id !== choice.value;
};
if (choice) { choice.parentElement.hidden = false; choice.onchange = show; show(); }
"""


def require_charts() -> Any:
    """The library that draws charts. Raises BadConfiguration if it is not installed."""
    try:
        return import_module("vl_convert")
    except ImportError:
        raise BadConfiguration(
            "A page with charts needs the package vl-convert-python. Install it with: pip install"
            " 'stripe-elt[report]', or leave out --html: the report on the terminal works without it."
        ) from None


def page(answers: Sequence[Answers]) -> str:
    """The HTML of the report."""
    library = require_charts()
    charts = json.loads(_text("charts.json"))
    several = len(answers) > 1
    options = "".join(
        f'<option value="{_id(answer)}">{_safe(answer.account)}, {_safe(answer.currency.upper())}</option>'
        for answer in answers
    )
    parts = [_part(answer, charts, library) for answer in answers] or [
        "<main><p>There are no subscriptions and no payments yet.</p></main>"
    ]
    script = library.javascript_bundle("window.vegaEmbed = vegaEmbed;") + DRAW
    return (
        _text("page.html")
        .replace("@style", _text("page.css"))
        .replace("@choice", f'<label hidden>Currency <select id="choice">{options}</select></label>' if several else "")
        .replace("@parts", "\n".join(parts))
        .replace("@script", script.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
    )


def _part(answers: Answers, charts: Mapping[str, Any], library: Any) -> str:
    """One account and currency."""
    panels = [
        _panel("Headline", _headline(answers)),
        _panel("What needs attention", _insights(answers)),
        _chart(answers, charts, library, "mrr_by_plan", "MRR by plan", answers.rows["plans"], ("month", "plan", "mrr")),
        _chart(
            answers, charts, library, "movements", "Movements by month",
            [{"month": row["month"], "movement": name, "mrr": row[name]}
             for row in answers.rows["mrr"] for name in MOVEMENTS],
            ("month", "movement", "mrr"),
        ),
        _chart(
            answers, charts, library, "retention", "NRR and GRR over twelve months",
            [{"month": row["month"], "rate": name.upper(), "share": row[name]} for row in answers.rows["rates"]
             for name in ("nrr", "grr") if row[name] is not None],
            ("month", "rate", "share"),
        ),
        _chart(
            answers, charts, library, "churn", "Customer and MRR churn",
            [{"month": row["month"], "rate": title, "share": row[name]} for row in answers.rows["rates"]
             for title, name in (("customers", "customer_churn"), ("gross MRR", "gross_mrr_churn"))
             if row[name] is not None],
            ("month", "rate", "share"),
        ),
        _chart(answers, charts, library, "cohorts", "Customers kept, by month of the first payment",
               answers.rows["cohorts"], ("cohort", "months", "customers", "kept", "mrr")),
        _chart(
            answers, charts, library, "customers", "Customers and ARPA",
            [{"month": row["month"], "customers": row["closing_customers"], "arpa": rate["arpa"]}
             for row, rate in zip(answers.rows["mrr"], answers.rows["rates"], strict=True)],
            ("month", "customers", "arpa"),
        ),
        _chart(
            answers, charts, library, "trials", "Trials by the month of their end",
            [{"month": row["month"], "outcome": name, "trials": many} for row in answers.rows["trials"]
             for name, many in (("converted", row["converted"]), ("lost", row["ended"] - row["converted"]))],
            ("month", "outcome", "trials"),
        ),
        _chart(
            answers, charts, library, "payments", "Failed payments and what became of them",
            [{"month": row["month"], "outcome": name, "amount": row[name]} for row in answers.rows["payments"]
             for name in ("recovered", "open", "lost")],
            ("month", "outcome", "amount"),
        ),
        _chart(
            answers, charts, library, "revenue", "Collected, refunded, disputed, fees, net",
            [{"month": row["month"], "kind": name, "amount": row[name]} for row in answers.rows["revenue"]
             for name in ("collected", "refunded", "disputed")]
            + [{"month": row["month"], "kind": name, "amount": row[name]} for row in answers.rows["balance"]
               for name in ("fees", "net")],
            ("month", "kind", "amount"),
        ),
        _panel("Largest customers, and what is scheduled", _customers(answers)),
    ]  # fmt: skip
    panels = (
        panels
        if answers.rows["mrr"]
        else [
            _panel("No subscriptions", "<p>No subscription counts yet. Revenue is below.</p>"),
            panels[1],
            panels[9],
            panels[10],
        ]
    )
    title = f"{_safe(answers.account)}, {_safe(answers.currency.upper())}, {answers.month[:7]}"
    return f'<main id="{_id(answers)}"><h1>{title}</h1>{"".join(panels)}{_below(answers)}</main>'


def _panel(title: str, inside: str) -> str:
    return f"<section><h2>{_safe(title)}</h2>{inside}</section>"


def _headline(answers: Answers) -> str:
    head = answers.headline
    shown: tuple[tuple[str, str, Cell], ...] = (
        ("MRR", "mrr", lambda value: money(answers, value)), ("ARR", "arr", lambda value: money(answers, value)),
        ("Customers", "customers", lambda value: "–" if value is None else f"{value:,}"), ("NRR", "nrr", percent),
        ("Customer churn", "customer_churn", percent),
    )  # fmt: skip
    rows = [
        (
            title,
            form(head[name]),
            change(head[name], head[f"{name}_before"]),
            change(head[name], head[f"{name}_year_before"]),
        )
        for title, name, form in shown
    ]
    return _table(("", "now", "to last month", "to last year"), rows)


def _insights(answers: Answers) -> str:
    if not answers.insights:
        return "<p>Nothing does.</p>"
    return "<ul>" + "".join(
        f"<li><strong>{_safe(each['title'])}</strong> ({_safe(each['severity'])}"
        + (f", {_safe(money(answers, each['amount']))}" if each["amount"] is not None else "")
        + f"). {_safe(each['detail'])} {_safe(each['recommendation'])}</li>"
        for each in answers.insights
    ) + "</ul>"  # fmt: skip


def _customers(answers: Answers) -> str:
    def called(row: Mapping[str, Any]) -> str:
        return f"{row['customer']} ({row['name']})" if row.get("name") else str(row["customer"])

    largest = [
        (called(row), money(answers, row["mrr"]), row["since"], row["status"]) for row in answers.rows["largest"]
    ]
    scheduled = [
        (row["date"], called(row), row["reason"], money(answers, row["mrr"])) for row in answers.rows["scheduled"]
    ]
    return _table(("customer", "MRR", "since", "status"), largest) + _table(
        ("date", "customer", "what", "MRR"), scheduled
    )


def _below(answers: Answers) -> str:
    options = [(name, "–" if value is None else value) for name, value in answers.settings.items()]
    fresh = [(row["resource"], row["status"], row["updated_at"]) for row in answers.fresh]
    quality = [
        (row["kind"], row["rows"], "–" if row["mrr"] is None else money(answers, row["mrr"]), row["advice"] or "")
        for row in answers.quality
    ]
    freshness = _table(("resource", "status", "updated"), fresh)
    return (
        f"<footer><h2>Definitions in force</h2>{_table(('option', 'value'), options)}"
        f"<h2>How fresh it is</h2><p>Tables as of {_safe(answers.as_of)}.</p>{freshness}"
        f"<h2>What could not be known</h2>{_table(('kind', 'subscriptions', 'MRR', 'what to do'), quality)}</footer>"
    )


def _chart(
    answers: Answers, charts: Mapping[str, Any], library: Any, name: str, title: str, rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
) -> str:  # fmt: skip
    """A chart, and its figures as a table. Amounts of the chart are in whole units of the currency."""
    if not rows:
        return _panel(title, "<p>There is nothing to show.</p>")
    units = 10**answers.decimals
    drawn = [
        {
            key: row[key] / units if key in ("mrr", "amount", "arpa") and row[key] is not None else row[key]
            for key in columns
        }
        for row in rows
    ]
    spec = charts["common"] | charts[name] | {"data": {"values": drawn}, "description": title}
    place = f"{_id(answers)}-{name}"
    shown = [[_cell(answers, key, row[key]) for key in columns] for row in rows]
    return _panel(
        title,
        f'<div data-chart="{place}" role="img" aria-label="{_safe(title)}">{library.vegalite_to_svg(spec)}</div>'
        f'<script type="application/json" id="{place}">{_json(spec)}</script>'
        f"<details><summary>Figures</summary>{_table(columns, shown)}</details>",
    )


def _cell(answers: Answers, column: str, value: Any) -> str:
    if column in ("mrr", "amount", "arpa"):
        return money(answers, value)
    if column in ("share", "kept"):
        return percent(value)
    return str(value)[:7] if column in ("month", "cohort") else str(value)


def _table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{_safe(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(_data(str(cell)) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _data(text: str) -> str:
    """A cell. Long text may be wrapped, but never within a date or an amount."""
    kind = ' class="short"' if len(text) <= SHORT else ""
    return f"<td{kind}>{_safe(text)}</td>"


def _json(value: Any) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _safe(value: object) -> str:
    return html.escape(str(value))


def _id(answers: Answers) -> str:
    return _safe("".join(each if each.isalnum() else "-" for each in f"{answers.account}-{answers.currency}"))


def _text(file: str) -> str:
    return (resources.files("pipelines.models.report") / file).read_text("utf-8")
