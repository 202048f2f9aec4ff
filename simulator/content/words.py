"""Words for generated objects: names, texts with characters that break programs, metadata. Only data and random
choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

GIVEN = (
    "Ada",
    "Grace",
    "Bjørn",
    "Chloë",
    "José",
    "Łukasz",
    "Mei",
    "Nadia",
    "Ömer",
    "Priya",
    "Søren",
    "Yuki",
    "Zoë",
    "李",
)
FAMILY = (
    "Lovelace",
    "Hopper",
    "Ångström",
    "Dvořák",
    "García",
    "Kowalski",
    "Nguyễn",
    "O'Brien",
    "Sato",
    "Şahin",
    "Weiß",
    "王",
)
COMPANIES = (
    "Acme Rockets", "Blåbær AS", "Café Ünïcode", "Dröhn & Söhne", "Emoji 🚀 Labs", "Foo, Bar \"&\" Baz", "Gürtel GmbH",
    "Hoshi 星", "Initech", "Jalapeño Foods", "Kilo\tTab", "Lumen\\Backslash", "Møller", "Northwind", "Oñate y Cía",
)  # fmt: skip
CITIES = ("Berlin", "København", "Lisboa", "New York", "São Paulo", "Tōkyō", "Zürich")
COUNTRIES = ("DE", "DK", "PT", "US", "BR", "JP", "CH", "GB", "FR")
CURRENCIES = ("usd", "usd", "usd", "eur", "gbp")
TEXTS = (
    "Quarterly plan", "", "naïve café — “quoted”", "line one\nline two", "{\"json\": true}", "50% off; O'Reilly",
    "🚀 emoji ✓",
    "trailing space ", "日本語のテキスト", "back\\slash", "tab\there", "null", "true", "0012", "1e5",
    "<b>html & co</b>",
)  # fmt: skip
METADATA: Sequence[tuple[str, str]] = (
    ("order_id", "6735"), ("empty", ""), ("ключ", "значение"), ("quote\"d", "it's"), ("emoji 🎉", "✓"), ("a.b[c]",
    "d,e"),
    ("path", "C:\\temp\\x"), ("json", "{\"a\":[1,2]}"), ("plan", "growth"), ("nl", "one\ntwo"), ("id", "not-an-id"),
)  # fmt: skip
BY_NAME: Sequence[tuple[str, Sequence[str]]] = (
    ("currency", ("usd", "eur", "jpy", "gbp")),
    ("country", COUNTRIES),
    ("email", ("ada@example.com", "grace+test@example.org", "o'brien@example.co.uk")),
    ("phone", ("+15555550100", "+4930123456")),
    ("url", ("https://example.com/a?b=c&d=e", "https://example.org/ü")),
    ("city", CITIES),
    ("postal_code", ("10115", "94107", "SW1A 1AA", "")),
    ("state", ("CA", "NY", "BE", "")),
    ("line1", ("Hauptstraße 1", "354 Oyster Point Blvd", "ul. Długa 5/7")),
    ("line2", ("", "Apt. 4", "3. OG")),
    ("last4", ("4242", "0005", "0012")),
    ("fingerprint", ("Xt5EWLLDS7FJjR1c", "0aZQ81jv0n3x")),
    ("ip_address", ("203.0.113.7", "2001:db8::1")),
    ("bank_name", ("STRIPE TEST BANK", "Banca d'Italia")),
    ("routing_number", ("110000000",)),
    ("name", COMPANIES),
    ("version", ("2026-10-28.endive",)),
)


def metadata(chance: random.Random) -> dict[str, str]:
    """Metadata with zero to four keys, some of them unusual."""
    return dict(chance.sample(METADATA, chance.choice((0, 0, 1, 2, 4))))


def person(chance: random.Random) -> str:
    """A person's full name."""
    return f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}"
