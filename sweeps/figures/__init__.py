"""A study in figures. A Summary goes in, a matplotlib Figure comes out: no pyplot, no disk, no MLflow, no Optuna."""

from sweeps.figures.by_grid import grid_curve as grid_curve
from sweeps.figures.by_parameter import importances as importances
from sweeps.figures.by_parameter import slices as slices
from sweeps.figures.by_trial import history as history
from sweeps.figures.learning import all_curves as all_curves
from sweeps.figures.learning import rungs as rungs
from sweeps.figures.parallel import parallel_coordinates as parallel_coordinates
from sweeps.figures.trials import best_so_far as best_so_far
from sweeps.figures.trials import pareto_front as pareto_front
from sweeps.figures.two_objectives import pareto as pareto
