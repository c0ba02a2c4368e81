"""Each row of tidy finds its bad example and passes its good one."""

import importlib.util
import pathlib
import sys
from types import ModuleType

import pytest


def load_tidy() -> ModuleType:
    path = pathlib.Path(__file__).parents[2] / "tools" / "tidy.py"
    spec = importlib.util.spec_from_file_location("tidy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tidy"] = module
    spec.loader.exec_module(module)
    return module


tidy = load_tidy()


def findings(rule_name: str, text: str) -> list[str]:
    path = "src/koban/cases/__init__.py" if rule_name == "front door" else "src/koban/cases/logic.py"
    return [found.message for found in tidy.check_module(path, text) if found.message.startswith(f"{rule_name}:")]


@pytest.mark.parametrize("rule", tidy.RULES, ids=lambda rule: rule.name)
def test_a_rule_finds_its_bad_example_and_passes_its_good_one(rule: object) -> None:
    assert findings(rule.name, rule.good) == []  # type: ignore[attr-defined]  # the module is loaded by path
    assert findings(rule.name, rule.bad) != []  # type: ignore[attr-defined]  # the module is loaded by path
