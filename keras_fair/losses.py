"""Losses, elementwise and in float32 whatever the dtype of the inputs.

All take (targets, predictions) and leave the sum, the mask and the
normaliser to the model.
"""

from keras import ops

from keras_fair.ops import boxes as box_ops

EPSILON = 1e-7  # square pixels; keeps the overlap of empty boxes finite


def sigmoid_cross_entropy(targets, logits):
    """Return -t log p - (1 - t) log(1 - p), p = sigmoid(logit).

    Args:
        targets: float [...], 0 to 1.
        logits: float [...].

    Returns:
        float32 [...].
    """
    targets = ops.cast(targets, "float32")
    logits = ops.cast(logits, "float32")
    # Both parts take the same side at 0, so the gradient there is exact.
    positive = logits >= 0.0
    negative_size = ops.where(positive, -logits, logits)
    relu = ops.where(positive, logits, 0.0)
    return relu - logits * targets + ops.log1p(ops.exp(negative_size))


def sigmoid_focal_loss(
    targets, logits, alpha: float | None = 0.25, gamma: float = 2.0
):
    """Return -alpha_t (1 - p_t)^gamma log p_t. RetinaNet, section 3.2.

    The gradient is the paper's closed form (appendix B); it needs the logits
    only, where autodiff would keep several tensors of their size.

    Args:
        targets: [...], 0 or 1, of any dtype; no gradient.
        logits: float [...].
        alpha: weight of target 1, with 1 - alpha for target 0. None or
            negative: both weigh 1.
        gamma: focusing exponent; 0 is cross-entropy.

    Returns:
        float32 [...].
    """
    positive = ops.cast(ops.stop_gradient(targets), "float32") > 0.5
    balanced = alpha is not None and alpha >= 0.0
    weight = ops.where(positive, alpha, 1.0 - alpha) if balanced else 1.0

    @ops.custom_gradient
    def focal(logits):
        wrong, _, cross_entropy = _focal_terms(positive, logits)
        loss = weight * _power(wrong, gamma) * cross_entropy

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            wrong, right, cross_entropy = _focal_terms(positive, logits)
            slope = gamma * right * cross_entropy + wrong
            slope = weight * _power(wrong, gamma) * slope
            return upstream * ops.where(positive, -slope, slope)

        return loss, gradient

    return focal(ops.cast(logits, "float32"))


def focal_star_loss(targets, logits, gamma: float = 2.0, beta: float = 1.0):
    """Return FL* = -log(sigmoid(gamma x_t + beta)) / gamma. Appendix A.

    Args:
        targets: [...], 0 or 1, of any dtype.
        logits: float [...]; x_t is the logit, negated where the target is 0.
        gamma: slope, > 0.
        beta: shift.

    Returns:
        float32 [...].
    """
    logits = ops.cast(logits, "float32")
    positive = ops.cast(targets, "float32") > 0.5
    x_t = ops.where(positive, logits, -logits)
    return ops.softplus(-(gamma * x_t + beta)) / gamma


def softmax_cross_entropy(labels, logits):
    """Return -log softmax(logits)[label].

    Args:
        labels: int [...]; a negative label gives 0.
        logits: float [..., K].

    Returns:
        float32 [...].
    """
    logits = ops.cast(logits, "float32")
    log_scores = ops.log_softmax(logits, axis=-1)
    target = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    return -ops.sum(target * log_scores, axis=-1)


def smooth_l1_loss(targets, predictions, beta: float):
    """Return 0.5 d^2 / beta where |d| < beta, else |d| - 0.5 beta.

    Args:
        targets: float [...].
        predictions: float [...].
        beta: where the parabola ends; 0 is L1.

    Returns:
        float32 [...].
    """
    difference = ops.cast(predictions, "float32") - ops.cast(targets, "float32")
    # Not `abs`, whose gradient at 0 is 1 on JAX: equal boxes are no error.
    size = difference * ops.sign(difference)
    if beta == 0.0:
        return size
    parabola = 0.5 * difference * difference / beta
    return ops.where(size < beta, parabola, size - 0.5 * beta)


def giou_loss(targets, predictions):
    """Return 1 - GIoU, from 0 (equal) to 2. Rezatofighi et al., CVPR 2019.

    Args:
        targets: float [..., 4], xyxy pixels.
        predictions: float [..., 4], xyxy pixels.

    Returns:
        float32 [...]. Finite, with finite gradients, for empty boxes.
    """
    target = box_ops.planes(targets)
    prediction = box_ops.planes(predictions)
    intersection, union = box_ops.intersection_and_union(target, prediction)
    hull = box_ops.hull_area(target, prediction)
    iou = intersection / (union + EPSILON)
    return 1.0 - iou + (hull - union) / (hull + EPSILON)


def _focal_terms(positive, logits):
    """Return 1 - p_t, p_t and -log p_t, each exact where it is small."""
    against = ops.where(positive, -logits, logits)
    small = ops.exp(-ops.abs(against))
    near_one = 1.0 / (1.0 + small)
    near_zero = small * near_one
    wins = against >= 0.0
    wrong = ops.where(wins, near_one, near_zero)
    right = ops.where(wins, near_zero, near_one)
    return wrong, right, ops.maximum(against, 0.0) + ops.log1p(small)


def _power(base, exponent: float):
    return base * base if exponent == 2.0 else ops.power(base, exponent)
