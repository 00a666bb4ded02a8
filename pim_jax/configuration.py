"""What every configuration of the package has in common."""

from typing import Any


def check_field(field: str, value: Any, holds: bool, wanted: str) -> None:
    """Raises ValueError, which says what the field must be and what it is, unless `holds`.

    Args:
      field: the field as a user writes it, such as "model.scales".
      value: what the field is.
      holds: whether that is allowed.
      wanted: what is allowed, to follow "must be".

    Example:
      >>> check_field("model.scales", 0, False, "at least 1")
      Traceback (most recent call last):
      ValueError: model.scales must be at least 1, not 0
    """
    if not holds:
        raise ValueError(f"{field} must be {wanted}, not {value!r}")
