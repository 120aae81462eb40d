"""Which settings does the source read, section by section? By the annotated types, without running.

``scan.sectors`` being read says nothing about a ``learner.sectors``, so an attribute counts only on
what is known to be of its section: an annotated parameter, field or variable, what is assigned from
one, or a way down from a ``Config``. What can't be resolved counts as not read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from ssl_perception.config import Config, Section

Read = tuple[str, str]  # class of the section, attribute


def sections(root: type[Section] = Config) -> Iterator[type[Section]]:
    """The tree's sections, the root first."""
    yield root
    for info in root.model_fields.values():
        if isinstance(info.default, Section):
            yield from sections(type(info.default))


def leaves(section: type[Section], prefix: str = "") -> Iterator[tuple[Read, str]]:
    """Each setting as class and attribute, with its dotted name."""
    for name, info in section.model_fields.items():
        if isinstance(info.default, Section):
            yield from leaves(type(info.default), f"{prefix}{name}.")
        else:
            yield (section.__name__, name), f"{prefix}{name}"


KNOWN = {section.__name__: section for section in sections()}


def reads(sources: Iterable[str]) -> set[Read]:
    """Every setting that these modules read."""
    modules = [ast.parse(source) for source in sources]
    attributes: dict[str, str] = {}  # "self.x" and ".x" of any class -> section
    found: set[Read] = set()
    for _ in range(3):  # what one pass learns of attributes the next one needs
        for module in modules:
            reader = _Reader(attributes, found)
            reader.visit(module)
    return found


class _Reader(ast.NodeVisitor):
    def __init__(self, attributes: dict[str, str], found: set[Read]) -> None:
        self._class: list[str] = [""]
        self._names: list[dict[str, str]] = [{}]
        self._attributes = attributes
        self._found = found

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._class.append(node.name)
        self._names.append({})
        self.generic_visit(node)
        for name, kind in self._names.pop().items():  # fields of dataclasses
            self._attributes[f"{node.name}.{name}"] = kind
        self._class.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        names: dict[str, str] = {}
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            kind = _annotated(argument.annotation)
            if kind:
                names[argument.arg] = kind
        kind = _annotated(node.returns)
        if kind:
            self._attributes[f"{node.name}()"] = kind
            self._attributes[f"{self._class[-1]}.{node.name}"] = kind  # a property
        self._names.append(names)
        self.generic_visit(node)
        self._names.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        kind = _annotated(node.annotation)
        if kind:
            self._set(node.target, kind)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for part, value in zip(target.elts, node.value.elts, strict=False):
                    self._set(part, self._kind(value))
            else:
                self._set(target, self._kind(node.value))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        kind = self._kind(node.value)
        if isinstance(node.ctx, ast.Load):
            self._found |= {(k, node.attr) for k in kind.split("|") if k in KNOWN}
        self.generic_visit(node)

    def _set(self, target: ast.expr, kind: str) -> None:
        if isinstance(target, ast.Name):
            self._names[-1][target.id] = kind
        elif kind and isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
            self._attributes[f"{self._class[-1]}.{target.attr}"] = kind

    def _kind(self, node: ast.expr) -> str:
        """The class that an expression is of; empty: not known."""
        if isinstance(node, ast.BoolOp):
            return next(filter(None, map(self._kind, node.values)), "")
        if isinstance(node, ast.IfExp):
            return self._kind(node.body) or self._kind(node.orelse)
        if isinstance(node, ast.Name):
            return next((n[node.id] for n in reversed(self._names) if node.id in n), "")
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                own = node.func.id
                return self._attributes.get(f"{own}()", own)  # or an object of its own class
            return ""
        if not isinstance(node, ast.Attribute):
            return ""
        holder = self._kind(node.value)
        if holder in KNOWN:
            info = KNOWN[holder].model_fields.get(node.attr)
            return type(info.default).__name__ if info is not None else ""
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            holder = self._class[-1]
        own = self._attributes.get(f"{holder}.{node.attr}", "")
        if own:
            return own
        return "Config" if node.attr == "config" else ""


def _annotated(annotation: ast.expr | None) -> str:
    if annotation is None:
        return ""
    text = ast.unparse(annotation).replace("'", "")
    parts = [part.strip().split(".")[-1] for part in text.split("|")]
    return "|".join(part for part in parts if part in KNOWN)
