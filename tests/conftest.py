"""Settings of all tests."""

from hypothesis import settings

# A busy machine is no failure: hypothesis shall not time its examples.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
