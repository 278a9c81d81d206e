"""`avatarcli prior`: the generators an avatar can start from, and all other files that can be added."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from avatarcli.console import FLAGS, console
from avatarcli.options import EVERYWHERE, Device, OnDevice, Out, Overwrite, Set, SettingsFile, assignments_of, pick_device

Use = Literal["research", "commercial"]

ForUse = Annotated[Use | None, typer.Option("--license", help="Refuse files whose license forbids this use.")]
Named = Annotated[str, typer.Argument(help="A name from `avatarcli prior list`, or a prior folder.", show_default=False)]
prior = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


@prior.callback()
def _command(context: typer.Context) -> None:
    """List, show, fetch, import and train the networks that avatars start from."""
    FLAGS.command = f"prior {context.invoked_subcommand}"


@prior.command("import", epilog=EVERYWHERE)
def import_(
    network: Annotated[Path, typer.Argument(help="A published network (.pkl, .pth).", show_default=False)],
    out: Out,
    name: Annotated[str | None, typer.Option(help="Name of the prior.", show_default="the folder's name")] = None,
    license_of: Annotated[str | None, typer.Option(metavar="NAME", help="Registry name or license of the file.")] = None,
    plane_axes: Annotated[str | None, typer.Option(metavar="NAME", help="Plane layout, if the file does not state it.")] = None,
    generator_only: Annotated[bool, typer.Option("--generator-only", help="Leave out the discriminator.")] = False,
    use: ForUse = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a published network into a prior folder, without running any code from it."""
    from pipelines.prior.importing.networks import ImportSettings, import_prior

    settings = ImportSettings(name=name, license_of=license_of, plane_axes=plane_axes, generator_only=generator_only, use=use)
    report = import_prior(network, out, settings, console(), overwrite=overwrite)
    console().say(f"License: {report.figures['license']}. Use it with `avatarcli train --set prior={report.out}`.")
    console().report(report)


@prior.command("list", epilog=EVERYWHERE)
def list_(use: ForUse = None) -> None:
    """List everything that can be added: size, license and what it permits."""
    from pipelines.assets.registry import permitted
    from pipelines.prior.catalog import list_catalog

    things = [thing for thing in list_catalog() if use is None or permitted(thing["license"], use)]
    rows = [[t["name"], t["kind"], t["state"], size_of(t["size"]), " ".join(t["permits"]), t["license"]] for t in things]
    console().table(["name", "kind", "", "size", "permits", "license"], rows)
    console().result({"status": "done", "entries": things}, "")


@prior.command(epilog=EVERYWHERE)
def show(name: Named, use: ForUse = None) -> None:
    """Show everything known about one entry."""
    from pipelines.assets.registry import insist
    from pipelines.prior.catalog import find_listed

    thing = find_listed(name)
    insist(thing["name"], thing["license"], use)
    console().table(
        ["", ""], [[field, field_text(field, value)] for field, value in thing.items() if not isinstance(value, dict)]
    )
    console().result({"status": "done", "entry": thing}, "")


@prior.command(epilog=EVERYWHERE)
def fetch(
    name: Named,
    use: ForUse = None,
    accepted: Annotated[bool, typer.Option("--accept-license", help="You have read the license and accept it.")] = False,
    folder: Annotated[Path | None, typer.Option("--from", help="Offline: a clone of ict-facekit's repository.")] = None,
) -> None:
    """Download one entry and check its size and sha256. No other command uses the network."""
    from pipelines.assets.registry import insist
    from pipelines.assets.store import accept
    from pipelines.assets.store import fetch as get
    from pipelines.core.errors import SettingError
    from pipelines.prior.catalog import find_fetchable

    entry = find_fetchable(name)
    insist(entry.name, entry.license, use)
    if entry.fetchable:
        accept(entry, accepted, console())
    if entry.packed_from:
        from pipelines.face.ict_fetch import fetch_face_model

        path = fetch_face_model(console(), folder)
    elif folder:
        raise SettingError(f"--from is only for ict-facekit; {name} is one file: put it into the weights folder.")
    elif entry.kind == "published network" and entry.fetchable:
        from pipelines.prior.importing.networks import fetch_prior

        path = fetch_prior(entry, console()).out
    else:
        path = get(entry, console())
    console().result({"status": "done", "out": str(path), "sha256": entry.sha256}, str(path))


