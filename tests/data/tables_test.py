import numpy as np

from keras_fair.data import coco, tables


def test_runs_of_a_record_are_its_objects_own(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    table = tables.make_table(dataset.records)
    for index, record in enumerate(dataset.records):
        runs = tables.object_runs(table, index)
        lengths = np.diff(runs.splits)
        expected = [0 if mask is None else len(mask) for mask in record.masks]
        np.testing.assert_array_equal(lengths, expected)
        ends = [np.cumsum(m) for m in record.masks if m is not None]
        np.testing.assert_array_equal(
            runs.ends, np.concatenate(ends or [np.zeros(0)])
        )
        np.testing.assert_array_equal(runs.shape, [record.height, record.width])
