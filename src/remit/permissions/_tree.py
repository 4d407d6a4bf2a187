"""Walk the tree of a policy, and read the paths in it.

list(nodes(template))                            # every node
path_of(expression)                              # ("arguments", "amount_minor") of context.arguments.amount_minor
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from cedarpy import pst


def nodes(root: object) -> Iterator[object]:
    """Walk every node under `root`, without recursion."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, tuple):
            stack += reversed(node)
        elif isinstance(node, Mapping):
            stack += node.values()
        elif is_dataclass(node):
            stack += [getattr(node, field.name) for field in fields(node)]


def path_of(expression: pst.Expr) -> tuple[str, ...] | None:
    """Return the attributes that lead from `context` to what `expression` reads; None where it is no such path."""
    found: list[str] = []
    while isinstance(expression, pst.GetAttr):
        found.append(expression.attr)
        expression = expression.base
    return (*reversed(found),) if expression == pst.Var("context") else None
