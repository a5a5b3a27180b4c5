"""What tests of the engine share."""

from __future__ import annotations

import pytest

from core.memory.parts import Tables
from tests.engines import engine_over, fake_tables


@pytest.fixture
def tables() -> Tables:
    """Tables with four messages of ada's."""
    made = fake_tables()
    with engine_over(made) as engine:
        engine.save_interaction_optimized("Our otter is called Ottilie.", "Lovely!", "ada", "s1")
        engine.save_interaction_optimized("It rains in Turin.", "Take an umbrella.", "ada", "s1")
    return made
