"""The rows of a jobs file from Python, with something done after each: here a line of its figures.

    python examples/run_batch.py examples/batch.toml

Each row runs in a process of its own; states are kept, and a second start continues, as with `avatarcli batch`.
"""

import sys
from pathlib import Path

from avatarcli.child import run_in_child
from pipelines.batch import Job, Outcome, load_batch, run_batch
from pipelines.core.stage import Silent


def run_and_tell(job: Job) -> Outcome:
    outcome = run_in_child(job)
    evaluation = outcome.figures.get("train", {}).get("evaluation", {})
    score = f"{evaluation['avatar']['psnr_head']:.1f} dB" if evaluation else outcome.error
    print(f"{job.name}: exit code {outcome.exit_code} after {outcome.seconds:.0f} s, {score}")
    return outcome


if __name__ == "__main__":
    states = run_batch(load_batch(Path(sys.argv[1])), runner=run_and_tell, retry=1, progress=Silent())
    print(", ".join(f"{name} {row.state}" for name, row in states.items()))
