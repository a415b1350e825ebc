# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that a model's folder brings is never run, not even if somebody says yes."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_detectors

ROOT = Path(__file__).resolve().parents[2]
OUR_FOLDERS = ("peekaboo_engine", "scripts", "blender_addon")


def loads() -> list[tuple[str, str, str | None]]:
    """Every call of ``from_pretrained`` of ours: its place, whose it is, and its trust in remote code."""
    found = []
    for folder in OUR_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                if node.func.attr in ("from_pretrained", "from_single_file"):
                    trust = [each.value for each in node.keywords if each.arg == "trust_remote_code"]
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found.append(
                        (place, ast.unparse(node.func.value), ast.unparse(trust[0]) if trust else None)
                    )
    return found


def is_one_class(name: str) -> bool:
    """Whether the class is fixed by its name: the folder has no say in which code is taken."""
    chosen_by_the_folder = name.startswith("Auto") and not name.startswith("AutoencoderKL")
    return name.isidentifier() and name[0].isupper() and not chosen_by_the_folder and "Pipeline" not in name


def test_every_load_whose_class_the_folder_chooses_refuses_its_code():
    found = loads()
    assert len({name for _, name, _ in found}) >= 5, "the calls are not found any more"
    assert [
        each for each in found if each[2] != "False" and not (each[2] is None and is_one_class(each[1]))
    ] == []


@pytest.fixture
def hostile(tmp_path):
    """A detector's folder whose configurations name a module of its own."""
    folder = tiny_detectors.save_owl(tmp_path / "detector", 2)
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    code += "from transformers import Owlv2Config as C, Owlv2ForObjectDetection as M, Owlv2Processor as P\n"
    (folder / "evil.py").write_text(code)
    own = {"AutoConfig": "evil.C", "AutoModelForZeroShotObjectDetection": "evil.M", "AutoProcessor": "evil.P"}
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        stated = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        stated |= {"auto_map": own, "processor_class": "P"}
        if name == "config.json":
            stated["model_type"] = "of-nobody"
        (folder / name).write_text(json.dumps(stated))
    return folder


def test_a_yes_does_not_run_the_code_of_a_detectors_folder(hostile, tmp_path):
    script = (
        "import sys; from peekaboo_engine.errors import EngineError\n"
        "from peekaboo_engine.benchmark.detection import load_detector\n"
        "try: load_detector(sys.argv[1], 'cpu')\n"
        "except EngineError as error: print(error.code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(hostile)],
        input="y\n" * 9,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert not (tmp_path / "ran").exists(), run.stdout + run.stderr
    assert run.stdout.splitlines()[-1] == "detector_not_loaded" and "[y/N]" not in run.stdout
