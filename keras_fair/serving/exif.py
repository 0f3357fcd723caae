"""The orientation of a picture, found in a TensorFlow graph.

A camera stores what its sensor saw and notes in the file how to turn it.
EXIF 2.3, section 4.6.4.A: tag 0x0112 of the first directory of a TIFF block,
which a JPEG carries in a segment APP1 and a PNG in a chunk eXIf.
"""

import tensorflow as tf

TAG = 0x0112
ENTRY_BYTES = 12  # of a TIFF directory
APP1 = 0xFFE1  # JPEG marker
EXIF = tuple(b"Exif\0\0")  # what follows the segment's length
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNK_BYTES = 12  # length, type and check sum, without the content
PNG_EXIF = int.from_bytes(b"eXIf")
JPEG_START = (0xFF, 0xD8)


def orientation(encoded):
    """Read how a picture is to be turned.

    Args:
        encoded: string scalar, a JPEG or PNG file.

    Returns:
        int64 scalar, 1 to 8; 1 where the file does not say, or says nothing
        that EXIF knows.
    """
    # What is read beyond the end is zeros.
    data = tf.pad(tf.io.decode_raw(encoded, tf.uint8), [[0, 16]])
    is_jpeg = tf.reduce_all(data[:2] == tf.constant(JPEG_START, tf.uint8))
    tiff = tf.cond(is_jpeg, lambda: _in_jpeg(data), lambda: _in_png(data))
    return tf.cond(
        tiff > 0,
        lambda: _of_tiff(data[tiff:]),
        lambda: tf.constant(1, tf.int64),
    )


def upright(image, orientation):
    """Turn a picture as its EXIF orientation asks.

    Args:
        image: [h, w, 3].
        orientation: int64 scalar, 1 to 8.

    Returns:
        [h, w, 3], or [w, h, 3] from 5 on.
    """

    def is_any_of(*values):
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    def when(condition, turned, image):
        image = tf.cond(condition, lambda: turned(image), lambda: image)
        return tf.ensure_shape(image, [None, None, 3])

    image = when(orientation > 4, lambda x: tf.transpose(x, [1, 0, 2]), image)
    image = when(is_any_of(2, 3, 6, 7), lambda x: x[:, ::-1], image)
    return when(is_any_of(3, 4, 7, 8), lambda x: x[::-1], image)


def _in_jpeg(data):
    """Return where the TIFF block of a JPEG starts, int64; 0: nowhere."""

    def is_exif(at):
        mark = data[at + 4 : at + 10] == tf.constant(EXIF, tf.uint8)
        return (_number(data, at, 2) == APP1) & tf.reduce_all(mark)

    def is_other_segment(at):
        marker = _number(data, at, 2)
        # From the start of the scan (0xFFDA) on there are pixels; what comes
        # before it are segments, and 0xFFFF fills up.
        is_segment = (marker > 0xFF00) & (marker != 0xFFDA)
        return is_segment & ~is_exif(at)

    def following(at):
        is_filling = _number(data, at, 2) == 0xFFFF
        length = _number(data, at + 2, 2)
        return (at + tf.where(is_filling, tf.ones_like(at), 2 + length),)

    start = tf.constant(2, tf.int64)
    (at,) = tf.while_loop(is_other_segment, following, (start,))
    return tf.where(is_exif(at), at + 10, 0)


def _in_png(data):
    """Return where the TIFF block of a PNG starts, int64; 0: nowhere."""
    last = tf.size(data, tf.int64) - PNG_CHUNK_BYTES

    def is_other_chunk(at):
        return (at < last) & (_number(data, at + 4, 4) != PNG_EXIF)

    def following(at):
        return (at + PNG_CHUNK_BYTES + _number(data, at, 4),)

    start = tf.constant(len(PNG_SIGNATURE), tf.int64)
    (at,) = tf.while_loop(is_other_chunk, following, (start,))
    return tf.where(at < last, at + 8, 0)


def _of_tiff(tiff):
    """Return the orientation that a TIFF block states, int64, or 1."""
    is_little = tiff[0] == ord("I")
    directory = _number(tiff, 4, 4, is_little)
    count = _number(tiff, directory, 2, is_little)
    entries = tiff[directory + 2 :]
    count = tf.minimum(count, tf.size(entries, tf.int64) // ENTRY_BYTES)
    entries = tf.reshape(entries[: count * ENTRY_BYTES], [-1, ENTRY_BYTES])
    entries = tf.cast(entries, tf.int64)

    def pair(first):
        low, high = entries[:, first], entries[:, first + 1]
        return tf.where(is_little, low + 256 * high, 256 * low + high)

    # Only the tag itself counts; the rest is read as 0.
    value = tf.reduce_max(tf.where(pair(0) == TAG, pair(8), 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _number(data, at, count: int, is_little=False):
    """Return an unsigned number of so many bytes, int64; see `orientation`."""
    at = tf.minimum(tf.cast(at, tf.int64), tf.size(data, tf.int64) - count)
    digits = tf.cast(data[at : at + count], tf.int64)
    weights = tf.constant([256**place for place in range(count)], tf.int64)
    weights = tf.where(is_little, weights, weights[::-1])
    return tf.reduce_sum(digits * weights)
