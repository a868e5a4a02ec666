"""YAML to plain data, strictly: duplicate keys are errors, nothing is ever constructed but maps, lists and scalars."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ..harness.errors import SuiteError

_SIZE_LIMIT = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, anchors' blow-ups and YAML 1.1's yes/no/on/off booleans."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not allowed", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} occurs twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)


# `on: interval` and `no` are words here, not booleans, and 2027-03-31 is the text that it is.
_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if (tag != "tag:yaml.org,2002:bool" or first in "tTfF") and tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(path: Path) -> dict[str, Any]:
    """The map that a suite file holds.

    Raises:
        SuiteError: not readable, no YAML, duplicate keys, or no map; one sentence with file and line.
    """
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            raise SuiteError(f"{path}: a suite of more than 1 MiB is no suite; give a YAML file")
        data = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read as a text file ({error}); give a YAML suite") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise SuiteError(f"{path}: {place}: {error.problem}; correct the YAML") from error
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SuiteError(f"{path}: is not valid YAML ({reason}); correct it") from error
    if not isinstance(data, dict):
        raise SuiteError(f"{path}: holds no map of keys; a suite begins with `name:` and `attacks:`")
    return data
