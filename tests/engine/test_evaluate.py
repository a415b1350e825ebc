# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's command on a tiny model: what it writes, how it goes on, what it says when it cannot."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tiny_detectors
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from peekaboo_engine.benchmark import command
from peekaboo_engine.benchmark.comparison import MeasuredClip, MeasuredTrack, Outcome
from peekaboo_engine.benchmark.controls import choose_controls
from peekaboo_engine.benchmark.layouts import read_layouts
from peekaboo_engine.benchmark.metrics import Binding, TrackScore
from peekaboo_engine.benchmark.request import Prompts, Request
from peekaboo_engine.benchmark.results import as_json, lines_of, written
from peekaboo_engine.benchmark.scenes import make_scene
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.unet3d import UNET3D
from peekaboo_engine.loading import LoadedModel
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.video import read_clip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def layouts(tmp_path) -> Path:
    """Three tracks of 3 frames: left, right, and across."""
    boxes = {"left": [0, 0.2, 0.4, 0.8], "right": [0.6, 0.2, 1, 0.8]}
    across = [[0.3 * i, 0.2, 0.3 * i + 0.4, 0.8] for i in range(3)]
    records = [
        {"id": name, "caption": "a panda in the grass", "subject": "panda", "bboxes": [box] * 3}
        for name, box in boxes.items()
    ]
    records.append({"id": "a/b", "caption": "a red ball on grass", "subject": "Red Ball", "bboxes": across})
    path = tmp_path / "layouts.json"
    path.write_text(json.dumps(records))
    return path


@pytest.fixture
def request_(tmp_path, model_folder, layouts, segmenter_file) -> Request:
    model = shutil.copytree(model_folder, tmp_path / "tiny")  # a test's own: others take it as it was saved
    (model / "peekaboo.json").write_text(
        json.dumps({"num_frames": 4, "num_inference_steps": 2, "masked_steps": 1, "title": "tiny"})
    )
    return Request(
        model=str(model),
        layouts=layouts,
        json=tmp_path / "out" / "result.json",
        prompts=Prompts.shapes,
        detector=str(segmenter_file),
    )


def run(request: Request) -> dict:
    command.evaluate(request, Placement(device="cpu"))
    return json.loads(request.json.read_text())


def clips_of(result: dict) -> list[dict]:
    """The rows of the clips' own measures."""
    return [dict(zip(result["clips"]["columns"], row, strict=True)) for row in result["clips"]["data"]]


