"""Converts objects into the form of old API versions, which events and webhooks of such accounts have. Pure.

https://docs.stripe.com/upgrades#2019-12-03: before this version, the `id` of an invoice's line was the id of the
subscription or invoice item that it bills, so lines of several invoices (or of one invoice with several items) shared
an id. The present id was in `unique_id`, or absent in the oldest versions.
"""

from __future__ import annotations

import orjson

from simulator.account.objects import Object

LINES_HAVE_IDS = "2019-12-03"
LINES_SHOW_IDS = "2018-02-28"


def in_version(data: bytes, api_version: str) -> bytes:
    """The JSON of an object in an API version."""
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
    """The id of the subscription or invoice item that a line bills."""
    parent = line.get("parent") or {}
    subscription = (parent.get("subscription_item_details") or {}).get("subscription") or line.get("subscription")
    item = (parent.get("invoice_item_details") or {}).get("invoice_item")
    return str(subscription or item or f"ii_{str(invoice.get('customer')).partition('_')[2]}")
