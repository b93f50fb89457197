"""For tracking.py: trains the dropout CNN once for each line that it reads, `bare` or `autolog`, and says the seconds.

python autolog.py images.npz epochs batch_size
"""

import sys
import time

import mlflow
import work

images, epochs, batch_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
point = {"learning_rate": 1e-3, "dropout": 0.25, "batch_size": batch_size}
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("plain Keras")
for line in sys.stdin:
    mlflow.tensorflow.autolog(disable=line.strip() == "bare")
    began = time.perf_counter()
    data = work.data(images)
    if line.strip() == "bare":
        work.fit({"epochs": epochs}, data, point)
    else:
        with mlflow.start_run():
            work.fit({"epochs": epochs}, data, point)
    print(f"seconds {time.perf_counter() - began}", flush=True)
