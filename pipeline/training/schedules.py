"""Learning rates over the steps of a run, on Keras's schedules. Each: (learning_rate, steps, settings) -> schedule."""

from keras.optimizers.schedules import CosineDecay, ExponentialDecay, LearningRateSchedule


def constant(learning_rate: float, steps: int) -> float:
    """The same learning rate at every step."""
    return learning_rate


def cosine(learning_rate: float, steps: int, final_fraction: float) -> LearningRateSchedule:
    """Half a cosine from learning_rate to final_fraction of it."""
    return CosineDecay(learning_rate, decay_steps=steps, alpha=final_fraction)


def one_cycle(
    learning_rate: float, steps: int, warmup: float, initial_fraction: float, final_fraction: float
) -> LearningRateSchedule:
    """A line up to learning_rate over the first `warmup` of the steps, half a cosine down over the rest."""
    up = round(warmup * steps)
    return CosineDecay(
        initial_learning_rate=initial_fraction * learning_rate,
        warmup_target=learning_rate,
        warmup_steps=up,
        decay_steps=max(steps - up, 1),
        alpha=final_fraction,
    )


def exponential(learning_rate: float, steps: int, final_fraction: float) -> LearningRateSchedule:
    """Exponential decay that reaches final_fraction of learning_rate at the last step."""
    return ExponentialDecay(learning_rate, decay_steps=steps, decay_rate=final_fraction)
