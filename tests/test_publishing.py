"""What is published says what is true: workflows, images, templates, addresses and man pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from vsrdb_cli.cli import main

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = "Programming Language :: Python :: "


def workflow(name):
    return yaml.safe_load((GITHUB / "workflows" / name).read_text(encoding="utf-8"))


def test_the_versions_of_python_that_are_promised_are_tested():
    tested = workflow("tests.yml")["jobs"]["systems"]["strategy"]["matrix"]["python"]
    promised = [c.removeprefix(PYTHON) for c in PROJECT["classifiers"] if c.startswith(PYTHON)]
    assert [version for version in promised if version[-1].isdigit()] == tested
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_nothing_is_published_that_was_not_tested():
    jobs = workflow("release.yml")["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert all("tests" in jobs[name]["needs"] for name in ("pypi", "images"))
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize("form, commands", [
    ("bug.yml", ["vsrdb doctor"]), ("slow.yml", ["vsrdb doctor", "vsrdb bench"]),
    ("hardware.yml", ["vsrdb doctor", "vsrdb bench"]),
])  # fmt: skip
def test_a_form_requires_what_the_commands_print(form, commands):
    fields = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / form).read_text(encoding="utf-8"))["body"]
    required = [
        field["attributes"]["label"]
        for field in fields
        if field.get("validations", {}).get("required")
    ]
    for command in commands:
        assert any(command in label for label in required)


def stages():
    """The instructions of each stage of the Containerfile, by the stage's name."""
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text(encoding="utf-8"))
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", text, flags=re.MULTILINE)
    return {name: (base, body) for base, name, body in zip(*[iter(parts[1:])] * 3, strict=True)}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_is_of_locked_packages_and_runs_as_nobody_in_particular(target):
    found = stages()
    base, body = found[target]
    assert base == f"{target}-python"
    assert re.fullmatch(r"\$\{(CUDA_)?BASE\}", found[base][0])
    assert 'ENTRYPOINT ["vsrdb"]' in body
    (user,) = re.findall(r"^USER (\d+):(\d+)$", body, re.MULTILINE)
    assert "0" not in user
    assert "docs/LICENCES.md" in body
    assert "--require-hashes -r requirements-locked.txt" in found[f"{target}-packages"][1]


def test_the_lines_of_the_container_page_are_commands():
    page = (ROOT / "docs" / "CONTAINER.md").read_text(encoding="utf-8")
    lines = re.findall(r"vsrdb:(?:cpu|cuda) (restore [^\n`]*)$", page, re.MULTILINE)
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    compose, job = blocks
    (container,) = job["spec"]["template"]["spec"]["containers"]
    lines += [compose["services"]["vsrdb"]["command"], " ".join(container["args"])]
    assert len(lines) >= 6
    for line in lines:
        command, *arguments = line.split()
        main.commands[command].make_context(command, arguments)


def test_a_release_names_its_repository(tmp_path):
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, GITHUB / "addresses.py", "https://example.org/us/vsrdb", "v9.9"]
    subprocess.run(command, cwd=tmp_path, check=True)
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert urls.items() > PROJECT["urls"].items()
    assert urls["Issues"] == "https://example.org/us/vsrdb/issues"
    links = re.findall(r"\]\(([^)\s]+)\)", (tmp_path / "README.md").read_text("utf-8"))
    assert all(link.startswith(("https://", "#")) for link in links)
    ours = [link for link in links if link.startswith("https://example.org/us/vsrdb/")]
    for link in ours:
        kind, path = re.fullmatch(r".*/vsrdb/(raw|blob)/v9\.9/([^#]*)(?:#.*)?", link).groups()
        assert (ROOT / path).exists()
        assert (kind == "raw") == (Path(path).suffix in {".webp", ".png"})


def test_the_front_of_the_model_card_says_what_the_card_says():
    _, front, card = (ROOT / "weights/MODEL_CARD.md").read_text(encoding="utf-8").split("---\n", 2)
    about = yaml.safe_load(front)
    registry = tomllib.loads((ROOT / "weights/registry.toml").read_text(encoding="utf-8"))
    (model,) = registry["model"]
    assert about["license"] == model["licence"].lower()
    (index,) = about["model-index"]
    assert index["name"] == model["name"]
    means = re.findall(r"^\| \*\*mean\*\* \|(.*)\|$", card, re.MULTILINE)
    for mean, result in zip(means, index["results"], strict=True):
        _, psnr, _, _, ssim, _, tof = mean.split("|")
        values = {metric["type"]: metric["value"] for metric in result["metrics"]}
        assert values == {"psnr": float(psnr), "ssim": float(ssim), "tof": float(tof)}


def commands(command, name="vsrdb"):
    yield name
    for below in getattr(command, "commands", {}).values():
        yield from commands(below, f"{name}-{below.name}")


def test_every_command_has_a_man_page_that_loses_nothing(tmp_path):
    pytest.importorskip("click_man")
    subprocess.run([sys.executable, ROOT / "docs" / "man_pages.py", tmp_path], check=True)
    assert {page.stem for page in tmp_path.iterdir()} == set(commands(main))
    page = (tmp_path / "vsrdb-restore.1").read_text(encoding="utf-8")
    restore = main.commands["restore"]
    assert restore.get_short_help_str(1000) in page
    assert ".nf\nvsrdb restore in.mp4 out.mp4\nvsrdb restore in.mp4 out.mkv" in page
    options = [p for p in restore.params if isinstance(p, click.Option) and not p.hidden]
    for option in options:
        assert option.opts[-1].replace("-", r"\-") in page
    assert not re.search(r"[\b]", page)
