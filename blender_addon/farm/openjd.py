# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a job bundle of Open Job Description, which AWS Deadline Cloud and others take.

The template follows https://github.com/OpenJobDescription/openjd-specifications (``jobtemplate-2023-09``),
the bundle what Deadline Cloud makes of it: ``template.yaml``, ``parameter_values.yaml`` and
``asset_references.yaml`` in one folder. No path in it is absolute: defaults of PATH parameters lie in the
bundle, where the scheduler finds them, and what it maps is mapped. Imports no bpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from . import plan as plans
from .plan import Kind, Places, Plan, Requirement, Step

FILES = {"template": "template.yaml", "values": "parameter_values.yaml", "assets": "asset_references.yaml"}
"""What the documents of a bundle are called."""
BLENDER, PYTHON, START = "blender", "python", "peekaboo_engine/start.py"
"""Programs as the farm's machines find them, by default."""
NOTIFY_SECONDS = 30
"""From the polite request to end to the end: the engine needs a second, and a library that hangs four."""
LONGEST_TITLE = 128
"""Characters of a job's name."""

_PLACES = Places(
    blender="{{Param.Blender}}",
    python="{{Param.EnginePython}}",
    start="{{Param.EngineStart}}",
    blend="{{Param.BlendFile}}",
    plan="{{Param.Plan}}",
    out="{{Param.OutputFolder}}",
    faults="{{Param.MachineFaults}}",
    mapping="{{Session.PathMappingRulesFile}}",
)
_PARAMETERS: dict[Kind, str] = {"masks": "Shots", "generate": "Clips"}
"""What the parameter of a task is called that has its name."""


def template(plan: Plan, title: str) -> dict[str, Any]:
    """The job template of a plan.

    Args:
        plan: with at most :data:`.plan.MOST_CLIPS` clips.
        title: of the job.
    """
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": title[:LONGEST_TITLE],
        "parameterDefinitions": _parameters(plan),
        "steps": [_step(step) for step in plans.steps(plan)],
    }


def _parameters(plan: Plan) -> list[dict[str, Any]]:
    def path(name: str, kind: str, flow: str, default: str, about: str) -> dict[str, Any]:
        return {
            "name": name,
            "type": "PATH",
            "objectType": kind,
            "dataFlow": flow,
            "default": default,
            "description": about,
        }

    def text(name: str, default: str, about: str) -> dict[str, Any]:
        return {"name": name, "type": "STRING", "default": default, "description": about}

    return [
        path("BlendFile", "FILE", "IN", plan.blend, "The scenes with the shots."),
        path("Plan", "FILE", "IN", plans.FILE, "What is made of them."),
        path(
            "OutputFolder", "DIRECTORY", "OUT", plans.OUTPUT, "Gets a folder for each clip, and the report."
        ),
        text("Blender", BLENDER, "The program, which has the extension Peekaboo."),
        text("EnginePython", PYTHON, "The Python that has the engine's packages."),
        text("EngineStart", START, "The file start.py of the engine, in the extension or in a checkout."),
        {
            **text(
                "MachineFaults",
                plans.FAULTS[0],
                "Whether a fault of a machine fails its task, so that another may try it, or is kept, so "
                "that Gather runs in any case.",
            ),
            "allowedValues": list(plans.FAULTS),
        },
    ]


def _step(step: Step) -> dict[str, Any]:
    parameter = _PARAMETERS.get(step.kind)
    name = f"{{{{Task.Param.{parameter}}}}}" if parameter else ""
    program, *arguments = plans.command(step.kind, name, _PLACES, openjd=True)
    stated: dict[str, Any] = {"name": step.title}
    if step.needs:
        stated["dependencies"] = [{"dependsOn": title} for title in step.needs]
    if amounts := _amounts(step.requirement):
        stated["hostRequirements"] = {"amounts": amounts}
    if parameter:
        names = [task.name for task in step.tasks]
        stated["parameterSpace"] = {
            "taskParameterDefinitions": [{"name": parameter, "type": "STRING", "range": names}]
        }
    stated["script"] = {
        "actions": {
            "onRun": {
                "command": program,
                "args": arguments,
                "cancelation": {
                    "mode": "NOTIFY_THEN_TERMINATE",
                    "notifyPeriodInSeconds": NOTIFY_SECONDS,
                },
            }
        }
    }
    return stated


def _amounts(requirement: Requirement) -> list[dict[str, Any]]:
    amounts = {
        "amount.worker.gpu": requirement.gpus,
        "amount.worker.gpu.memory": requirement.gpu_mib,
        "amount.worker.memory": requirement.mib,
    }
    return [{"name": name, "min": least} for name, least in amounts.items() if least]


def parameter_values() -> dict[str, Any]:
    """What a farm is most likely to change; paths are left to their defaults, which lie in the bundle."""
    values = {"Blender": BLENDER, "EnginePython": PYTHON, "EngineStart": START}
    return {"parameterValues": [{"name": name, "value": value} for name, value in values.items()]}


def asset_references(files: Iterable[str], folders: Iterable[str]) -> dict[str, Any]:
    """What the job reads beside its parameters: paths relative to the bundle."""
    return {
        "assetReferences": {
            "inputs": {"filenames": sorted(files), "directories": sorted(folders)},
            "outputs": {"directories": []},  # the parameter OutputFolder says which
        }
    }


def documents(plan: Plan, title: str, files: Iterable[str], folders: Iterable[str]) -> dict[str, str]:
    """The files of a bundle by name; the template last, which names the others.

    Args:
        plan: see :func:`template`.
        title: of the job.
        files: see :func:`asset_references`.
        folders: see there.
    """
    stated = {
        "values": parameter_values(),
        "assets": asset_references(files, folders),
        "template": template(plan, title),
    }
    return {FILES[which]: yaml(data) for which, data in stated.items()}


def yaml(data: Any) -> str:
    """Data as YAML in blocks, every text in quotes; Blender's Python has no library for it.

    Args:
        data: of mappings whose keys are plain words, lists, texts and whole numbers.
    """
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(data: Any) -> list[str]:
    if isinstance(data, dict) and data:
        return [line for key, value in data.items() for line in _entry(f"{key}:", value)]
    if isinstance(data, Sequence) and not isinstance(data, str) and data:
        return [line for value in data for line in _item(value)]
    return [_scalar(data)]


def _entry(key: str, value: Any) -> list[str]:
    if _is_block(value):
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    first, *others = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in others)]


def _is_block(value: Any) -> bool:
    return isinstance(value, dict | list | tuple) and bool(value)


def _scalar(value: Any) -> str:
    """A scalar in YAML's flow notation, which takes JSON's; but not its halves of characters."""
    if isinstance(value, str):
        return f'"{"".join(_letter(letter) for letter in value)}"'
    return json.dumps(value)


def _letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    code = ord(letter)
    if letter.isprintable() and code < 0x10000 and not 0xD800 <= code <= 0xDFFF:
        return letter
    return f"\\U{code:08X}"
