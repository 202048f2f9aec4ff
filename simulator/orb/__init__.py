"""A simulated Orb account over real HTTP, with the default lists of Orb's API. Knows nothing of Stripe.

with OrbSimulator(seed=1, customers=50) as sim:
    urllib3.request("GET", sim.url + "/v1/customers", headers={"Authorization": f"Bearer {sim.key}"})
    sim.account.update("customers", "…", {"name": "New"}, "customer.edited")
"""

from simulator.orb.simulator import OrbSimulator

__all__ = ["OrbSimulator"]
