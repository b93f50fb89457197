"""Arrays -> matplotlib Figures. Pure: no pyplot, no disk, no MLflow, no Keras."""
