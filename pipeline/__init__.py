"""One training run, top to bottom: config -> Dataset -> model -> fit -> Evaluation -> figures -> tracking."""

import atexit
import gc

# What is imported stays: 600,000 objects. To look through them for garbage again and again takes a quarter of the time
# in which TensorFlow and MLflow are imported, and another second at a process's end.
gc.set_threshold(max(10_000, gc.get_threshold()[0]), *gc.get_threshold()[1:])
atexit.register(gc.freeze)