class TestResult:
    @pytest.mark.slow
    def test_a_row_for_each_control_and_a_clip_for_each_layout(self, request_):
        result = run(request_)
        assert [row["control"] for row in result["rows"]] == ["none", "peekaboo"]
        none, masked = result["rows"]
        assert (none["clips"], none["masked_steps"], masked["masked_steps"]) == (3, 0, 1)
        for row in result["rows"]:
            keys = ("miou", "miou_per_frame", "ap50", "coverage", "cd", "seconds_per_clip")
            assert all(isinstance(row[key], float) for key in keys)
        assert none["background_consistency"] is None
        assert 0 < masked["background_consistency"] < 1
        assert (none["latency"], none["bound"]) == (1, None) and masked["latency"] > 0
        clips = clips_of(result)
        assert [(clip["layout"], clip["control"]) for clip in clips[:3]] == [
            ("left", "none"),
            ("left", "peekaboo"),
            ("right", "none"),
        ]
        assert len(clips) == 6 and result["failures"] == []
        for row in result["rows"]:
            mean = np.mean([clip["miou"] for clip in clips if clip["control"] == row["control"]])
            assert row["miou"] == pytest.approx(mean, abs=1e-4)
        assert result["layouts"]["used"] == 3 and len(result["layouts"]["sha256"]) == 64
        assert result["detector"]["name"] == "segmenter"
        stored = request_.json.with_suffix(".clips")
        assert read_clip(next((stored / "peekaboo").glob("a_b-*.mp4"))).shape == (4, 64, 64, 3)

    @pytest.mark.slow
    def test_agreement_with_the_prompt_is_measured_where_a_clip_is_given(self, request_, clip_folder):
        plain = run(replace(request_, controls="none", limit=1))
        assert plain["rows"][0]["text_agreement"] is None and "clip" not in plain
        [row] = (told := run(replace(request_, controls="none", limit=1, clip=clip_folder)))["rows"]
        assert -100 <= row["text_agreement"] <= 100 and len(told["clip"]["sha256"]) == 64
        [clip] = clips_of(told)
        assert clip["text_agreement"] == row["text_agreement"]
        assert ["agreement with the prompt", f"{row['text_agreement']:.2f}"] in lines_of(told["rows"])

    def test_captions_and_zero_shot_detectors_for_other_models(self, request_, tmp_path):
        detector = tiny_detectors.save_owl(tmp_path / "owl", 1)
        result = run(replace(request_, prompts=Prompts.auto, detector=str(detector), limit=1))
        assert result["prompts"] == "layouts"
        assert result["scenes"] == {"left": {"prompt": "a panda in the grass", "phrases": ["panda"]}}
        assert result["detector"]["kind"] == "owlvit"

    def test_a_job_folder_is_a_layout(self, request_, make_job):
        request = replace(request_, layouts=make_job())
        with pytest.raises(EngineError, match="The job job has 5 frames, but tiny makes 4") as caught:
            run(request)
        assert caught.value.code == "too_many_frames"
        stated = Path(request.model) / "peekaboo.json"
        stated.write_text(stated.read_text().replace('"num_frames": 4', '"num_frames": 5'))
        result = run(request)
        assert result["scenes"]["job"]["phrases"] == ["a red ball", "a blue cube"]
        assert [clip["subject"] for clip in clips_of(result)] == [1, 2, 1, 2]
        assert result["rows"][0]["subjects"] == 2
        assert 0 <= result["rows"][0]["pixel_iou"] <= 1  # its masks are silhouettes
        assert result["rows"][0]["frechet"] is None  # of one clip, and by another segmenter

    def test_a_job_that_never_shows_a_subject_is_refused(self, request_, make_job, two_boxes):
        stated = Path(request_.model) / "peekaboo.json"
        stated.write_text(stated.read_text().replace('"num_frames": 4', '"num_frames": 5'))
        two_boxes[two_boxes == 2] = 0
        with pytest.raises(EngineError, match='job never shows "a blue cube"') as caught:
            run(replace(request_, layouts=make_job(labels=two_boxes)))
        assert caught.value.code == "subject_never_seen"

    def test_several_subjects_have_words_of_their_own(self, request_):
        result = run(replace(request_, subjects=2, limit=1, controls="peekaboo"))
        scene = result["scenes"]["left+right"]
        first, second = scene["phrases"]
        assert first.split()[1] != second.split()[1]
        assert scene["prompt"].startswith(f"{first} and {second} on ")
        assert [(clip["layout"], clip["subject"]) for clip in clips_of(result)] == [
            ("left+right", 1),
            ("left+right", 2),
        ]

    @pytest.mark.slow
    def test_a_part_gets_the_clips_of_the_whole(self, request_, tmp_path):
        whole = run(replace(request_, controls="none"))
        parts = [
            run(replace(request_, controls="none", part=f"{k}/2", json=tmp_path / f"{k}.json"))
            for k in (1, 2)
        ]
        assert parts[0]["scenes"] | parts[1]["scenes"] == whole["scenes"]
        assert parts[0]["scenes"].keys() & parts[1]["scenes"].keys() == set()


class TestResume:
    @staticmethod
    def clips(request: Request) -> dict[str, int]:
        folder = request.json.with_suffix(".clips")
        return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*.mp4"))}

    @pytest.mark.slow
    def test_a_second_run_makes_only_what_is_missing_and_finds_the_same(self, request_):
        first = run(request_)
        before = self.clips(request_)
        (request_.json.with_suffix(".clips") / "none" / "left.mp4").unlink()
        (request_.json.with_suffix(".clips") / "peekaboo" / "right.json").write_text("{ half")
        second = run(request_)
        after = self.clips(request_)
        assert {name for name in after if after[name] != before[name]} == {
            "none/left.mp4",
            "peekaboo/right.mp4",
        }
        for result in (first, second):
            for row in result["rows"]:
                del row["seconds_per_clip"], row["latency"]
        assert first["rows"] == second["rows"]
        without_time = [[clip | {"seconds": 0} for clip in clips_of(result)] for result in (first, second)]
        assert without_time[0] == without_time[1]

    def test_other_settings_make_clips_anew_and_another_detector_does_not(self, request_, tmp_path):
        request = replace(request_, limit=1, controls="none")
        run(request)
        before = self.clips(request)
        detector = tiny_detectors.save_owl(tmp_path / "owl", 1)
        assert run(replace(request, detector=str(detector)))["detector"]["kind"] == "owlvit"
        assert self.clips(request) == before
        run(replace(request, seed=1))
        assert self.clips(request) != before

    @pytest.mark.slow
    def test_a_clip_that_fails_is_named_and_tried_again(self, request_, layouts):
        records = json.loads(layouts.read_text())
        records[1]["subject"] = "penguin"  # not in its caption
        layouts.write_text(json.dumps(records))
        request = replace(request_, prompts=Prompts.layouts, detector=None, controls="peekaboo")
        detector = tiny_detectors.save_owl(layouts.parent / "owl", 1)
        request = replace(request, detector=str(detector), report=layouts.parent / "report")
        with pytest.raises(EngineError, match=r"1 clips failed, .* right under peekaboo") as caught:
            run(request)
        assert caught.value.code == "some_failed"
        result = json.loads(request.json.read_text())
        assert result["rows"][0]["clips"] == 2
        assert "penguin" in result["failures"][0]["error"]
        assert "penguin" in (request.report / "index.html").read_text()
        records[1]["subject"] = "panda"
        layouts.write_text(json.dumps(records))
        assert run(request)["failures"] == []

    def test_nothing_at_all_is_one_sentence(self, request_, layouts):
        records = [{**record, "subject": "penguin"} for record in json.loads(layouts.read_text())]
        layouts.write_text(json.dumps(records))
        detector = tiny_detectors.save_owl(layouts.parent / "owl", 1)
        with pytest.raises(EngineError, match=r"Not one clip came out: .*penguin") as caught:
            run(replace(request_, prompts=Prompts.layouts, detector=str(detector), controls="peekaboo"))
        assert caught.value.code == "nothing_measured"


