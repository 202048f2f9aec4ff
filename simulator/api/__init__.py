"""Stripe's API: routes, keys, parameters, filters, lists, expanded objects, refusals. Knows no socket."""
