"""A network and a run of training that take a second."""

from recipe.losses import LossWeights
from recipe.settings import Phase, Settings

from vsrdb_cli.network.config import FMANetConfig

TINY = FMANetConfig(
    dim=12,
    num_RDB=1,
    growth_rate=4,
    num_dense_layer=1,
    num_FRMA=2,
    num_flow=2,
    num_transformer_block=1,
    num_heads=2,
    ds_kernel_size=6,
    us_kernel_size=5,
    bias=True,
)
SETTINGS = Settings(
    name="tiny",
    revision="test",
    licence="MIT",
    origin="a test",
    network=TINY,
    losses=LossWeights(),
    phases=(Phase(0, 16, 2, "motion"), Phase(0.5, 20, 1)),
    rate=1e-3,
    windows=8,  # two steps of motion, four of everything
    warmup_steps=2,
)
