"""The providers that every rule of this folder is tested for."""

from __future__ import annotations

from tests.providers import orb_case, stripe_case

CASES = (stripe_case.CASE, orb_case.CASE)