@prior.command(epilog=EVERYWHERE)
def register(
    name: Named,
    sha256: Annotated[str | None, typer.Option(help="The checksum its publisher states; the file must match it.")] = None,
) -> None:
    """Record the checksum of a local file, such as a rembg model, that has none on record; later uses must match it."""
    from pipelines.assets.store import register as vouch
    from pipelines.prior.catalog import find_entry

    path, content = vouch(find_entry(name), sha256)
    console().result({"status": "done", "out": str(path), "sha256": content}, f"{content}  {path}")


@prior.command(epilog=EVERYWHERE)
def synth(
    out: Out,
    people: Annotated[int, typer.Option(help="Number of people.")] = 100,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="one per core")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also write a sheet of 6x6 pictures (.png).")] = None,
    ict: Annotated[Path | None, typer.Option(help="ict_facekit.npz.", show_default="from `prior fetch ict-facekit`")] = None,
    changes: Set = None,
    overwrite: Overwrite = False,
) -> None:
    """Render synthetic people with exact labels, as shards to train on."""
    from avatarcli.settings import resolve
    from pipelines.prior.people.sheet import check_sheet, write_sheet
    from pipelines.prior.people.shooting import SynthSettings
    from pipelines.prior.people.synth import synthesize

    if sheet:
        check_sheet(sheet)
    asked = resolve(SynthSettings(people=people, size=size, seed=seed), assignments=changes or [])
    report = synthesize(out, asked, console(), ict=ict, workers=workers, overwrite=overwrite)
    if sheet:
        write_sheet(report.out, sheet)
    console().report(report)


@prior.command(epilog=EVERYWHERE)
def train(
    data: Annotated[
        Path, typer.Option(help="Shards from `prior synth`, or a folder or zip with dataset.json.", show_default=False)
    ],
    out: Out,
    recipe: Annotated[
        str,
        typer.Option(
            help="adversarial: on images; supervised: on the exact labels of shards, as the shipped prior; "
            "or a family that has its own, on images with masks and poses."
        ),
    ] = "adversarial",
    config: Annotated[str | None, typer.Option(help="Not supervised: ffhq512, quick, portrait, ..., or a JSON file.")] = None,
    kimg: Annotated[
        float | None, typer.Option(help="Not supervised: thousands of images to train on; papers: 13000 to 25000.")
    ] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Train a base generator, adversarially or on the exact labels of synthetic people."""
    from avatarcli.settings import resolve
    from pipelines.core.errors import SettingError
    from pipelines.prior.train.posed import PosedSettings, family_of_recipe, train_posed
    from pipelines.prior.train.supervised import SupervisedSettings, train_supervised
    from pipelines.prior.train.training import PriorTrainSettings, train_prior

    if recipe not in ("adversarial", "supervised"):
        family, assignments = family_of_recipe(recipe), [*assignments_of(config=config, kimg=kimg), *(changes or [])]
        posed = resolve(PosedSettings(), file=settings, assignments=assignments)
        report = train_posed(data, out, family, posed, console(), device=pick_device(device), overwrite=overwrite)
        console().report(report)
        return
    named = assignments_of(config=config, adversarial__kimg=kimg)
    if recipe == "supervised":
        if named:
            raise SettingError(
                "--config and --kimg belong to --recipe adversarial; supervised takes --set autodecoder.steps=N."
            )
        taught = resolve(SupervisedSettings(), file=settings, assignments=changes or [])
        console().report(train_supervised(data, out, taught, console(), overwrite=overwrite))
        return
    asked = resolve(PriorTrainSettings(), file=settings, assignments=[*named, *(changes or [])])
    report = train_prior(data, out, asked, console(), device=pick_device(device), overwrite=overwrite)
    console().report(report)


@prior.command(epilog=EVERYWHERE)
def faces(
    data: Annotated[
        Path,
        typer.Option(
            help="An .npz with rows of shape, albedo, expression and light, or shards from `prior synth`.", show_default=False
        ),
    ],
    out: Out,
    changes: Set = None,
    settings: SettingsFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn which coefficients of a face model are likely, for priors whose codes hold them."""
    from avatarcli.settings import resolve
    from pipelines.prior.train.faces import FacesSettings, train_faces

    asked = resolve(FacesSettings(), file=settings, assignments=changes or [])
    report = train_faces(data, out, asked, console(), overwrite=overwrite)
    console().say(f"Train a prior with it: `avatarcli prior train --set faces={report.out}`.")
    console().report(report)


def size_of(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"


def field_text(field: str, value: Any) -> str:
    if field == "size":
        return size_of(value)
    return " ".join(value) if isinstance(value, list | tuple) else "unknown" if value is None else str(value)
