"""Lab 03: superposition."""

from __future__ import annotations

from labs_src.checks.compare import expect
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab03_geometry import (
    CO_ACTIVATION,
    DIMENSIONALITY,
    activations,
    count_pairs,
    judge_counts,
    judge_gaps,
    judge_with_absent,
    plane,
    polygon_closed_form,
    polygons,
    weights,
    with_absent,
)
from labs_src.checks.lab03_model import (
    FORWARD,
    GRADIENTS,
    LOSS,
    SPARSEST,
    basis_pursuit,
    finite_differences,
    forward_by_loop,
    frame,
    gradient_case,
    loss_by_loop,
    loss_case,
    model,
)
from labs_src.checks.lab03_sampling import INDEPENDENT, MAGNITUDES, PROBABILITY, sampling_inputs
from labs_src.checks.lab03_theory import (
    INTERFERENCE,
    LINEAR_LOSS,
    TWO,
    by_gauss_points,
    by_signs,
    directions,
    judge_gradients,
    on_a_grid,
    two,
    uniform_case,
)
from labs_src.checks.probes import Twice
from labs_src.checks.probes_gradients import differentiate

EXERCISES = (
    Exercise(
        name="sparsest_code",
        lab="03",
        title="The sparsest code in an overcomplete basis",
        parts=(Part("the code with at most two vectors and the smallest sum of |c|", 2, frame, expect(basis_pursuit, axes="k", mistakes=SPARSEST, rtol=1e-3, atol=1e-4)),),
        hints=(
            "In the plane any two vectors that are not parallel reach x. How many pairs are there?",
            "itertools.combinations gives the pairs; torch.linalg.solve on the two columns gives their coefficients.",
            "Keep the candidate whose c.abs().sum() is smallest; every other entry of c is zero.",
        ),
        read_again="More directions than dimensions",
        difficulty=2, importance=2, minutes=8,
    ),
    Exercise(
        name="sample_features",
        lab="03",
        title="Sparse features with uniform magnitudes",
        parts=(
            Part("the shape, and how often features are on", 1, sampling_inputs, PROBABILITY, Twice()),
            Part("magnitudes are uniform on [0, 1]", 1, sampling_inputs, MAGNITUDES, Twice()),
            Part("rows, instances and features are independent", 1, sampling_inputs, INDEPENDENT, Twice()),
        ),
        hints=(
            "Two questions for every entry: is it on, and how large is it? They need separate randomness.",
            "torch.rand(shape) < p is true with probability p. Give p a shape that lines up: (1, instances, 1).",
            "(torch.rand(shape) < probability[None, :, None]) * torch.rand(shape)",
        ),
        read_again="Data with known features",
        difficulty=2, importance=4, minutes=8,
    ),
    Exercise(
        name="toy_forward",
        lab="03",
        title="The toy model",
        parts=(Part("x' for three instances at once, with biases", 2, model, expect(forward_by_loop, axes="batch instance feature", mistakes=FORWARD)),),
        hints=(
            "Two products with the same W, then a bias, then ReLU.",
            'h = torch.einsum("idn,bin->bid", W, x) sums over the features of each instance.',
            'The way back sums over d: torch.einsum("idn,bid->bin", W, h) + b, then .relu().',
        ),
        read_again="The toy model",
        difficulty=2, importance=5, minutes=6,
    ),
    Exercise(
        name="toy_loss",
        lab="03",
        title="The weighted loss",
        parts=(
            Part("a loss for each instance", 1, loss_case(7, 3, 5), expect(loss_by_loop, axes="instance", mistakes=LOSS)),
            Part("the same when all axes have the same length", 1, loss_case(4, 4, 4), expect(loss_by_loop, axes="instance", mistakes=LOSS)),
        ),
        hints=(
            "Three axes: one is weighted and summed, one is averaged, one stays.",
            "importance has the shape of the last axis, so it lines up by itself.",
            "(importance * (out - x) ** 2).sum(dim=-1).mean(dim=0)",
        ),
        read_again="The toy model",
        difficulty=1, importance=5, minutes=4,
    ),
    Exercise(
        name="toy_gradients",
        lab="03",
        title="The gradient written out",
        parts=(Part("gradients of W and b equal finite differences", 3, gradient_case, expect(finite_differences, names=("dW", "db"), mistakes=GRADIENTS, rtol=1e-3, atol=1e-4)),),
        hints=(
            "Go backwards: from the loss to the output, through the ReLU, then through each of the two uses of W.",
            "g = 2 * importance * (out - x) * (out > 0) / batch. The decoder gives h gᵀ; then q = W g is the gradient at h.",
            'dW = einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), db = g.sum(0)',
        ),
        read_again="Its gradient, by hand",
        difficulty=4, importance=3, minutes=15,
    ),
    Exercise(
        name="angle_gaps",
        lab="03",
        title="Gaps between directions",
        parts=(Part("one gap for each direction, all the way round", 2, plane, judge_gaps),),
        hints=(
            "torch.atan2(y, x) gives an angle; in which order must they be before differences mean anything?",
            "n sorted angles have n - 1 differences. The last gap goes from the largest angle over the cut to the smallest.",
            "gaps = torch.cat([angle.diff(), angle[:1] + 360 - angle[-1:]]), then sort.",
        ),
        read_again="Five features, two dimensions",
        difficulty=2, importance=2, minutes=6,
    ),
    Exercise(
        name="interference_loss",
        lab="03",
        title="Own error and interference",
        parts=(
            Part("both terms, for directions of any length", 1, directions, expect(by_signs, mistakes=INTERFERENCE)),
            Part("both can be differentiated with respect to W", 1, directions, judge_gradients, differentiate),
        ),
        hints=(
            "G = W.T @ W holds everything: squared norms on the diagonal, dot products elsewhere.",
            "(G**2).sum(dim=1) also holds the diagonal; take G_ii² out again.",
            "own = (importance * (G.diagonal() - 1) ** 2).sum(); interference = (importance * ((G**2).sum(1) - G.diagonal() ** 2)).sum()",
        ),
        read_again="Why orthogonal when everything is on",
        difficulty=2, importance=5, minutes=8,
    ),
    Exercise(
        name="expected_linear_loss",
        lab="03",
        title="The exact loss on sparse uniform features",
        parts=(
            Part("everything on (p = 1)", 1, uniform_case(dense=True), expect(by_gauss_points, mistakes=LINEAR_LOSS)),
            Part("every feature with a probability of its own", 2, uniform_case(dense=False), expect(by_gauss_points, mistakes=LINEAR_LOSS)),
        ),
        hints=(
            "Square e_i = Σ_j (G - I)_ij x_j + b_i, and take the expectation term by term: you need E[x_j x_k] and E[x_j].",
            "Put the second moments into a matrix M: p_i p_j / 4 off the diagonal, p_i / 3 on it. Then E[(Σ_j A_ij x_j)²] = (A M Aᵀ)_ii.",
            "error = ((A @ M) * A).sum(1) + 2 * b * (A @ (p / 2)) + b**2 with A = W.T @ W - torch.eye(n); then weight and sum.",
        ),
        read_again="What sparsity changes: first the moments",
        difficulty=4, importance=4, minutes=15,
    ),
    Exercise(
        name="two_feature_losses",
        lab="03",
        title="Drop or share",
        parts=(Part("both losses, for any p and importances", 2, two, expect(on_a_grid, mistakes=TWO, rtol=1e-3)),),
        hints=(
            "drop: what is the smallest squared error of a constant? share: go through off-off, on-off, off-on, on-on.",
            "The best constant is the mean, and leaves the variance E[x²] - E[x]². Sharing errs only when both are on: by the smaller magnitude.",
            "Var = p/3 - p²/4. For two uniform magnitudes E[min(u, v)²] = 1/6, and both features err.",
        ),
        read_again="One feature of two, in one dimension",
        difficulty=4, importance=4, minutes=12,
    ),
    Exercise(
        name="co_activation",
        lab="03",
        title="How often two features are on together",
        parts=(Part("the fraction of the batch for every pair", 2, activations, expect(count_pairs, axes="feature feature", mistakes=CO_ACTIVATION)),),
        hints=(
            "Magnitudes do not matter: turn x into on or off first.",
            "A product of zeros and ones is one only if both are one; a matrix product sums it over the batch.",
            "on = (x > 0).float(); on.T @ on / len(x)",
        ),
        read_again="Correlated and anticorrelated features",
        difficulty=1, importance=3, minutes=4,
    ),
    Exercise(
        name="feature_dimensionality",
        lab="03",
        title="A feature's share of a dimension",
        parts=(
            Part("n features spread evenly in the plane have 2/n each", 1, polygons, expect(polygon_closed_form, axes="instance feature", mistakes=DIMENSIONALITY, rtol=1e-3)),
            Part("any directions, norms and instances; 0 for a feature that is not there", 1, with_absent, judge_with_absent),
        ),
        hints=(
            "The hat means: scaled to length 1. What happens to a column of zeros?",
            "With unit = W / norm, (unit.mT @ W) holds every Ŵ_i · W_j: i is the row.",
            "norm**2 / ((unit.mT @ W) ** 2).sum(dim=2).clamp(min=1e-12), with norm clamped in the same way when dividing.",
        ),
        read_again="Eighty features, twenty dimensions",
        difficulty=3, importance=3, minutes=8,
    ),
    Exercise(
        name="features_per_neuron",
        lab="03",
        title="Features per neuron",
        parts=(Part("a count for each hidden unit", 2, weights, judge_counts),),
        hints=(
            "A neuron is a row of W. A large negative weight is a response too.",
            "Compare |W| with the threshold and count along the features.",
            "(W.abs() > threshold).sum(dim=1)",
        ),
        read_again="Superposition and polysemanticity are two things",
        difficulty=1, importance=3, minutes=3,
    ),
)  # fmt: skip
