"""Hold JSON against the TypedDicts that promise its shape."""

import types
import typing
from typing import Any

from agentd.api import log_shapes, schedule_shapes, shapes, status_shapes

_NAMES = {**vars(shapes), **vars(status_shapes), **vars(log_shapes), **vars(schedule_shapes)}


def check_shape(value: Any, shape: Any, place: str = "") -> None:
    """Fail where `value` has a key too many or too few, or another type than `shape` says, at any depth."""
    origin, args = typing.get_origin(shape), typing.get_args(shape)
    if shape is Any:
        return
    if typing.is_typeddict(shape):
        hints = typing.get_type_hints(shape, _NAMES)
        assert isinstance(value, dict), place
        assert shape.__required_keys__ <= set(value) <= set(hints), place
        for name in value:
            check_shape(value[name], hints[name], f"{place}.{name}")
    elif origin is list:
        assert isinstance(value, list), place
        for index, item in enumerate(value):
            check_shape(item, args[0], f"{place}[{index}]")
    elif origin is dict:
        assert isinstance(value, dict), place
        for name, inner in value.items():
            check_shape(inner, args[1], f"{place}.{name}")
    elif origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in args if kind is not type(None)]
        if value is None:
            assert type(None) in args, place
        else:
            check_shape(value, kinds[0], place)
    else:
        wanted = (int, float) if shape is float else shape
        assert isinstance(value, wanted), f"{place} is {value!r}"
        assert not (isinstance(value, bool) and shape is not bool), f"{place} is {value!r}"
