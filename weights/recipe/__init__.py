"""Train the bundled weights: render blur from photos, train, measure, write the checkpoint.

Not installed with the package. Run the steps from `weights/`, for example `python -m recipe.train`.
"""
