"""Print constraints for the lowest versions that pyproject.toml allows (run by `make test-lowest`)."""

import re
import tomllib
from pathlib import Path


def lowest(requirements):
    """``name==version`` of every requirement with a lower bound."""
    for text in requirements:
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)", text)
        if found:
            yield f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    print("\n".join(lowest(project["dependencies"])))
