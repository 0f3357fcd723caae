"""The doctor names each broken variant; training refuses, skips or accepts."""

import json
import shutil
from typing import NamedTuple

import pytest

from keras_fair.data.coco import CocoDataset
from keras_fair.doctor import examination, faults, page, tables
from tests.doctor import broken_datasets, broken_voc, training

# Of the doctor's further faults, only a config or shards show some and no
# variant the last: it is for what a strict reader may refuse one day.
WITHOUT_VARIANT = {
    "config-classes",
    "config-canvas",
    "config-objects",
    "config-masks",
    "anchor-missed",
    "source-refused",
    "refused",
}
# Errors that training accepts, as it reads one object after the other.
ACCEPTED = {
    "boxes-normalised": "each is a good box; they are wrong together",
}


class Outcome(NamedTuple):
    """What doctor and training make of a variant."""

    found: examination.Examination | Exception
    training: dict[str, str | Exception]  # by on_bad_record: what it did


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, good_images):
    """Try all variants; between tests TensorFlow forgets its kernels."""
    folder = tmp_path_factory.mktemp("broken")
    result = {}
    for name, variant in broken_datasets.VARIANTS.items():
        files = broken_datasets.Files(folder, good_images)
        variant.plant(files)
        paths = files.write()
        result[name] = Outcome(
            examine(*paths),
            {
                choice: train(*paths, choice, severity(name) == faults.ERROR)
                for choice in ("error", "skip")
            },
        )
        shutil.rmtree(folder)
        folder.mkdir()
    return result


def examine(annotations: str, folder: str):
    try:
        return examination.examine(annotations, folder)
    except Exception as error:
        return error


def severity(name: str) -> str:
    return faults.FAULTS[broken_datasets.VARIANTS[name].code][0]


def train(annotations: str, folder: str, on_bad_record: str, decodes: bool):
    return training.attempt(
        lambda: CocoDataset(
            annotations,
            folder,
            with_masks=True,
            with_keypoints=True,
            on_bad_record=on_bad_record,
        ),
        (annotations, folder),
        decodes,
    )


def test_the_good_data_set_has_no_fault(files):
    paths = files.write()
    assert not examination.examine(*paths).findings.listed()
    assert train(*paths, "error", decodes=True) == "accepted"


def test_more_than_two_hundred_variants_show_every_fault():
    assert len(broken_datasets.VARIANTS) >= 200
    # No name hides another's variant.
    groups = broken_datasets.GROUPS.values()
    assert len(broken_datasets.VARIANTS) == sum(map(len, groups))
    variants = [*broken_datasets.VARIANTS.values(), *broken_voc.VARIANTS]
    codes = {each.code for each in variants}
    assert codes | WITHOUT_VARIANT == set(faults.FAULTS)


@pytest.mark.parametrize("name", broken_datasets.VARIANTS)
def test_the_doctor_names_the_fault(name, outcomes):
    found = outcomes[name].found
    assert isinstance(found, examination.Examination), repr(found)
    code = broken_datasets.VARIANTS[name].code
    assert code in found.findings.counts, found.findings.listed()
    assert code in tables.as_text(found, [], None)
    assert code in json.dumps(tables.as_json(found, [], None))


@pytest.mark.parametrize("name", broken_datasets.VARIANTS)
def test_training_reads_refuses_or_skips(name, outcomes):
    """No error but one that names the file, and none that is no error here."""
    found, done = outcomes[name]
    if done["error"] == "refused":
        assert found.findings.num(faults.ERROR)
        assert done["skip"] in ("refused", "skipped")
    else:
        assert done == {"error": "accepted", "skip": "accepted"}


@pytest.mark.parametrize(
    "name",
    [n for n in broken_datasets.VARIANTS if severity(n) == faults.ERROR],
)
def test_training_accepts_no_error(name, outcomes):
    is_accepted = broken_datasets.VARIANTS[name].code in ACCEPTED
    expected = "accepted" if is_accepted else "refused"
    assert outcomes[name].training["error"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", broken_datasets.VARIANTS)
def test_each_variant_has_a_page(name, files):
    broken_datasets.VARIANTS[name].plant(files)
    found = examination.examine(*files.write())
    html = page.as_html(found, [], None)
    assert broken_datasets.VARIANTS[name].code in html
