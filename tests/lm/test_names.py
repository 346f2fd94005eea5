"""Functions of the room keep their names whichever module is imported first."""

from __future__ import annotations

from types import ModuleType

import breadth.lm
import breadth.lm.generation
import breadth.lm.streaming


def test_every_name_of_the_room_is_there_and_none_is_a_module():
    for name in breadth.lm.__all__:
        assert not isinstance(getattr(breadth.lm, name), ModuleType), name
