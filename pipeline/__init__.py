"""One training run, top to bottom: config -> Dataset -> model -> fit -> Evaluation -> figures -> tracking."""
