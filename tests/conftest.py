"""What all rooms' tests share: the profiles of Hypothesis."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `deep` is for a long run by hand: HYPOTHESIS_PROFILE=deep make test
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("default"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
