"""Stand-ins for the protobuf messages that the Functions host and its Python worker exchange.

``azure_functions_runtime`` builds every message from a set of classes it is handed, so plain objects that keep their
arguments serve; only the enumerations must have the values of the protocol.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Message(SimpleNamespace):
    """Any message: its keyword arguments are its fields."""


class StatusResult(Message):
    """The outcome of a request to the worker."""

    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Message):
    """A binding's direction and data type."""

    undefined, out, inout = 0, 1, 2


class TypedData(Message):
    """A value of one kind: the name of its only field is the kind."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 -- the protocol's own name
        """The kind of the value."""
        return next(iter(vars(self)), None)


class ParameterBinding(Message):
    """A named value."""

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 -- the protocol's own name
        """A value is always carried as data, never in shared memory."""
        return "data"


class RpcHttpCookie(Message):
    """A cookie of an HTTP answer."""

    class SameSite:
        """The cookie's reach."""

        Lax, Strict, ExplicitNone = 1, 2, 3


setattr(RpcHttpCookie.SameSite, "None", 0)


class Protocol:
    """What the runtime takes its message classes from."""

    StatusResult = StatusResult
    BindingInfo = BindingInfo
    TypedData = TypedData
    ParameterBinding = ParameterBinding
    RpcHttpCookie = RpcHttpCookie

    def __getattr__(self, name: str) -> Any:
        """Every other message is plain."""
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Message,), {})
