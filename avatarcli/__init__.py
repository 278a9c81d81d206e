"""The words the user types: parse, call one recipe, show its report. In Python: `from avatarcli import Avatar`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatarcli.api import Avatar as Avatar

__all__ = ["Avatar"]


def __getattr__(name: str) -> Any:
    """`Avatar`, imported when it is first asked for: PyTorch would slow down every command."""
    if name == "Avatar":
        from avatarcli.api import Avatar

        return Avatar
    raise AttributeError(f"module 'avatarcli' has no attribute {name!r}")
