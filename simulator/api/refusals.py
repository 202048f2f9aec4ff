"""Stripe's refusals: the status, body and headers of every error that the simulator answers with.

Texts as Stripe's API gives them (https://docs.stripe.com/error-codes, and reports in the SDKs' issue trackers).
Knows no table and no transport.
"""

from __future__ import annotations

from collections.abc import Sequence

DOC = "https://stripe.com/docs/error-codes/"
INVALID = "invalid_request_error"


class Refusal(Exception):
    """An error answer. `headers` are added to those of every answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, tuple(headers)
        self.error: dict[str, str] = {"message": message, "type": type}
        if code:
            self.error |= {"code": code, "doc_url": DOC + code.replace("_", "-")}
        if param:
            self.error["param"] = param


def no_key() -> Refusal:
    """401 without an Authorization header."""
    text = (
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for "
        "details, or we can help at https://support.stripe.com/."
    )
    return Refusal(401, text, headers=[("WWW-Authenticate", 'Basic realm="Stripe"')])


def wrong_key(key: str) -> Refusal:
    """401 for a key that Stripe does not know."""
    return Refusal(
        401, f"Invalid API Key provided: {masked(key)}", headers=[("WWW-Authenticate", 'Basic realm="Stripe"')]
    )


def expired_key(key: str) -> Refusal:
    """401 for a rolled key."""
    return Refusal(401, f"Expired API Key provided: {masked(key)}", code="api_key_expired")


def publishable_key() -> Refusal:
    """403 for a pk_ key."""
    text = (
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of "
        "your API keys at https://dashboard.stripe.com/account/apikeys."
    )
    return Refusal(403, text, code="secret_key_required")


def no_permission(key: str, account: str, permission: str) -> Refusal:
    """403 for a restricted key without a permission."""
    text = (
        f"The provided key '{masked(key)}' does not have the required permissions for this endpoint on account "
        f"'{account}'. Having the '{permission}' permission would allow this request to continue."
    )
    return Refusal(403, text)


def no_access(key: str, account: str) -> Refusal:
    """403 for a Stripe-Account that the key cannot act for."""
    text = (
        f"The provided key '{masked(key)}' does not have access to account '{account}' (or that account does not "
        "exist). Application access may have been revoked."
    )
    return Refusal(403, text, code="account_invalid")


def unrecognized(method: str, path: str) -> Refusal:
    """404 for a path that is not an endpoint."""
    hint = ""
    if path.endswith("/"):
        hint = (
            " If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, "
            "make sure you passed a valid (non-empty) identifier in your code."
        )
    text = f"Unrecognized request URL ({method}: {path}).{hint} Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
    return Refusal(404, text)


def unknown_parameters(names: Sequence[str]) -> Refusal:
    """400 for parameters that the endpoint does not have."""
    plural = "s" if len(names) > 1 else ""
    return Refusal(
        400, f"Received unknown parameter{plural}: {', '.join(names)}", code="parameter_unknown", param=names[0]
    )


def missing_parameter(name: str) -> Refusal:
    """400 for a missing required parameter."""
    return Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def empty_parameter(name: str) -> Refusal:
    """400 for `name=`."""
    text = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return Refusal(400, text, code="parameter_invalid_empty", param=name)


def invalid_parameter(kind: str, value: object, name: str) -> Refusal:
    """400 for a value of the wrong type: kind "integer", "boolean", "object", "array", "string"."""
    code = "parameter_invalid_integer" if kind == "integer" else None
    return Refusal(400, f"Invalid {kind}: {value}", code=code, param=name)


def invalid_choice(name: str, allowed: Sequence[str]) -> Refusal:
    """400 for a value outside an enumeration."""
    choices = ", ".join(allowed[:-1]) + (f", or {allowed[-1]}" if len(allowed) > 1 else allowed[-1])
    return Refusal(400, f"Invalid {name}: must be one of {choices}", param=name)


def limit_too_small() -> Refusal:
    """400 for a limit below 1."""
    text = "This value must be greater than or equal to 1."
    return Refusal(400, text, code="parameter_invalid_integer", param="limit")


def limit_too_large(limit: int, largest: int) -> Refusal:
    """400 for a limit above the endpoint's maximum."""
    text = f"This value must be less than or equal to {largest} (it currently is '{limit}')."
    return Refusal(400, text, code="parameter_invalid_integer", param="limit")


def both_cursors() -> Refusal:
    """400 for starting_after together with ending_before."""
    return Refusal(400, "Received both starting_after and ending_before parameters. Please pass in only one.")


def not_found(object_name: str, id: str, param: str, status: int = 404) -> Refusal:
    """404 for an object that does not exist; 400 if its id is a cursor or a filter."""
    return Refusal(status, f"No such {spoken(object_name)}: '{id}'", code="resource_missing", param=param)


def not_expandable(path: str) -> Refusal:
    """400 for a field that cannot be expanded."""
    return Refusal(400, f"This property cannot be expanded ({path}).", param="expand")


def too_deep(path: str) -> Refusal:
    """400 for more than four levels of expand."""
    text = f"You cannot expand more than 4 levels of a property, but '{path}' goes deeper."
    return Refusal(400, text, code="property_expansion_max_depth", param="expand")


def invalid_version(version: str) -> Refusal:
    """400 for a Stripe-Version that does not exist."""
    return Refusal(400, f"Invalid Stripe API version: {version}")


def missing_version() -> Refusal:
    """400 for a v2 request without a version."""
    return Refusal(400, "The Stripe-Version header is required for /v2 endpoints.", code="stripe_version_required")


def throttled(reason: str | None) -> Refusal:
    """429: the rate or the concurrency is exceeded; the header says which."""
    text = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    headers = [("Stripe-Rate-Limited-Reason", reason)] if reason else []
    return Refusal(429, text, code="rate_limit", headers=headers)


def locked(status: int = 429) -> Refusal:
    """429 (or 409) lock_timeout: another request has locked the object."""
    text = (
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request. If you see this error frequently and are making "
        "multiple concurrent requests to a single object, make your requests serially or at a lower rate. For more "
        "details, see https://stripe.com/docs/rate-limits#object-lock-timeouts."
    )
    return Refusal(status, text, code="lock_timeout")


def failed(status: int = 500) -> Refusal:
    """5xx: a failure at Stripe."""
    text = (
        "Sorry! There was an error while talking to Stripe. Please try again; if the problem persists, let us know at "
        "https://support.stripe.com/."
    )
    return Refusal(status, text, type="api_error")


def masked(key: str) -> str:
    """A key as Stripe's messages show it: its kind and its last four characters."""
    head = key.split("_", 2)
    start = "_".join(head[:2]) + "_" if len(head) == 3 else ""
    rest = key[len(start) :]
    return start + "*" * max(len(rest) - 4, 0) + rest[-4:]


def spoken(object_name: str) -> str:
    """An object's name as in Stripe's messages: `payment_intent`, `checkout session`, `issuing card`."""
    return object_name.removeprefix("v2.").replace(".", " ")


def invalid_page(token: str) -> Refusal:
    """400 for a v2 page token that is invalid, or belongs to other filters."""
    return Refusal(400, f"Invalid page token: {token}", code="invalid_page_token", param="page")
