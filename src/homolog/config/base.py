"""Which kinds of value may stand in config.yaml, whatever they mean?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

T = TypeVar("T")

# Every file format and library on the way can hold 31 bits.
LARGEST = 2**31 - 1


class Options(BaseModel):
    """A closed mapping: no key but the documented ones, no value of another type, no change after reading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class GridOptions(Options):
    """Options of which any may be a list of values: a grid."""

    SHARED: ClassVar[frozenset[str]] = frozenset()
    """Keys that belong to all grid points, and whose lists make none."""

    def choices(self, key: str) -> list[Any]:
        """The values of a key over the grid: one, or those of its list."""
        value = getattr(self, key)
        return value if isinstance(value, list) else [value]

    def expand(self) -> list[dict[str, Any]]:
        """The options at every grid point; the first key varies slowest."""
        keys = [key for key in type(self).model_fields if key not in self.SHARED]
        return [dict(zip(keys, point, strict=True)) for point in product(*map(self.choices, keys))]

    def varying(self) -> list[str]:
        """What tells each grid point from the others, in the order of `expand`; empty for one that is alone."""
        points = self.expand()
        keys = [key for key in points[0] if any(point[key] != points[0][key] for point in points)]
        return [",".join(f"{key}={point[key]}" for key in keys) for point in points]


def _each_once(values: list[T]) -> list[T]:
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise PydanticCustomError("duplicate", "duplicates", {"values": twice})
    return values


def which_form(value: Any) -> str:
    """Whether it is a list."""
    return "list" if isinstance(value, list) else "value"


# Names become folders and wildcards. No dash: planning adds variants such as `<model>-untrained`. Queues name the log
# of a job after all its wildcards: a model, its variant, a seed, a hook point and a decomposition, in 255 bytes.
LONGEST_NAME, LONGEST_HOOK_POINT = 50, 100
Name: TypeAlias = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}$")]
# What ends a line somewhere: in a message, a log, a caption.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# Labels are shown in figures, where "$" would begin a formula, and stand in files as group names, in which "/" would
# open a level.
Label: TypeAlias = Annotated[str, StringConstraints(pattern=rf"^[^/${_CONTROL}]+$")]
# Of a file or a folder that is read; it is never part of a command.
FilePath: TypeAlias = Annotated[str, StringConstraints(pattern=rf"^[^{_CONTROL}]+$")]
Reference: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
ProperFraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
PositiveFraction: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]
Amount: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST)]
Seed: TypeAlias = Amount

Several: TypeAlias = Annotated[
    list[T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)
]
# One value, or a list of values: a grid.
Grid: TypeAlias = Annotated[
    Annotated[T, Tag("value")] | Annotated[Several[T], Tag("list")],
    Discriminator(which_form),
]


def registered(names: Iterable[str]) -> Any:
    """Metadata that lets a text be one of `names`, e.g. the keys of a registry."""
    known = list(names)

    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError("unknown_name", "unknown name")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": known})
