"""`avatarcli`: registers the commands and holds the one error boundary.

Exit codes: 0 done, 1 failed, 2 usage or setting, 3 missing tool or weights, 4 material unusable, 130 interrupted.
"""

import errno
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from avatarcli import batch, bom, capture, demo, doctor, drive, evaluate, prior, run, track, train, verify
from avatarcli.console import FLAGS, console, failed, open_streams
from avatarcli.options import EVERYWHERE
from pipelines.core.children import go_with_parent
from pipelines.core.errors import AvatarError

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
GLOBAL = ("--json", "--quiet", "--debug")
SPELLINGS = {"--accept-licence": "--accept-license"}
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
for command in (
    run.run, capture.capture, train.train, track.track, drive.drive, evaluate.evaluate, batch.batch, demo.demo, doctor.doctor,
    bom.bom, verify.verify,
):  # fmt: skip
    app.command(epilog=EVERYWHERE)(command)
app.add_typer(prior.prior, name="prior")


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM; no library catches it by accident."""


def _say_version(asked: bool) -> None:
    if asked:
        from pipelines import __version__

        typer.echo(f"avatarcli {__version__}")
        raise typer.Exit


@app.callback()
def avatarcli(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only results and errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (also AVATARCLI_DEBUG=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Turn a phone video into a 3D avatar of your head, and drive it with any other video."""
    FLAGS.json, FLAGS.quiet, FLAGS.debug = json, quiet, debug or os.environ.get("AVATARCLI_DEBUG") == "1"
    FLAGS.command = context.invoked_subcommand or ""
    if not FLAGS.debug:
        _hush()
    if "--help" not in sys.argv:
        console()


def main() -> None:
    """Run the command line of this process and exit with its code."""
    open_streams()
    go_with_parent()
    os.environ["PYTHONSAFEPATH"] = "1"  # interpreters that libraries start look for no module in the working directory
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while others work make a busy machine crawl
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(flags_first(sys.argv[1:]), prog_name="avatarcli", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except TyperException as error:
        _leave_usage(error)
    except Interrupted:
        _leave("interrupted; run the same command again to continue where it stopped.", 130)
    except AvatarError as error:
        _leave(str(error), error.exit_code, error)
    except OSError as error:
        _leave(os_sentence(error), 1, error)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever happened becomes one sentence
        _leave(
            f"{type(error).__name__}: {error}; this is an internal error; please report it (run with --debug).",
            1,
            error,
        )


def flags_first(words: list[str]) -> list[str]:
    """--json, --quiet and --debug moved to the front, where the parser wants them; British spellings made American."""
    words = [SPELLINGS.get(word, word) for word in words]
    end = words.index("--") if "--" in words else len(words)
    found = [word for word in words[:end] if word in GLOBAL]
    return found + [word for word in words[:end] if word not in GLOBAL] + words[end:]


def os_sentence(error: OSError) -> str:
    """One sentence on what the operating system refused, with the file."""
    where = f" ({error.filename})" if error.filename else ""
    todo = ""
    if error.errno in FULL:
        todo = " Free some space (or raise the file-size limit) and run the command again: it continues where it stopped."
    return f"{error.strerror or type(error).__name__}{where}; no half-written file was left behind.{todo}"


def _leave(sentence: str, code: int, error: Exception | None = None) -> NoReturn:
    """Print the sentence and exit at once: threads of native libraries must not keep the process or change its exit code."""
    with suppress(OSError, ValueError):  # nobody may be listening, or the disk of the log is full
        failed(sentence, code, error)
        sys.stderr.flush()
    os._exit(code)


def _leave_usage(error: TyperException) -> NoReturn:
    """A wrong word on the command line as one sentence; no word at all shows the help page."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        sys.exit(2)
    sentence = error.format_message() if hasattr(error, "format_message") else str(error)  # type: ignore[attr-defined]
    _leave(f"{sentence.rstrip('.')}; avatarcli {FLAGS.command or 'COMMAND'} --help lists what there is.", 2, error)


def _interrupt(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted


def _hush() -> None:
    """Silence the notices of libraries."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
