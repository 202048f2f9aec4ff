"""Parses the body of an answer of Stripe into a page or an object. Pure; knows no connection.

Bodies of lists: https://docs.stripe.com/api/pagination and, for v2, https://docs.stripe.com/api-v2-overview.
"""

from __future__ import annotations

from sources.errors import BrokenPage
from sources.fetch.values import Object, Page, Reply, as_of
from sources.json_text import decode


def page_of(reply: Reply) -> Page:
    """The page in an answer of status 200. Raises BrokenPage if the body is not a list of objects.

    An entry that is not an object becomes an empty object, which is left out later because it has no key.
    """
    body = parse(reply)
    objects = body.get("data")
    if not isinstance(objects, list):
        raise _broken(reply, "is not a list")
    if not all(isinstance(obj, dict) for obj in objects):
        if not any(isinstance(obj, dict) for obj in objects):
            raise _broken(reply, "is a list whose entries are not objects")
        objects = [obj if isinstance(obj, dict) else {} for obj in objects]
    if "next_page_url" in body or reply.path.startswith("/v2/"):
        url = body.get("next_page_url")
        if url is not None and not isinstance(url, str):
            raise _broken(reply, "has a next_page_url that is not text")
        return _page(reply, objects, url is not None, url)
    has_more = body.get("has_more")
    if not isinstance(has_more, bool):
        raise _broken(reply, "does not say whether there are more pages")
    if has_more and not objects:
        raise _broken(reply, "is empty but says that there are more entries")
    return _page(reply, objects, has_more, None)


def single_page(reply: Reply) -> Page:
    """The object in an answer of status 200, as a page of one. Raises BrokenPage if the body is not an object."""
    body = parse(reply)
    if not isinstance(body.get("object"), str):
        raise _broken(reply, "is not a Stripe object")
    return _page(reply, [body], False, None)


def parse(reply: Reply) -> Object:
    """The JSON object in the body. Raises BrokenPage if the body is not a JSON object, or contains an error."""
    body = decode(reply.body)
    if body is None:
        raise _broken(reply, "is not JSON")
    if not isinstance(body, dict):
        raise _broken(reply, "is not a JSON object")
    if "error" in body and "object" not in body:
        raise _broken(reply, "contains an error despite its status")
    return body


def _page(reply: Reply, objects: list[Object], has_more: bool, next_page: str | None) -> Page:
    return Page(objects, has_more, next_page, as_of(reply), 1, len(reply.body), reply.request_id)


def _broken(reply: Reply, what: str) -> BrokenPage:
    return BrokenPage(
        f"The answer to {reply.where}, {len(reply.body)} bytes, {what}. If this persists, check whether"
        " SOURCES__STRIPE__API_BASE or a proxy leads to something other than Stripe's API.",
        request_id=reply.request_id,
        status=reply.status,
    )
