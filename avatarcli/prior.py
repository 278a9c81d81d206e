"""`avatarcli prior`: the generators an avatar can start from, and everything else that can be added."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from avatarcli.console import FLAGS, console
from avatarcli.options import EVERYWHERE, Device, OnDevice, Out, Overwrite, Set, SettingsFile, chosen, pick_device

Use = Literal["research", "commercial"]
Recipe = Literal["eg3d", "supervised"]

ForUse = Annotated[Use | None, typer.Option("--license", help="Refuse what the license forbids for this use.")]
Named = Annotated[str, typer.Argument(help="A name of `avatarcli prior list`, or a prior folder.", show_default=False)]
prior = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


@prior.callback()
def _command(context: typer.Context) -> None:
    """Networks to start from: list, show, fetch, import, train."""
    FLAGS.command = f"prior {context.invoked_subcommand}"


@prior.command("import", epilog=EVERYWHERE)
def import_(
    network: Annotated[Path, typer.Argument(help="A published network (.pkl).", show_default=False)],
    out: Out,
    name: Annotated[str | None, typer.Option(help="The prior's name; else the folder's.")] = None,
    license_of: Annotated[str | None, typer.Option(metavar="NAME", help="Registry name, or license, of the file.")] = None,
    plane_axes: Annotated[str | None, typer.Option(metavar="NAME", help="Where the network does not say it.")] = None,
    generator_only: Annotated[bool, typer.Option("--generator-only", help="Leave the discriminator out.")] = False,
    use: ForUse = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a published network into a prior folder, without running anything in it."""
    from pipelines.prior.importing.networks import ImportSettings, import_prior

    settings = ImportSettings(name=name, license_of=license_of, plane_axes=plane_axes, generator_only=generator_only, use=use)
    report = import_prior(network, out, settings, console(), overwrite=overwrite)
    console().say(f"license: {report.figures['license']}; train with --set prior={report.out}")
    console().report(report)


@prior.command("list", epilog=EVERYWHERE)
def list_(use: ForUse = None) -> None:
    """Everything that can be added: source, size, license, what it permits."""
    from pipelines.assets.registry import permitted
    from pipelines.prior.catalog import shelf

    things = [thing for thing in shelf() if use is None or permitted(thing["license"], use)]
    rows = [[t["name"], t["kind"], t["state"], size_of(t["size"]), " ".join(t["permits"]), t["license"]] for t in things]
    console().table(["name", "kind", "", "size", "permits", "license"], rows)
    console().result({"status": "done", "entries": things}, "")


@prior.command(epilog=EVERYWHERE)
def show(name: Named, use: ForUse = None) -> None:
    """All that is known of one of them."""
    from pipelines.assets.registry import insist
    from pipelines.prior.catalog import thing_of

    thing = thing_of(name)
    insist(thing["name"], thing["license"], use)
    console().table(["", ""], [[field, said(field, value)] for field, value in thing.items() if not isinstance(value, dict)])
    console().result({"status": "done", "entry": thing}, "")


@prior.command(epilog=EVERYWHERE)
def fetch(
    name: Named,
    use: ForUse = None,
    accepted: Annotated[
        bool, typer.Option("--accept-licence", "--accept-license", help="You have read its license and accept it.")
    ] = False,
    folder: Annotated[Path | None, typer.Option("--from", help="A clone of ict-facekit's repository, without network.")] = None,
) -> None:
    """Download one of them, checked by size and sha256; nothing else here uses the network."""
    from pipelines.assets.registry import insist
    from pipelines.assets.store import accept
    from pipelines.assets.store import fetch as get
    from pipelines.core.errors import SettingError
    from pipelines.prior.catalog import fetchable_of

    entry = fetchable_of(name)
    insist(entry.name, entry.license, use)
    if entry.fetchable:
        accept(entry, accepted, console())
    if entry.packed_from:
        from pipelines.face.ict_fetch import fetch_face_model

        path = fetch_face_model(console(), folder)
    elif folder:
        raise SettingError(f"--from is for ict-facekit; {name} is one file, put it into the weights folder.")
    elif entry.kind == "published network" and entry.fetchable:
        from pipelines.prior.importing.networks import fetch_prior

        path = fetch_prior(entry, console()).out
    else:
        path = get(entry, console())
    console().result({"status": "done", "out": str(path), "sha256": entry.sha256}, str(path))


@prior.command(epilog=EVERYWHERE)
def register(
    name: Named, sha256: Annotated[str | None, typer.Option(help="What its publisher states; the file is compared.")] = None
) -> None:
    """Vouch for a local file whose hash is not known here, such as a rembg model: it is remembered and insisted on."""
    from pipelines.assets.store import register as vouch
    from pipelines.prior.catalog import entry_of

    path, content = vouch(entry_of(name), sha256)
    console().result({"status": "done", "out": str(path), "sha256": content}, f"{content}  {path}")


@prior.command(epilog=EVERYWHERE)
def synth(
    out: Out,
    people: Annotated[int, typer.Option(help="How many people.")] = 100,
    size: Annotated[int, typer.Option(help="Pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; else one a core.", show_default=False)] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also a sheet of 6x6 pictures (.png).")] = None,
    ict: Annotated[Path | None, typer.Option(help="ict_facekit.npz; else `prior fetch ict-facekit`'s.")] = None,
    changes: Set = None,
    overwrite: Overwrite = False,
) -> None:
    """Render people who do not exist, with exact labels, as shards to train on."""
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
    data: Annotated[Path, typer.Option(help="Shards, or a folder or zip with dataset.json.", show_default=False)],
    out: Out,
    recipe: Annotated[
        Recipe, typer.Option(help="eg3d: adversarial; supervised: exact truth of shards, as the shipped prior.")
    ] = "eg3d",
    config: Annotated[str | None, typer.Option(help="eg3d: ffhq512 (default), quick, tiny128, or a JSON file.")] = None,
    kimg: Annotated[float | None, typer.Option(help="eg3d: thousands of images to show; EG3D: 25000.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Train a base generator: adversarially, as EG3D was, or on the exact truth of synthetic people."""
    from avatarcli.settings import resolve
    from pipelines.core.errors import SettingError
    from pipelines.prior.train.supervised import SupervisedSettings, train_supervised
    from pipelines.prior.train.training import PriorTrainSettings, train_prior

    named = chosen(config=config, adversarial__kimg=kimg)
    if recipe == "supervised":
        if named:
            raise SettingError("--config and --kimg belong to the recipe eg3d; supervised takes --set autodecoder.steps=N.")
        taught = resolve(SupervisedSettings(), file=settings, assignments=changes or [])
        console().report(train_supervised(data, out, taught, console(), overwrite=overwrite))
        return
    asked = resolve(PriorTrainSettings(), file=settings, assignments=[*named, *(changes or [])])
    report = train_prior(data, out, asked, console(), device=pick_device(device), overwrite=overwrite)
    console().report(report)


def size_of(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"


def said(field: str, value: Any) -> str:
    if field == "size":
        return size_of(value)
    return " ".join(value) if isinstance(value, list | tuple) else "unknown" if value is None else str(value)