class TestReport:
    @pytest.mark.slow
    def test_the_page_has_what_it_shows_beside_it(self, request_, tmp_path):
        request = replace(request_, report=tmp_path / "report", masked_steps="0,1,2", report_clips=2)
        result = run(request)
        assert [row["control"] for row in result["rows"]] == ["none", "peekaboo-1", "peekaboo-2"]
        page = (request.report / "index.html").read_text()
        sources = re.findall(r'src="([^"]+)"', page)
        plots = ["miou", "ap50", "coverage", "cd_detected", "background_consistency", "seconds_per_clip"]
        plots += ["miou_of_clips", "sweep_peekaboo"]
        assert sources == [*(f"{name}.svg" for name in plots), "clip_001.mp4", "clip_002.mp4"]
        assert all((request.report / source).is_file() for source in sources)
        assert not re.search(r'(src|href)="?https?:', page)  # opens without a network
        assert "$" not in page
        sweep = ElementTree.parse(request.report / "sweep_peekaboo.svg").getroot()
        lines = [element.get("points").split() for element in sweep.iter() if element.get("points")]
        assert [len(line) for line in lines] == [3, 3, 3]  # each measure at 0, 1 and 2 masked steps
        assert read_clip(request.report / "clip_001.mp4").shape == (4, 64, 3 * 64 + 2 * 4, 3)

    def test_several_controls_with_their_own_steps_are_no_sweep(self, request_, tmp_path):
        controls = "none,peekaboo,minus-cross"
        run(replace(request_, report=tmp_path / "report", controls=controls, limit=1))
        assert not list((tmp_path / "report").glob("sweep*"))

    @pytest.mark.slow
    def test_many_controls_stand_below_each_other(self, request_, tmp_path):
        controls = "none,peekaboo,released,minus-cross,minus-self"
        request = replace(request_, report=tmp_path / "report", sheet=tmp_path / "sheet.png", limit=1)
        rows = run(replace(request, controls=controls))["rows"]
        assert read_clip(request.report / "clip_001.mp4").shape == (4, 2 * 64 + 4, 4 * 64 + 3 * 4, 3)
        assert [line[0] for line in lines_of(rows)[:2]] == ["control", "masked steps"]
        many = [{**row, "control": f"{row['control']} {k}"} for row in rows for k in range(4)]
        assert [line[0] for line in lines_of(many)[:2]] == ["control", "none 0"]
        assert "bound" not in lines_of(many)[0]  # clips have one subject

    @pytest.mark.slow
    def test_a_sheet_has_four_frames_under_each_control(self, request_, tmp_path):
        request = replace(request_, sheet=tmp_path / "sheets" / "sheet.png", report_clips=2)
        run(request)
        with Image.open(request.sheet) as sheet:
            assert sheet.format == "PNG"
            width, height = sheet.size
            assert width > 2 * 4 * 200 and height > 2 * 200  # frames of 216 x 216
            pixels = np.asarray(sheet)
        # The box "left" goes over the whole clip, in white, in each of the eight frames of its row.
        x, y = 12 + 218 * np.arange(4), 12 + 2 * 18 + 216 // 2
        for column in (*x, *(x + 4 * 218 - 2 + 12)):
            assert pixels[y, column + 1 : column + 2].min() == 255


