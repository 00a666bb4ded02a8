"""Batches of one length: every length is another program for XLA to compile."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def split(items: Sequence[T], length: int) -> Iterator[list[T]]:
    """Cuts a sequence into lists of `length`; the last may be shorter.

    Examples:
      >>> list(split("abcde", 2))
      [['a', 'b'], ['c', 'd'], ['e']]
    """
    return (list(items[start : start + length]) for start in range(0, len(items), length))


def padded(items: list[T], length: int) -> list[T]:
    """Repeats the last item until there are `length`; there must be one.

    Examples:
      >>> padded(["a", "b"], 4)
      ['a', 'b', 'b', 'b']
    """
    return items + items[-1:] * (length - len(items))
