"""The family of a stored network, and its config from a record: what is unknown is refused with one sentence."""

from collections.abc import Mapping
from typing import Any

from models.families import FAMILIES, Family, UnknownFields
from pipelines.artifacts.prior import Prior
from pipelines.core.errors import UnusableMaterial
from pipelines.core.records import as_record


def family_of(name: str, owner: str) -> Family:
    """The family of that name; UnusableMaterial says of `owner` ("the prior anna") that it is of no known one."""
    if name not in FAMILIES:
        raise UnusableMaterial(f"{owner} is of the family {name}; this version knows {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def config_from(family: Family, values: Mapping[str, Any], owner: str) -> Any:
    """The config of a record; UnusableMaterial names the fields of `owner` that the family does not know or cannot have."""
    as_record(dict(values), family.config, owner)
    try:
        return family.decode(values)
    except UnknownFields as error:
        raise UnusableMaterial(f"{owner} has config fields this version does not know: {', '.join(error.names)}.") from error
    except (TypeError, ValueError) as error:
        raise UnusableMaterial(f"{owner} has a config that fits no {family.name} network ({error}).") from error


def config_of(prior: Prior) -> Any:
    """The config of the prior's generator; UnusableMaterial where its family or a field is unknown."""
    owner = f"the prior {prior.name}"
    return config_from(family_of(prior.family, owner), prior.config, owner)
