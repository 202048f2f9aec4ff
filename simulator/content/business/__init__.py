"""A growing SaaS business over three years, the content of the simulated account.

    tell(Maker(account, shapes, seed), customers=300, since=…)

Products and plans, customers who sign up, trial, pay, fail to pay, dispute and leave, and the money that moves.
All ids refer to objects that are there; the same seed tells the same story.
"""

from simulator.content.business.maker import Maker
from simulator.content.business.story import tell

__all__ = ["Maker", "tell"]
