"""What models are judged on: the panel, their predictions, and the checks of `train` and `gate`."""
