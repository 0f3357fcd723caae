import pytest

from keras_fair.doctor import faults, findings


def test_faults_are_counted_and_five_are_kept():
    found = findings.Findings()
    for number in range(7):
        found.add("box-empty", f"box {number}", image="a.jpg", annotation=1)
    (finding,) = found.listed()
    assert finding.code == "box-empty"
    assert finding.count == 7
    assert [each.detail for each in finding.examples] == [
        f"box {number}" for number in range(5)
    ]
    assert finding.examples[0].image == "a.jpg"


def test_an_annotation_may_be_called_by_another_name_than_its_id():
    found = findings.Findings()
    found.called[1] = "object 1"
    for annotation in (1, 2, None, [3]):
        found.add("box-thin", annotation=annotation)
    (finding,) = found.listed()
    names = [each.called for each in finding.examples]
    assert names == ["object 1", "", "", ""]


def test_errors_come_first_then_the_order_of_the_faults():
    found = findings.Findings()
    for code in ("crowd-missing", "box-thin", "rle-sum", "json-empty"):
        found.add(code)
    codes = [each.code for each in found.listed()]
    assert codes == ["json-empty", "rle-sum", "box-thin", "crowd-missing"]
    assert found.num(faults.ERROR) == 2
    assert found.num(faults.WARNING) == 1


def test_an_unknown_code_is_refused():
    with pytest.raises(KeyError, match="Expected a code of faults.FAULTS"):
        findings.Findings().add("box-odd")


@pytest.mark.parametrize("code", faults.FAULTS)
def test_each_fault_has_a_severity_and_a_sentence(code):
    severity, meaning = faults.FAULTS[code]
    assert severity in faults.SEVERITIES
    assert meaning[0].isupper() and meaning[-1] in ".?"
