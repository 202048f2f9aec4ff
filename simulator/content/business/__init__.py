"""A growing SaaS business over three years, the content of the simulated account.

    tell(Maker(account, shapes, seed), customers=300, since=…)

Products and plans, customers who sign up, start trials, pay, fail to pay, dispute and leave, and the payments. All ids
refer to existing objects; the same seed creates the same business.
"""

from simulator.content.business.maker import Maker
from simulator.content.business.story import tell

__all__ = ["Maker", "tell"]
