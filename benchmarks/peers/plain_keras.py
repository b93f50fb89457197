"""A loop over the points with `mlflow.tensorflow.autolog()`, as a notebook has it."""

import mlflow
import work

task = work.read()
images = work.data(task["images"])
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("plain Keras")
mlflow.tensorflow.autolog()
for point in task["points"]:
    with mlflow.start_run():
        work.keep(point, work.fit(task, images, point))
