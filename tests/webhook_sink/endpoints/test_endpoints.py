"""Addresses of endpoints, which are looked at before Stripe is asked."""

from __future__ import annotations

import pytest

from pipelines.configuration.settings import Settings
from sources.errors import BadConfiguration
from webhook_sink.endpoints.endpoints import Endpoints


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hooks.example.com", "has no path"),
        ("http://localhost:8080/", "has no path"),
        ("https://hooks.example.com?token=open-sesame", "has no path"),
        ("https://hooks.example.com/?open-sesame", "has no path"),
        ("https://:open-sesame@hooks.example.com/", "not an address"),
        ("https://open-sesame@hooks.example.com/webhooks", "not an address"),
        ("https://hooks.example.com:port/webhooks", "not an address"),
        ("https://hooks.example.com:/webhooks#open-sesame", "not an address"),
        ("https://[open-sesame/webhooks", "not an address"),
        ("https://sk_live_opensesame0123456789/", "has no path"),
        ("sk_live_opensesame0123456789", "not an address"),
    ],
)
def test_address_that_stripe_could_not_use_is_refused_and_repeats_no_secret(url: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        Endpoints(Settings(stripe_secret_key="sk_test_x")).create(url)
    assert said in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("sesame", "sk_live"))
