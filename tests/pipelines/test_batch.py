from pathlib import Path

import pytest

from pipelines.batch import Job, Outcome, load_batch, run_batch
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_json
from pipelines.core.stage import Silent

JOBS = """
[defaults]
out = "people"
preset = "quick"
budget = "5m"

[[job]]
name = "anna"
video = "anna.mp4"
drive = "ref.mp4"

[[job]]
name = "ben"
video = "films/ben.mp4"
drive = "ref.mp4"
budget = "10m"
settings = { train = { finetune = { steps = 9 } } }
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(JOBS)
    return path


class Runner:
    """Gives each row the exit codes it was told, in order, then 0; makes the result of rows that succeed."""

    def __init__(self, **codes: list[int]) -> None:
        self.codes, self.ran = codes, []

    def __call__(self, job: Job) -> Outcome:
        self.ran.append(job.name)
        code = self.codes[job.name].pop(0) if self.codes.get(job.name) else 0
        if code == 130:
            raise KeyboardInterrupt
        if code == 0:
            job.out.mkdir(parents=True, exist_ok=True)
        return Outcome(exit_code=code, seconds=1.0, error="" if code == 0 else "no face in it.", figures={"psnr": 24.0})


def run(jobs: Path, runner: Runner, **options: object) -> dict[str, str]:
    states = run_batch(load_batch(jobs), runner=runner, progress=Silent(), **options)  # type: ignore[arg-type]
    return {name: row.state for name, row in states.items()}


def test_rows_take_defaults_and_paths_of_the_file(jobs: Path) -> None:
    anna, ben = load_batch(jobs).jobs
    assert (anna.budget, ben.budget) == ("5m", "10m")
    assert anna.video == jobs.parent / "anna.mp4"
    assert ben.out == jobs.parent / "people" / "ben"
    assert ben.settings == {"train": {"finetune": {"steps": 9}}}


def test_a_failed_row_does_not_stop_the_others(jobs: Path) -> None:
    runner = Runner(anna=[4])
    assert run(jobs, runner) == {"anna": "failed", "ben": "done"}
    rows = read_json(jobs.parent / "batch.json")["rows"]
    assert rows["anna"]["error"] == "no face in it."
    assert rows["ben"]["figures"] == {"psnr": 24.0}


def test_a_second_start_runs_only_what_is_not_done(jobs: Path) -> None:
    run(jobs, Runner(anna=[4]))
    again = Runner()
    assert run(jobs, again) == {"anna": "done", "ben": "done"}
    assert again.ran == ["anna"]
    third = Runner()
    run(jobs, third)
    assert third.ran == []


def test_only_failed_leaves_pending_rows_alone(jobs: Path) -> None:
    run(jobs, Runner(anna=[4]))
    jobs.write_text(JOBS + '\n[[job]]\nname = "cleo"\nvideo = "c.mp4"\ndrive = "ref.mp4"\n')
    runner = Runner()
    assert run(jobs, runner, only="failed") == {"anna": "done", "ben": "done", "cleo": "pending"}
    assert runner.ran == ["anna"]


def test_after_a_kill_the_running_row_is_run_again(jobs: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(jobs, Runner(ben=[130]))
    assert read_json(jobs.parent / "batch.json")["rows"]["ben"]["state"] == "running"
    runner = Runner()
    assert run(jobs, runner) == {"anna": "done", "ben": "done"}
    assert runner.ran == ["ben"]


def test_a_changed_row_or_a_lost_result_is_run_again(jobs: Path) -> None:
    run(jobs, Runner())
    jobs.write_text(JOBS.replace('"10m"', '"11m"'))
    (jobs.parent / "people" / "anna").rmdir()
    runner = Runner()
    run(jobs, runner)
    assert runner.ran == ["anna", "ben"]


@pytest.mark.parametrize(("code", "tries"), [(1, 3), (-6, 3), (4, 1), (2, 1), (3, 1)])
def test_retry_is_for_failures_that_may_pass(jobs: Path, code: int, tries: int) -> None:
    runner = Runner(anna=[code] * 5)
    assert run(jobs, runner, retry=2)["anna"] == "failed"
    assert runner.ran.count("anna") == tries
    assert read_json(jobs.parent / "batch.json")["rows"]["anna"]["tries"] == tries


def test_retry_can_succeed(jobs: Path) -> None:
    assert run(jobs, Runner(anna=[1]), retry=1) == {"anna": "done", "ben": "done"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ben"', 'name = "anna"', "two rows have the name 'anna'"),
        ('budget = "10m"', 'bugdet = "10m"', "did you mean 'budget'"),
        ('video = "anna.mp4"\n', "", "row 1 has no `video`"),
        ('video = "anna.mp4"\n', "video = 3\n", "row 1 has a whole number in `video`, where a text belongs"),
        (
            'video = "anna.mp4"\n',
            'video = "../anna.mp4"\n',
            "lies outside the folder of the jobs file; allow it with --outside",
        ),
        ('out = "people"', "out = []", "a list in `out`, where a text belongs"),
        ('out = "people"', 'out = "/tmp"', "lies outside the folder of the jobs file"),
        ('name = "anna"', 'name = "../anna"', "cannot be a folder name"),
        ("[[job]]", "[[jobs]]", "unknown field `jobs`"),
        ("[defaults]", "[defaults", "is not valid TOML"),
    ],
)
def test_mistakes_in_the_file_are_named(jobs: Path, old: str, new: str, said: str) -> None:
    jobs.write_text(JOBS.replace(old, new))
    with pytest.raises(SettingError, match=said):
        load_batch(jobs)


def test_states_of_another_file_are_left_alone(jobs: Path) -> None:
    run(jobs, Runner())
    other = jobs.with_name("other.toml")
    other.write_text(JOBS)
    with pytest.raises(SettingError, match="belongs to jobs.toml"):
        run(other, Runner())


def test_a_run_that_leaves_nothing_is_not_done(jobs: Path) -> None:
    states = run_batch(load_batch(jobs), runner=lambda job: Outcome(exit_code=0, seconds=1.0), progress=Silent())
    assert {row.state for row in states.values()} == {"failed"}
    assert "left no" in states["anna"].error


def test_links_lead_nowhere_else(jobs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "film.mp4"
    elsewhere.touch()
    (jobs.parent / "anna.mp4").symlink_to(elsewhere)
    with pytest.raises(SettingError, match="row 1, video: .*outside the folder"):
        load_batch(jobs)
    assert load_batch(jobs, outside=True).jobs[0].video == jobs.parent / "anna.mp4"


@pytest.mark.parametrize(
    "text", ["[]", '{"jobs": "jobs.toml", "rows": []}', '{"jobs": "jobs.toml", "rows": {"anna": {"state": "x"}}}']
)
def test_broken_states_are_one_sentence(jobs: Path, text: str) -> None:
    (jobs.parent / "batch.json").write_text(text)
    with pytest.raises(UnusableMaterial, match="batch.json has|batch.json cannot be used"):
        run(jobs, Runner())
