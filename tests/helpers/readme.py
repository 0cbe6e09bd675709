"""The code in recipes/README.md."""

import re
import sys
from pathlib import Path
from types import ModuleType

RECIPES = Path(__file__).parent.parent.parent / "recipes"


def readme_blocks(language: str) -> list[str]:
    """The blocks of code of a language."""
    text = (RECIPES / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def backbone_of_the_readme() -> ModuleType:
    """The module that shows how to add a backbone."""
    (code,) = readme_blocks("python")
    module = ModuleType("gru")
    sys.modules["gru"] = module  # where torch's exporter looks for it
    exec(code, module.__dict__)
    return module
