"""Whether a lower precision agrees with float32 is found out once for a machine and its weights."""

import pytest
import torch

from vsrdb_cli.backends import load_runner, pytorch, remembered

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "user_cache_path", lambda *names, **how: tmp_path / "cache")
    return tmp_path / "cache" / "precision.json"


class Asked:
    def __init__(self, answer):
        self.answer, self.times = answer, 0

    def __call__(self):
        self.times += 1
        return self.answer


@pytest.mark.parametrize("answer", [True, False])
def test_an_answer_is_found_out_once(answer):
    asked = Asked(answer)
    assert remembered.agreement("a1", CPU, "bfloat16", asked) is answer
    assert remembered.agreement("a1", CPU, "bfloat16", asked) is answer
    assert asked.times == 1


@pytest.mark.parametrize("change", ["weights", "machine", "torch", "code", "precision"])
def test_another_machine_or_network_is_asked_again(monkeypatch, change):
    asked = Asked(True)
    remembered.agreement("a1", CPU, "bfloat16", asked)
    sha256, precision = "a1", "bfloat16"
    match change:
        case "weights":
            sha256 = "b2"
        case "precision":
            precision = "float16"
        case "machine":
            monkeypatch.setattr(remembered.platform, "node", lambda: "another")
        case "torch":
            monkeypatch.setattr(torch, "__version__", "0.0")
        case "code":
            monkeypatch.setattr(remembered, "_code", lambda: "another")
    remembered.agreement(sha256, CPU, precision, asked)
    assert asked.times == 2


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "\xff"])
def test_a_broken_cache_is_replaced_and_one_that_cannot_be_written_costs_nothing(cache, text):
    cache.parent.mkdir()
    cache.write_text(text, encoding="latin-1")
    asked = Asked(True)
    for _ in range(2):
        assert remembered.agreement("a1", CPU, "bfloat16", asked)
    assert asked.times == 1
    cache.unlink()
    cache.mkdir()
    assert remembered.agreement("a1", CPU, "bfloat16", asked)
    assert asked.times == 2


def test_a_second_runner_restores_no_test_scene(monkeypatch):
    restored = []
    real = pytorch._test_scene_restored
    monkeypatch.setattr(pytorch, "_native_low_precision", lambda device: "bfloat16")
    monkeypatch.setattr(
        pytorch, "_test_scene_restored", lambda network: restored.append(1) or real(network)
    )
    first = load_runner("fmanet-xs", device="cpu").info.precision
    assert len(restored) == 2
    assert load_runner("fmanet-xs", device="cpu").info.precision == first
    assert len(restored) == 2
