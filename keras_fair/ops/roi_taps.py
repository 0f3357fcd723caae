"""RoIAlign as a sum of weighted gathers, the form that XLA fuses.

Each bin is a sum of weight * cell over the taps of its samples. Written as
one unrolled sum of 16 gathers (2 x 2 samples, four cells each), XLA makes a
single loop of it that keeps nothing; the same sum as a reduction is sixty
times slower. Autodiff of it would compile sixteen scatters for most of a
minute, so the gradient is written here: it adds chunks of updates that stay
in the processor's cache. Both run outside XLA and in LiteRT, too, slower.
"""

from keras import ops

from keras_fair.ops import roi_samples

# float32 numbers in one tap's updates of a chunk: sixteen are 4 MB.
CHUNK_NUMBERS = 65_536


def align(rows, grid, output_size: int):
    """Pool every RoI.

    Args:
        rows: float [T, C], `roi_samples.flatten_pyramid`.
        grid: `roi_samples.locate`.
        output_size: P.

    Returns:
        float32 [B, R, P, P, C]. Gradients flow to `rows`.
    """
    if isinstance(grid.y.count, int):
        return _align_fixed(rows, _all_taps(grid, output_size))
    return _align_adaptive(rows, grid, output_size)


def _all_taps(grid, output_size: int) -> list:
    count = grid.y.count
    return [
        tap
        for row_index in range(count)
        for column_index in range(count)
        for tap in roi_samples.taps(grid, output_size, row_index, column_index)
    ]


def _align_fixed(rows, taps: list):
    @ops.custom_gradient
    def pool(rows):
        def gradient(*upstreams, upstream=None):
            upstream = upstreams[0] if upstream is None else upstream
            total = ops.zeros(ops.shape(rows), "float32")
            return ops.cast(_scatter(total, taps, upstream), rows.dtype)

        return _gather(rows, taps), gradient

    return pool(rows)


def _align_adaptive(rows, grid, output_size: int):
    """Loop over sample k of every bin, as far as the largest RoI needs.

    Every RoI goes through its own samples in order; one that has fewer gets
    weight 0 for the rest. So the shapes are static and nothing is cut off.
    """
    pairs = roi_samples.sample_pairs(grid)
    steps = ops.max(pairs) if 0 not in pairs.shape else 0

    def taps(k):
        columns = ops.maximum(grid.x.count, 1)
        used = ops.cast(k < pairs, "float32")[..., None, None]
        found = roi_samples.taps(grid, output_size, k // columns, k % columns)
        return [(index, weight * used) for index, weight in found]

    @ops.custom_gradient
    def pool(rows):
        def gradient(*upstreams, upstream=None):
            upstream = upstreams[0] if upstream is None else upstream
            total = ops.zeros(ops.shape(rows), "float32")
            total = ops.fori_loop(
                0, steps, lambda k, t: _scatter(t, taps(k), upstream), total
            )
            return ops.cast(total, rows.dtype)

        pooled = ops.fori_loop(
            1,
            steps,
            lambda k, t: t + _gather(rows, taps(k)),
            _gather(rows, taps(0)),
        )
        return pooled, gradient

    return pool(rows)


def _gather(rows, taps: list):
    """Return the sum over taps of weight * row, float32 [B, R, P, P, C]."""
    pooled = None
    for index, weight in taps:
        cells = ops.cast(roi_samples.gather_rows(rows, index), "float32")
        weighted = cells * weight[..., None]
        pooled = weighted if pooled is None else pooled + weighted
    return pooled


def _scatter(total, taps: list, upstream):
    """Add every tap's weight * upstream to the rows of total, [T, C]."""
    channels = total.shape[-1]
    upstream = ops.cast(ops.reshape(upstream, (-1, channels)), "float32")
    num_cells = ops.shape(upstream)[0]  # B * R * P * P
    chunk = max(CHUNK_NUMBERS // channels, 1)
    num_chunks = num_cells // chunk + 1  # of zeros, where there are no RoIs
    padding = num_chunks * chunk - num_cells

    def chunked(values):
        flat = ops.reshape(ops.stack(values), (len(taps), -1))
        flat = ops.pad(flat, [[0, 0], [0, padding]])
        return ops.reshape(flat, (len(taps), num_chunks, chunk))

    index = chunked([tap[0] for tap in taps])
    weight = chunked([tap[1] for tap in taps])
    upstream = ops.pad(upstream, [[0, padding], [0, 0]])
    upstream = ops.reshape(upstream, (num_chunks, chunk, channels))

    def add_chunk(k, total):
        updates = weight[:, k][..., None] * upstream[k][None]
        updates = ops.reshape(updates, (-1, channels))
        return roi_samples.add_rows(
            total, ops.reshape(index[:, k], (-1,)), updates
        )

    return ops.fori_loop(0, num_chunks, add_chunk, total)
