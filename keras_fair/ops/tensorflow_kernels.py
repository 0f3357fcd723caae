"""RoIAlign by TensorFlow's own kernels, for graphs outside XLA.

TensorFlow is imported here, against the rule of `ops`, because sparse matrix
products and `crop_and_resize` have no name in keras.ops. Only `roi_align`
uses this file, and calls it only on the TensorFlow backend.
"""

import keras

from keras_fair.ops import roi_samples

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def has_gpu() -> bool:
    """Tell whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def align_sparse(rows, grid, output_size: int):
    """Pool every RoI by one product with a sparse matrix.

    Deterministic, forward and backward: every output row is summed by one
    thread, in order. Any dynamic shape; float32 only; not in XLA or LiteRT.

    Args:
        rows: float [T, C], `roi_samples.flatten_pyramid`.
        grid: `roi_samples.locate`.
        output_size: P.

    Returns:
        float32 [B, R, P, P, C]. Gradients flow to `rows`.
    """
    rows = tf.cast(rows, tf.float32)
    matrix = _matrix(tf.shape(rows)[0], grid, output_size)

    @tf.custom_gradient
    def pool(rows):
        return (
            _product(matrix, rows),
            lambda upstream: _product(matrix, upstream, transpose=True),
        )

    return _bins(pool(rows), grid, output_size)


def _bins(flat, grid, output_size: int):
    """Reshape [B * R * P * P, C] to [B, R, P, P, C]."""
    rois = tf.shape(grid.origin)
    side = output_size
    bins = tf.reshape(flat, [rois[0], rois[1], side, side, flat.shape[-1]])
    return tf.ensure_shape(bins, [*grid.origin.shape, *bins.shape[2:]])


def _matrix(num_cells, grid, output_size: int) -> tuple:
    """Return bins by cells as (sparse matrix, number of bins, of cells)."""
    if isinstance(grid.y.count, int):
        bins, cells, weights = _fixed_entries(grid, output_size)
    else:
        bins, cells, weights = _adaptive_entries(grid, output_size)
    num_bins = tf.size(grid.origin) * output_size**2
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.cast(tf.stack([bins, cells], axis=1), tf.int64),
        values=weights,
        dense_shape=tf.cast(tf.stack([num_bins, num_cells]), tf.int64),
    )
    return matrix, num_bins, num_cells


def _product(matrix: tuple, dense, transpose: bool = False):
    """Return matrix @ dense, or its transpose @ dense; float32."""
    sparse, num_bins, num_cells = matrix

    def multiply():
        left = sparse
        if transpose:
            left = tf.raw_ops.SparseMatrixTranspose(input=left, type=tf.float32)
        return tf.raw_ops.SparseMatrixMatMul(a=left, b=dense)

    num_rows = num_cells if transpose else num_bins
    shape = [num_rows, dense.shape[-1]]
    # The kernel divides by the number of rows: without RoIs it would end the
    # process.
    product = tf.cond(num_bins > 0, multiply, lambda: tf.zeros(shape))
    return tf.ensure_shape(product, [None, dense.shape[-1]])


def _fixed_entries(grid, output_size: int):
    """Return (bin, cell, weight), each [entries], by bin."""
    count = grid.y.count
    taps = [
        tap
        for row_index in range(count)
        for column_index in range(count)
        for tap in roi_samples.taps(grid, output_size, row_index, column_index)
    ]
    cells = tf.stack([tap[0] for tap in taps], axis=-1)
    weights = tf.stack([tap[1] for tap in taps], axis=-1)
    bins = tf.repeat(tf.range(tf.size(cells) // len(taps)), len(taps))
    return bins, tf.reshape(cells, [-1]), tf.reshape(weights, [-1])


def _adaptive_entries(grid, output_size: int):
    """Return (bin, cell, weight): as many for each bin as its RoI needs."""
    area = output_size**2
    pairs = tf.reshape(roi_samples.sample_pairs(grid), [-1])
    repeats = tf.repeat(pairs, area)  # [bins]
    bins = tf.repeat(tf.range(tf.size(repeats)), repeats)  # [samples]
    first = tf.cumsum(repeats, exclusive=True)
    sample = tf.range(tf.size(bins)) - tf.gather(first, bins)
    roi, place = bins // area, bins % area
    y, x = (_gather_axis(axis, roi) for axis in (grid.y, grid.x))
    rows = _samples(y, sample // x.count, place // output_size, output_size)
    columns = _samples(x, sample % x.count, place % output_size, output_size)
    origin = tf.gather(tf.reshape(grid.origin, [-1]), roi)
    share = 1.0 / tf.cast(x.count * y.count, tf.float32)
    cells = [origin + r * x.length + c for r, _ in rows for c, _ in columns]
    weights = [a * b * share for _, a in rows for _, b in columns]
    return (
        tf.repeat(bins, len(cells)),
        tf.reshape(tf.stack(cells, axis=-1), [-1]),
        tf.reshape(tf.stack(weights, axis=-1), [-1]),
    )


def _gather_axis(axis, roi):
    """Return the axis of RoI number `roi` of the flat batch, each [N]."""
    return roi_samples.Axis(
        *(tf.gather(tf.reshape(values, [-1]), roi) for values in axis)
    )


def _samples(axis, index, bins, output_size: int):
    """Return the two neighbours of sample `index` of bin `bins`, each [N]."""
    position = roi_samples.sample_position(
        axis.start,
        axis.size,
        index,
        tf.cast(bins, tf.float32),
        output_size,
        axis.count,
    )
    return roi_samples.neighbours(position, axis.length)


def align_crop_and_resize(features: dict, grid, index, output_size: int):
    """Pool every RoI by `crop_and_resize`, level by level.

    The crop takes P * G x P * G samples, of which every G x G are averaged.
    The kernel leaves out what lies outside its image; one cell of padding
    that repeats the border makes that RoIAlign's rule. The kernel's own CPU
    gradient loses updates between threads, so the gradient is that of
    `align_sparse`, which is the same linear map.

    Args:
        features: {"P2": float [B, H, W, C], ...}.
        grid: `roi_samples.locate`, with a fixed number of samples.
        index: int32 [B, R], which of `features` each RoI is pooled from.
        output_size: P.

    Returns:
        float32 [B, R, P, P, C]. Gradients flow to `features`.
    """
    maps = [tf.cast(feature, tf.float32) for feature in features.values()]

    @tf.custom_gradient
    def pool(*maps):
        rows = roi_samples.flatten_pyramid(dict(zip(features, maps)))
        num_cells = tf.shape(rows)[0]

        def gradient(upstream):
            flat = tf.reshape(upstream, [-1, upstream.shape[-1]])
            matrix = _matrix(num_cells, grid, output_size)
            total = _product(matrix, flat, transpose=True)
            parts = tf.split(total, [tf.size(m) // m.shape[-1] for m in maps])
            return [tf.reshape(p, tf.shape(m)) for p, m in zip(parts, maps)]

        return _crop_levels(maps, grid, index, output_size), gradient

    return _bins(pool(*maps), grid, output_size)


def _crop_levels(maps: list, grid, index, output_size: int):
    """Return [B * R, P, P, C] pooled from the level that each RoI has."""
    y1, y2 = _crop_range(grid.y, output_size)
    x1, x2 = _crop_range(grid.x, output_size)
    boxes = tf.reshape(tf.stack([y1, x1, y2, x2], axis=-1), [-1, 4])
    batch, num_rois = tf.unstack(tf.shape(index))
    image = tf.repeat(tf.range(batch), num_rois)
    count = grid.y.count
    side = output_size * count
    chosen, crops = [], []
    for level, feature in enumerate(maps):
        rois = tf.where(tf.reshape(index, [-1]) == level)[:, 0]
        padded = tf.pad(feature, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        crop = tf.image.crop_and_resize(
            padded, tf.gather(boxes, rois), tf.gather(image, rois), [side, side]
        )
        chosen.append(tf.cast(rois, tf.int32))
        crops.append(tf.nn.avg_pool2d(crop, count, count, "VALID"))
    return tf.dynamic_stitch(chosen, crops)


def _crop_range(axis, output_size: int):
    """Return first and last sample as crop_and_resize wants them, [B, R]."""
    half = axis.size / (2 * output_size * axis.count)
    last_cell = tf.cast(axis.length + 1, tf.float32)  # of the padded map
    first = (axis.start + half + 1.0) / last_cell
    return first, (axis.start + axis.size - half + 1.0) / last_cell
