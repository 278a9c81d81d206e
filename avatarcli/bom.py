"""`avatarcli bom`: what an avatar is made of, and under which licenses."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console
from avatarcli.prior import ForUse


def bom(
    avatar: Annotated[Path, typer.Argument(help="A folder made by `avatarcli train`.", show_default=False)],
    use: ForUse = None,
) -> None:
    """List what an avatar is made of (models, programs, packages) and the licenses."""
    from pipelines.core.errors import UnusableMaterial
    from pipelines.provenance.bill_of_materials import bill, forbidden

    items = bill(avatar)
    rows = [[one.kind, one.name, one.version, one.license, "yes" if one.commercial else "no"] for one in items]
    console().table(["kind", "name", "version", "license", "commercial"], rows)
    for one in items:
        if one.remark:
            console().warn(f"{one.name}: {one.remark}.")
    against = forbidden(items, use) if use else []
    if against:
        named = ", ".join(f"the {one.kind} {one.name} ({one.license})" for one in against)
        raise UnusableMaterial(f"{avatar} must not be used for {use} work: the license of {named} forbids it.")
    listed = [{**asdict(one), "commercial": one.commercial} for one in items]
    console().result({"status": "done", "avatar": str(avatar), "items": listed}, f"{len(items)} materials")
