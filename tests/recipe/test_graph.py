"""Steps replayed from a graph, on GPUs that are not there."""

import pytest
import torch
from made_up_cuda import MadeUpCuda
from recipe.graph import WARM_STEPS, GraphedUpdate
from recipe.pool import Batch


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_each_step_is_taken_once_on_its_own_batch_on_any_gpu(device):
    cuda, weight = MadeUpCuda(), torch.zeros(())

    def update(batch, learns):
        cuda.launch(lambda: weight.add_(batch.clip.sum()), device)
        return {"weight": weight}

    graphed = GraphedUpdate(update, torch.device(device), cuda)
    for step in range(1, WARM_STEPS + 4):
        before = weight.item()
        graphed(Batch(*(torch.full((2,), float(step)) for _ in Batch._fields)), "everything")
        assert weight.item() == before + 2 * step
    assert [(len(graph.kernels), graph.replays) for graph in cuda.graphs] == [(1, 3)]
