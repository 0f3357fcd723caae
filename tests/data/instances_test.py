import logging

import pytest

from keras_fair.data import instances, records


class Listed(instances.InstanceDataset):
    """A source that is three lists."""

    def __init__(self, content, images, **options):
        self.path = "listed"
        self._content = content
        super().__init__(images, **options)

    def read_content(self):
        return self._content


@pytest.fixture
def content(coco_files):
    return records.Content(
        *(coco_files.content[k] for k in ("images", "annotations")),
        coco_files.content["categories"],
    )


def test_any_source_of_lists_is_a_data_set(content, coco_files):
    dataset = Listed(content, coco_files.images_folder, with_masks=True)
    assert [len(r.labels) for r in dataset.records] == [2, 1, 0]
    assert dataset.class_names == ("cat", "dog")


def test_without_a_reader_there_is_no_source(coco_files):
    dataset = instances.InstanceDataset.__new__(instances.InstanceDataset)
    with pytest.raises(NotImplementedError):
        dataset.read_content()


def test_faults_of_the_reader_are_refused_or_skipped(content, coco_files):
    fault = records.Fault("image", "x.xml", ValueError("no XML"))
    spoilt = content._replace(faults=[fault])
    with pytest.raises(ValueError, match="listed: image 'x.xml': no XML. Mend"):
        Listed(spoilt, coco_files.images_folder)
    dataset = Listed(spoilt, coco_files.images_folder, on_bad_record="skip")
    assert dict(dataset.skipped) == {"image": 1}


def test_a_bad_file_counts_once_and_few_are_logged(caplog):
    skipped = instances.SkippedRecords()
    with caplog.at_level(logging.WARNING, logger="absl"):
        for number in range(30):
            skipped.skip_file(f"{number}.png", "corrupt")
            skipped.skip_file(f"{number}.png", "corrupt")
    assert dict(skipped.skipped) == {"file": 30}
    assert caplog.text.count("corrupt") == instances.MAX_LOGGED


def test_index_coco_prints_nothing(capsys):
    truth = instances.index_coco([{"id": 3}], [], {5: "cat"})
    assert truth.getImgIds() == [3]
    assert truth.loadCats([5]) == [{"id": 5, "name": "cat"}]
    assert capsys.readouterr().out == ""


def test_a_message_can_be_written_whatever_the_file_says(content, coco_files):
    content.images[0]["file_name"] = "\ud800.jpg"
    with pytest.raises((ValueError, OSError)) as fault:
        Listed(content, coco_files.images_folder)
    assert "\\ud800.jpg" in str(fault.value)
    str(fault.value).encode("utf-8")
