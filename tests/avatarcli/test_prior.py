"""`avatarcli prior` and `avatarcli bom` as the user sees them."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.assets.registry import NVIDIA
from pipelines.core.files import sha256_file
from tests.avatarcli.cli import avatarcli
from tests.material import shared
from tests.pipelines.prior.importing.test_networks import SMALL, networks
from tests.published import write_snapshot
from tests.tiny import write_tiny_avatar


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    return write_snapshot(folder / "network.pkl", *networks(SMALL), trace=folder / "trace")


def test_import_show_and_train_take_the_folder(tmp_path: Path, network: Path) -> None:
    out = tmp_path / "ffhq.prior"
    done = avatarcli("prior", "import", network, "-o", out, "--license-of", "eg3d-ffhq512-fixed", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["command"], result["status"]) == (0, "prior import", "done")
    assert result["figures"]["plane_axes"] == "eg3d_fixed67"
    assert result["figures"]["tensors"] == {
        "G_ema": len(networks(SMALL)[0].state_dict()),
        "D": len(networks(SMALL)[1].state_dict()),
    }
    assert not (network.parent / "trace").exists()
    shown = json.loads(avatarcli("prior", "show", out, "--json").stdout)["entry"]
    assert shown["license"].startswith("NVIDIA") and shown["weights"] == ["generator", "discriminator"]
    again = avatarcli("prior", "import", network, "-o", out, "--license-of", "eg3d-ffhq512-fixed", "--quiet")
    assert (again.returncode, again.stdout.strip(), again.stderr) == (0, str(out), "")
    other = avatarcli("prior", "import", network, "-o", out)
    assert other.returncode == 2 and "--overwrite" in other.stderr
    refused = avatarcli("prior", "show", out, "--license", "commercial")
    assert refused.returncode == 4 and "NVIDIA Source Code License" in refused.stderr


@pytest.mark.parametrize("name", ["os_system", "exec"])
def test_malicious_files_are_exit_4_and_one_sentence(tmp_path: Path, name: str) -> None:
    evil = shutil.copy(shared(f"goldens/eg3d/fixture_evil_{name}.pkl"), tmp_path / "evil.pkl")
    done = avatarcli("prior", "import", evil, "-o", tmp_path / "a.prior")
    assert done.returncode == 4
    assert "nothing of it was run" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pkl"]


def test_the_fixture_is_read_but_no_network(tmp_path: Path) -> None:
    done = avatarcli("prior", "import", shared("goldens/eg3d/fixture_network_snapshot.pkl"), "-o", tmp_path / "a.prior")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_list_and_what_a_use_leaves_of_it() -> None:
    everything = json.loads(avatarcli("prior", "list", "--json").stdout)["entries"]
    commercial = json.loads(avatarcli("prior", "list", "--license", "commercial", "--json").stdout)["entries"]
    assert {"quick", "eg3d-ffhq512-fixed", "panohead-512"} <= {one["name"] for one in everything}
    assert {one["name"] for one in everything} - {one["name"] for one in commercial} == {
        "eg3d-ffhq512-fixed", "eg3d-ffhq512", "eg3d-ffhq512-rebalanced", "eg3d-ffhq512-64", "eg3d-ffhq512-rebalanced-64",
        "panohead-512", "2DFAN4", "3DFAN4", "u2net_custom", "feature-network", "alexnet", "vgg16",
    }  # fmt: skip
    table = avatarcli("prior", "list").stdout
    assert "research commercial" in table and "unknown" in table


def test_show_and_fetch_sentences() -> None:
    assert avatarcli("prior", "show", "nobody").returncode == 2
    assert "Apache-2.0" in avatarcli("prior", "show", "quick").stdout
    by_hand = avatarcli("prior", "fetch", "eg3d-ffhq512")
    assert by_hand.returncode == 3 and "avatarcli prior import" in by_hand.stderr
    refused = avatarcli("prior", "fetch", "eg3d-ffhq512", "--license", "commercial")
    assert refused.returncode == 4 and "license is NVIDIA" in refused.stderr


@pytest.mark.parametrize("flag", ["--accept-licence", "--accept-license"])
def test_a_published_network_is_fetched_once_its_license_is_accepted(tmp_path: Path, network: Path, flag: str) -> None:
    before = (
        "import pipelines.assets.registry as r, pipelines.prior.catalog as s\n"
        "import pipelines.assets.store as w\nfrom dataclasses import replace\n"
        f"size, sha = {network.stat().st_size}, {sha256_file(network)!r}\n"
        "known = replace(r.ENTRIES[1], url='https://example.org/x.pkl', size=size, sha256=sha)\n"
        "r.ENTRIES = s.ENTRIES = (r.ENTRIES[0], known, *r.ENTRIES[2:])\n"
        f"w.over_https = lambda url, there: open({str(network)!r}, 'rb')"
    )
    env = {"AVATARCLI_WEIGHTS": str(tmp_path)}
    refused = avatarcli("prior", "fetch", "eg3d-ffhq512", before=before, env=env)
    assert refused.returncode == 2 and "NVIDIA Source Code License" in refused.stderr and "--accept-license" in refused.stderr
    assert not list(tmp_path.iterdir())
    done = avatarcli("prior", "fetch", "eg3d-ffhq512", flag, before=before, env=env)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "eg3d-ffhq512.prior")), done.stderr
    assert "non-commercial" in done.stderr
    made = load_prior(str(tmp_path / "eg3d-ffhq512.prior"))
    assert (made.name, made.license) == ("eg3d-ffhq512", NVIDIA) and not (network.parent / "trace").exists()


def test_fetch_without_a_connection_is_exit_3(tmp_path: Path) -> None:
    before = (
        "import pipelines.assets.store as place, urllib.error\n"
        "def nobody(url, there): raise urllib.error.URLError('no route to host')\n"
        "place.over_https = nobody"
    )
    done = avatarcli("prior", "fetch", "face_landmarker.task", before=before, env={"AVATARCLI_WEIGHTS": str(tmp_path)})
    assert done.returncode == 3
    assert "no route to host" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_fetch_leaves_the_checked_file(tmp_path: Path) -> None:
    true = shared("weights/blazeface.pth")
    before = f"import pipelines.assets.store as place\nplace.over_https = lambda url, there: open({str(true)!r}, 'rb')"
    done = avatarcli("prior", "fetch", "blazeface.pth", "--quiet", before=before, env={"AVATARCLI_WEIGHTS": str(tmp_path)})
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "blazeface.pth"))
    assert (tmp_path / "blazeface.pth").read_bytes() == true.read_bytes()


def test_the_bill_of_an_avatar(tmp_path: Path) -> None:
    avatar = write_tiny_avatar(tmp_path / "tiny.avatar")
    done = avatarcli("bom", avatar)
    assert done.returncode == 0
    for name in ("quick", "ffmpeg (imageio-ffmpeg)", "face_landmark_with_attention.tflite", "torch"):
        assert name in done.stdout
    result = json.loads(avatarcli("bom", avatar, "--license", "research", "--json").stdout)
    assert {item["kind"] for item in result["items"]} == {"prior", "model", "tool", "package"}
    refused = avatarcli("bom", avatar, "--license", "commercial")
    assert refused.returncode == 4
    assert "must not be used for commercial work: the license of the model mattes: unknown" in refused.stderr


def test_no_command_has_more_than_ten_flags() -> None:
    for name in ("import", "list", "show", "fetch"):
        done = avatarcli("prior", name, "--help")
        flags = [
            line for line in done.stdout.splitlines() if line.startswith("│") and "--" in line[:20] and "--help" not in line
        ]
        assert done.returncode == 0 and len(flags) <= 10


def test_a_local_file_is_vouched_for_once(tmp_path: Path) -> None:
    home = {"U2NET_HOME": str(tmp_path), "REMBG_HOME": str(tmp_path), "AVATARCLI_WEIGHTS": str(tmp_path / "weights")}
    missing = avatarcli("prior", "register", "u2netp", env=home)
    assert missing.returncode == 3 and "u2netp.onnx" in missing.stderr
    (tmp_path / "u2netp.onnx").write_bytes(b"a network")
    done = json.loads(avatarcli("prior", "register", "u2netp", "--json", env=home).stdout)
    assert json.loads((tmp_path / "weights" / "registered.json").read_text()) == {"u2netp": done["sha256"]}
