"""Path expressions, compiled once per source: JMESPath, of which names, dots and places in lists cost dictionary look-ups (SPEC 2)."""

import re
from collections.abc import Callable
from typing import Any

import jmespath

from distill.jsonl import BadLine

__all__ = ["Find", "check_path", "compile_path", "has_path", "plain_name", "template_paths"]

Find = Callable[[Any], Any]
"""A compiled expression: of a JSON value, the value found in it, or None."""
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_CHAIN = re.compile(rf"{_NAME}(?:\.{_NAME}|\[-?\d+\])*")
_STEP = re.compile(rf"{_NAME}|-?\d+")
_PLACES = re.compile(r"\{\.([^{}]*)\}")


def _steps(path: str) -> list[str | int] | None:
    """Return the names and places of a path that has nothing else in it."""
    if not _CHAIN.fullmatch(path):
        return None
    return [step if step[0] == "_" or step[0].isalpha() else int(step) for step in _STEP.findall(path)]


def plain_name(path: str | None) -> str | None:
    """Return the key a path names, where it is one plain name."""
    return path if path is not None and re.fullmatch(_NAME, path) else None


def check_path(path: str) -> str | None:
    """Return why a path is no expression, or None."""
    if _steps(path) is not None:
        return None
    try:
        jmespath.compile(path)
    except jmespath.exceptions.JMESPathError as err:
        return str(err).splitlines()[0]
    return None


def compile_path(path: str) -> Find:
    """Return the function that finds what the path names.

    The function raises BadLine (`mistyped_field`) where the record cannot be put through the expression.
    """
    steps = _steps(path)
    if steps is None:
        return _compile_jmespath(path)
    if len(steps) == 1:
        name = steps[0]
        return lambda value: value.get(name) if type(value) is dict else None
    if len(steps) == 2 and isinstance(steps[1], str):
        first, second = steps

        def find_two(value: Any) -> Any:
            inner = value.get(first) if type(value) is dict else None
            return inner.get(second) if type(inner) is dict else None

        return find_two
    return lambda value: _walk(value, steps)


def _walk(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if type(value) is dict else None
        else:
            value = value[step] if type(value) is list and -len(value) <= step < len(value) else None
    return value


def _compile_jmespath(path: str) -> Find:
    expression = jmespath.compile(path)

    def search(value: Any) -> Any:
        try:
            return expression.search(value)
        except jmespath.exceptions.JMESPathError as err:
            raise BadLine("mistyped_field", f"{path}: {str(err).splitlines()[0]}") from err

    return search


def has_path(path: str) -> Callable[[Any], bool]:
    """Return the function that tells whether a record has what the path names; a key whose value is null is there.

    An expression that goes beyond names finds nothing where it gives null or an empty list.
    """
    steps = _steps(path)
    if steps is None:
        search = _compile_jmespath(path)

        def finds(value: Any) -> bool:
            try:
                return search(value) not in (None, [])
            except BadLine:
                return True  # the record is refused with the reason

        return finds
    *above, last = steps

    def has(value: Any) -> bool:
        parent = _walk(value, above)
        if isinstance(last, str):
            return type(parent) is dict and last in parent
        return _walk(parent, [last]) is not None

    return has


def template_paths(template: str) -> list[str]:
    """Return the paths of a template, in its order."""
    return _PLACES.findall(template)
