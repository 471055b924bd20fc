"""The trained user model that knows no target: what it sees, what it asks its language model, and what it decides from that.

The simulators `smtpo-sft` and `smtpo-base` speak with it, the recommender `smtpo-search` imagines a seeker with it, and the
trainer makes it. Nothing here has access to a need.
"""
