"""What `avatarcli prior list` and `show` tell: shipped priors, prior folders, and the registry, each as plain fields."""

from pathlib import Path
from typing import Any

from pipelines.artifacts.prior import Prior, load_prior, shipped_priors
from pipelines.assets.registry import ENTRIES, Entry, permits
from pipelines.assets.store import by_hand, file_of
from pipelines.core.errors import MissingTool, SettingError


def list_catalog() -> list[dict[str, Any]]:
    """Every shipped prior and every entry of the registry."""
    return [describe_prior(load_prior(name), "shipped prior") for name in shipped_priors()] + [
        describe_entry(entry) for entry in ENTRIES
    ]


def find_listed(name: str) -> dict[str, Any]:
    """One of them by its name, or a prior folder; SettingError lists the names there are."""
    if name in shipped_priors():
        return describe_prior(load_prior(name), "shipped prior")
    if Path(name).is_dir():
        return describe_prior(load_prior(name), "prior folder")
    found = next((entry for entry in ENTRIES if name in (entry.name, entry.file)), None)
    if found is None:
        names = [*shipped_priors(), *(entry.name for entry in ENTRIES)]
        raise SettingError(f"there is no prior or entry {name!r}; choose one of {', '.join(names)}, or give a prior folder.")
    return describe_entry(found)


def describe_prior(prior: Prior, kind: str) -> dict[str, Any]:
    files = [path for path in prior.folder.iterdir() if path.is_file()]
    parts = [name for name, path in (("generator", prior.weights), ("discriminator", prior.discriminator)) if path]
    planes = prior.config.get("plane_axes", "as configured")
    return {
        "name": prior.name, "kind": kind, "state": "here", "size": sum(path.stat().st_size for path in files),
        "permits": permits(prior.license), "license": prior.license, "sha256": prior.sha256, "source": prior.origin,
        "gives": f"{prior.family}, {prior.config.get('image_size')} px, planes {planes}",
        "weights": parts or ["none: trained from random weights"], "folder": str(prior.folder), "config": prior.config,
        "imported": prior.extra.get("imported", {}),
    }  # fmt: skip


def describe_entry(entry: Entry) -> dict[str, Any]:
    path = file_of(entry) if entry.kind == "weight" else None
    return {
        "name": entry.name, "kind": entry.kind, "state": "here" if path else "can be fetched" if entry.fetchable else "by hand",
        "size": entry.size, "permits": entry.permits, "license": entry.license, "sha256": entry.sha256, "source": entry.source,
        "remark": entry.remark,
        "gives": entry.gives, "file": entry.file, "url": entry.url, "how": str(path or by_hand(entry)),
    }  # fmt: skip


def find_fetchable(name: str) -> Entry:
    """The entry of a name; MissingTool for a prior that is here already, SettingError for a name that is nobody's."""
    thing = find_listed(name)
    if thing["state"] == "here" and thing["kind"] != "weight":
        raise MissingTool(f"{name} need not be fetched: it is in {thing['folder']}.")
    return next(entry for entry in ENTRIES if entry.name == thing["name"])


def find_entry(name: str) -> Entry:
    """The registry's entry of a name; SettingError for one that is not in it."""
    thing = find_listed(name)
    found = next((entry for entry in ENTRIES if entry.name == thing["name"]), None)
    if found is None:
        raise SettingError(f"{name} is a prior and not a file of the registry.")
    return found
