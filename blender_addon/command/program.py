# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command-line scripts share: start under Blender or bpy, print lines, exit with the right code."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from .. import register, unregister
from ..engine import environment as engine_setup
from ..engine import process as engine_client
from ..errors import PeekabooError, UsageError
from ..shot import job as jobs
from ..shot import layout as shot
from ..takes import strips as sequencer
from .console import Console

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""
USAGE = 2
"""Exit code after a command line that cannot be read, as is customary."""

POLL_SECONDS = 0.1
IDLE_SECONDS = 3600.0
"""How long an engine may be without a job: as long as a scene takes to be read between two clips."""
LEAVE_SECONDS = 3.0
"""What an interrupted set-up gets to end in."""

ZSTD_MAGIC, GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


def runs_as_module() -> bool:
    """Whether this is Python with the bpy module, not the Blender program."""
    return not bpy.app.binary_path


def script_arguments() -> list[str]:
    """The arguments for the script: all of them, or in the Blender program those past ``--``."""
    if runs_as_module():
        return sys.argv[1:]
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def run_script(main: Callable[[list[str]], None]) -> None:
    """Run a script's main function with the add-on's properties in place, then exit.

    The exit code is 0 after success and 1 after a :class:`PeekabooError`, which is printed as a sentence.
    Blender would exit with 0 after an exception in a script, so all of them end here.
    """
    registered = hasattr(bpy.types.Scene, "peekaboo")  # by the installed extension
    if not registered:
        register()
    try:
        code = exit_code(main, script_arguments())
    finally:
        if not registered:
            unregister()
    sys.stdout.flush()
    sys.stderr.flush()
    if runs_as_module():  # which can crash (4.2) or hang (4.5) while Python shuts down, when all is done
        if Path(bpy.app.tempdir).name.startswith("blender_"):
            shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
        os._exit(code)
    sys.exit(code)


def exit_code(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a main function; returns the exit code, after printing what went wrong as a sentence."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender takes Ctrl-C and does nothing with it
    console = Console("--json" in arguments)
    try:
        main(arguments)
    except PeekabooError as error:
        console.error(str(error))
        return USAGE if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        console.error("Interrupted: the engine was stopped, and nothing was kept of its clip.")
        return INTERRUPTED
    except SystemExit as exit_:  # argparse has printed its help
        return exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:  # a fault of ours: Blender must not turn it into success
        console.error(f"Peekaboo failed unexpectedly ({type(error).__name__}: {error}): please report it.")
        return 1
    return 0


def open_blend(path: Path) -> None:
    """Open a .blend file, without running what it brings along: drivers' expressions and texts.

    Raises:
        PeekabooError: there is none, or Blender cannot read it.
    """
    if not path.is_file():
        raise PeekabooError(f'There is no file "{path}": give the path of a .blend.')
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), use_scripts=False)
    except RuntimeError:
        raise PeekabooError(
            f'Blender cannot read "{path}": open and save it in this version of Blender.'
        ) from None


def save_blend(path: Path) -> None:
    """Save the open file: whole, or leaving an earlier one at ``path`` as it was.

    Raises:
        PeekabooError: the file cannot be written.
    """
    draft = path.with_name(f".{path.stem}-{os.getpid()}.blend")
    try:
        compressed = path.is_file() and _is_compressed(path)
        bpy.ops.wm.save_as_mainfile(filepath=str(draft.resolve()), copy=True, compress=compressed)
        if path.is_file():
            shutil.copymode(path, draft)
        draft.replace(path)
    except (OSError, RuntimeError):
        raise PeekabooError(
            f'"{path}" cannot be written: choose a folder that can be, or free disk space.'
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith((ZSTD_MAGIC, GZIP_MAGIC))


@dataclass(frozen=True)
class Order:
    """A clip that is wanted.

    Attributes:
        scene: that gets it, with its settings; see :class:`properties.PEEKABOO_PG_shot`.
        layout: of the scene.
        seed: of the clip.
        folder: gets ``job/``, ``clip.mp4`` and ``clip.json``.
    """

    scene: Any
    layout: shot.Layout
    seed: int
    folder: Path


def generate(
    orders: Iterable[Order], settings: engine_client.Settings, console: Console | None = None
) -> Iterator[tuple[Order, engine_client.Result]]:
    """Make clips with one engine, printing progress, and put each into its scene's sequencer.

    The engine keeps its model loaded from one clip to the next. Its log is in the first one's job folder.

    Args:
        orders: what is wanted, looked at one by one.
        settings: of the engine.
        console: prints the progress.

    Raises:
        PeekabooError: a clip cannot be made; those before it are there.
    """
    console, engine = console or Console(), None
    try:
        for number, order in enumerate(orders, start=1):
            job, job_folder = jobs.make_job(order.scene, order.layout, order.seed), order.folder / "job"
            jobs.write_job(job, order.layout.labels, job_folder)
            if engine is None:
                engine = engine_client.WarmEngine(settings, job_folder / "engine.log")
            engine.generate(str(number), job_folder, order.folder)
            result = _wait_for_clip(engine, console)
            sequencer.add_clip(order.scene, result.clip, job)
            yield order, result
    finally:
        if engine is not None:
            engine.cancel()


def _wait_for_clip(engine: engine_client.WarmEngine, console: Console) -> engine_client.Result:
    for event in engine.events():
        match event:
            case engine_client.Hello(version, device):
                console.say(f"engine {version} on {device}")
            case engine_client.Phase(phase):
                console.say(phase)
            case engine_client.Progress(step, total):
                console.say(f"step {step}/{total}")
            case engine_client.Notice(message):
                console.say(message)
            case engine_client.Failure(_, message):
                raise PeekabooError(message)
            case engine_client.Result():
                return event
    raise PeekabooError(f'The engine was stopped; its log is "{engine.log}".')


def read_shot(scene, console: Console) -> shot.Layout:
    """Read a scene's layout, printing progress; raises as :func:`shot.read_shot`."""
    return shot.read_shot(
        scene,
        lambda done, total: console.say(f"masks {done}/{total}"),
        lambda done, total: console.say(f"simulation {done}/{total}"),
    )


def wait(task: engine_setup.Task, console: Console) -> str:
    """Wait for the end of a task, printing what it does; returns the sentence that it ends with.

    Raises:
        PeekabooError: it failed.
    """
    try:
        while True:
            for message in task.poll():
                if isinstance(message, engine_setup.Step):
                    console.say(message.text)
                elif message.failed:
                    raise PeekabooError(message.text)
                else:
                    return message.text
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        task.cancel()
        task.join(LEAVE_SECONDS)
        raise
