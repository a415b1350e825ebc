# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring back the settings that a take was made with."""

from __future__ import annotations

from ..authoring import placing as authoring

_SHOT = ("prompt", "negative_prompt", "model", "seed")
_AUTOMATIC = {"num_inference_steps": 0, "guidance_scale": 0.0}
"""Settings whose automatic value is null in a job, and what stands for it on a scene."""


def restore(scene, job: dict) -> list[str]:
    """Set a scene as it was for a job, as far as its objects still exist; where they are is left alone.

    Subjects that the take did not have are disabled, not removed.

    Args:
        scene: that gets the settings.
        job: as ``job.json`` states it.

    Returns:
        Names of subjects that are gone.
    """
    settings, control = scene.peekaboo, job.get("control", {})
    for name in _SHOT:
        setattr(settings, name, job[name])
    settings.seed_mode = "FIXED"
    for name, automatic in _AUTOMATIC.items():
        value = job.get(name)
        setattr(settings, name, automatic if value is None else value)
    settings.method = control.get("method") or "auto"
    masked_steps = control.get("masked_steps")
    settings.masked_steps = -1 if masked_steps is None else masked_steps
    for name in ("blocks", "special_tokens", "gate_second_temporal"):
        if name in control:
            setattr(settings, name, control[name])
    return _restore_subjects(scene, job["subjects"])


def _restore_subjects(scene, subjects: list[dict]) -> list[str]:
    phrases = {subject["name"]: subject["phrase"] for subject in subjects}
    for obj in authoring.marked(scene):
        obj.peekaboo.enabled = obj.name in phrases
    gone = []
    for name, phrase in phrases.items():
        obj = scene.objects.get(name)
        if obj is None:
            gone.append(name)
            continue
        if not obj.peekaboo.is_subject:
            authoring.mark(scene, obj)
        obj.peekaboo.phrase = phrase
    return gone
