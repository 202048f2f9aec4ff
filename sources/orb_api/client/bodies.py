"""Parses the body of an answer of Orb into a page or an object. Pure; knows no connection.

Bodies of lists: https://docs.withorb.com/api-reference/pagination.
"""

from __future__ import annotations

from sources.errors import BrokenPage
from sources.fetch.values import Object, Page, Reply, as_of
from sources.json_text import decode
from sources.orb_api.client.settings import ClientSettings


def page_of(reply: Reply, *, is_whole: bool = False) -> Page:
    """The page in an answer of status 200. Raises BrokenPage if the body is not a list of objects.

    With `is_whole`, the list has no further pages, and the body need not say so. An entry that is not an object becomes
    an empty object, which is left out later because it has no key.
    """
    body = parse(reply)
    objects, about = body.get("data"), body.get("pagination_metadata")
    if not isinstance(objects, list):
        raise broken(reply, "is not a list")
    if objects and not any(isinstance(obj, dict) for obj in objects):
        raise broken(reply, "is a list whose entries are not objects")
    if about is None and is_whole:
        about = {"has_more": False}
    if not isinstance(about, dict):
        raise broken(reply, "has no pagination_metadata, so it does not say whether there are more pages")
    has_more, cursor = about.get("has_more"), about.get("next_cursor")
    if not isinstance(has_more, bool):
        raise broken(reply, "does not say whether there are more pages")
    if has_more and not objects:
        raise broken(reply, "is empty but says that there are more entries")
    if has_more and not (isinstance(cursor, str) and cursor):
        raise broken(reply, "says that there are more entries but has no next_cursor")
    return _page(reply, [obj if isinstance(obj, dict) else {} for obj in objects], has_more, cursor)


def single_page(reply: Reply) -> Page:
    """The object in an answer of status 200, as a page of one. Raises BrokenPage if the body is not an object."""
    return _page(reply, [parse(reply)], False, None)


def parse(reply: Reply) -> Object:
    """The JSON object in the body. Raises BrokenPage if the body is not a JSON object."""
    body = decode(reply.body)
    if body is None:
        raise broken(reply, "is not JSON")
    if not isinstance(body, dict):
        raise broken(reply, "is not a JSON object")
    return body


def broken(reply: Reply, what: str) -> BrokenPage:
    """The error for a body that is not what was requested; `what` completes the sentence "The answer … "."""
    return BrokenPage(
        f"The answer to {reply.where}, {len(reply.body)} bytes, {what}. If this persists, check whether"
        f" {ClientSettings.api.setting('api_base')} or a proxy leads to something other than Orb's API.",
        status=reply.status,
    )


def _page(reply: Reply, objects: list[Object], has_more: bool, cursor: str | None) -> Page:
    return Page(objects, has_more, cursor if has_more else None, as_of(reply), 1, len(reply.body), None)
