"""What an account's old API versions show otherwise than today's, as events and webhooks still have it. Pure.

https://docs.stripe.com/upgrades#2019-12-03: until then the `id` of an invoice's line was that of the subscription or of
the invoice item behind it, so that the lines of several invoices (and of one, with several items) shared an id; the id
of today stood beside it as `unique_id`, and in the oldest versions nowhere.
"""

from __future__ import annotations

import orjson

from simulator.account.objects import Object

LINES_HAVE_IDS = "2019-12-03"
LINES_SHOW_IDS = "2018-02-28"


def in_version(data: bytes, api_version: str) -> bytes:
    """The JSON of an object as a version shows it."""
    if api_version >= LINES_HAVE_IDS:
        return data
    object: Object = orjson.loads(data)
    if object.get("object") != "invoice":
        return data
    for line in object["lines"]["data"]:
        own_id, line["id"] = line["id"], _origin(line, object)
        if api_version >= LINES_SHOW_IDS:
            line["unique_id"] = own_id
    return orjson.dumps(object)


def _origin(line: Object, invoice: Object) -> str:
    """The id of what a line bills: a subscription, or an invoice item."""
    parent = line.get("parent") or {}
    subscription = (parent.get("subscription_item_details") or {}).get("subscription") or line.get("subscription")
    item = (parent.get("invoice_item_details") or {}).get("invoice_item")
    return str(subscription or item or f"ii_{str(invoice.get('customer')).partition('_')[2]}")
