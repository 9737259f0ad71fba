"""A real Docker engine with Compose v2 for the lab: the machine's own where it has one, else one of the lab's.

engine = Engine("tests").up()
image = images.build(engine)
...  docker compose up, with the environment engine.environ
engine.down()
"""

from .engine import Engine, unavailable

__all__ = ["Engine", "unavailable"]