class TestJson:
    def test_of_a_full_set_can_be_committed(self):
        """Four controls on the 455 layouts of LaSOT, the largest set."""
        track = MeasuredTrack(
            "a purple cylinder",
            [],
            [],
            TrackScore(16, 14, 0.61234, 0.60123, 0.91234, 0.12345, 0.04567),
            Binding(0, 0, 0, 0),
        )
        controls = choose_controls(["none", "peekaboo", "released", "minus-temporal"], [], 6, UNET3D)
        clips = [
            MeasuredClip(str(layout), control.name, "a purple cylinder on asphalt", 12.345, [track], 0.81234)
            for layout in range(455)
            for control in controls
        ]
        model = LoadedModel(
            find_model("shapes"), None, {"folder": "shapes", "sha256": "0" * 64}, "cpu", "float32"
        )
        result = as_json(Outcome(clips), controls, model, {})
        text = written(result)
        assert len(text) < 300_000
        assert json.loads(text) == result
        assert len(result["clips"]["data"]) == 4 * 455 and len(result["scenes"]) == 455

    @given(
        st.recursive(
            st.none() | st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
        )
    )
    def test_is_read_back_as_it_was(self, value):
        assert json.loads(written([value, "x" * 200])) == [value, "x" * 200]


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"controls": "none,strongest"}, 'no control "strongest"; take one of none, peekaboo'),
            ({"controls": ","}, "lists such as none,peekaboo"),
            ({"masked_steps": "2,x"}, "lists such as none,peekaboo and 0,2,4"),
            ({"masked_steps": "-2"}, "lists such as"),
            ({"part": "3/2"}, "give it as 2/4"),
            ({"part": "4/9"}, "There are 3 layouts, too few"),
            ({"subjects": 4}, "too few for 4 subjects"),
            ({"subjects": 2, "prompts": Prompts.layouts}, "take --prompts shapes"),
            ({"detector": "yolo"}, 'no detector "yolo"'),
            ({"prompts": Prompts.layouts}, 'such as "a red ball", not'),  # the segmenter with captions
            ({"model": "sora"}, 'no model "sora"'),
        ],
    )
    def test_is_one_sentence_before_anything_is_made(self, request_, changes, message):
        with pytest.raises(EngineError, match=message) as caught:
            run(replace(request_, **changes))
        assert "\n" not in caught.value.message
        assert not request_.json.parent.exists()


def start(request: Request, *options: str) -> subprocess.Popen:
    arguments = ["--model", request.model, "--layouts", request.layouts, "--json", request.json]
    arguments += ["--prompts", "shapes", "--detector", request.detector, "--device", "cpu", *options]
    command = [sys.executable, "-m", "peekaboo_engine", "evaluate", *map(str, arguments)]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, text=True, **pipes)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_stops_with_what_is_done_and_goes_on(request_):
    first = request_.json.with_suffix(".clips") / "none" / "left.json"
    with start(request_, "--steps", "60", "--controls", "none") as process:
        while not first.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)  # taken as Ctrl-C is
        shown, log = process.communicate()
    assert process.returncode == 1
    assert "the same command goes on from here" in log and "Traceback" not in log
    assert "mIoU" in shown
    result = json.loads(request_.json.read_text())
    assert result["layouts"]["used"] == len(result["clips"]["data"]) == 1
    made = first.stat().st_mtime_ns
    with start(request_, "--steps", "60", "--limit", "1", "--controls", "none") as process:
        shown, log = process.communicate()
    assert process.returncode == 0, log
    assert first.stat().st_mtime_ns == made
    assert "mIoU" in shown and "result.json" in shown


@pytest.mark.slow
def test_the_command_refuses_with_a_sentence_and_an_exit_code(request_, tmp_path):
    with start(replace(request_, layouts=tmp_path / "none.json")) as process:
        _, log = process.communicate()
    assert process.returncode == 1
    assert "Cannot read the layouts" in log and "Traceback" not in log


def test_a_sweep_has_a_row_for_each_number_of_steps():
    names = [control.name for control in choose_controls(["peekaboo", "none"], [0, 2, 8], 4, UNET3D)]
    assert names == ["none", "peekaboo-2", "peekaboo-8"]
    alone, strong = choose_controls(["peekaboo", "strong"], [], 4, UNET3D)
    assert alone.options == {"masked_steps": 4}
    assert "masked_steps" not in strong.options  # it says itself when masks end
    (swept,) = choose_controls(["strong"], [3], 4, UNET3D)
    assert {**swept.options, "until": 0.9} == {**strong.options, "masked_steps": 3}


def test_prompt_and_noise_follow_from_seed_and_layout_alone(layouts, request_):
    found, entry = read_layouts(layouts).layouts, find_model(request_.model)
    first, again = (make_scene(found[0], entry, Prompts.shapes, 0) for _ in range(2))
    other_seed, other = (
        make_scene(found[0], entry, Prompts.shapes, 1),
        make_scene(found[1], entry, Prompts.shapes, 0),
    )
    assert (first.prompt, first.seed) == (again.prompt, again.seed)
    assert first.seed not in (other_seed.seed, other.seed)
    assert first.labels.shape == (4, 64, 64)
