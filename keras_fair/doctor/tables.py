"""The doctor's report as text, and as values for JSON."""

from keras_fair.doctor import coverage, examination, faults, memory

MEGABYTE = 1e6  # bytes


def as_text(
    found: examination.Examination,
    covered: list[coverage.Coverage],
    needed: memory.Memory | None,
) -> str:
    """Return what the terminal shows.

    Args:
        found: the examination.
        covered: of a config; [] without.
        needed: of a config; None without.
    """
    parts = [_classes(found, covered)]
    if needed:
        parts.append(f"Memory: {describe(needed)}")
    parts += [_findings(found), summary(found)]
    return "\n\n".join(part for part in parts if part)


def summary(found: examination.Examination) -> str:
    """Return one line on all."""
    survey = found.survey
    counts = ", ".join(
        f"{found.findings.num(severity)} kinds of {severity}"
        for severity in faults.SEVERITIES
    )
    return (
        f"{found.annotations}: {len(survey.images)} images, "
        f"{len(survey.objects)} objects, {len(survey.categories)} "
        f"categories; {counts}."
    )


def describe(needed: memory.Memory) -> str:
    """Return a sentence on the memory of a step."""
    height, width = needed.canvas
    return (
        f"a step of {needed.batch_size} images on {height} x {width} pixels "
        f"needs about {needed.total / MEGABYTE:,.0f} MB: "
        f"{needed.weights / MEGABYTE:,.0f} MB for {needed.num_weights:,} "
        "weights, gradients and momenta, "
        f"{needed.activations / MEGABYTE:,.0f} MB for activations."
    )


def as_json(
    found: examination.Examination,
    covered: list[coverage.Coverage],
    needed: memory.Memory | None,
) -> dict:
    """Return the report as JSON values; see `as_text`."""
    return {
        "annotations": found.annotations,
        "images": found.images,
        "num_images": len(found.survey.images),
        "num_objects": len(found.survey.objects),
        "findings": [
            {
                "code": each.code,
                "severity": each.severity,
                "meaning": each.meaning,
                "count": each.count,
                "examples": [
                    {**place._asdict(), "annotation": _plain(place.annotation)}
                    for place in each.examples
                ],
            }
            for each in found.findings.listed()
        ],
        "classes": [each._asdict() for each in found.classes()],
        "coverage": [each._asdict() for each in covered],
        "memory": needed and {**needed._asdict(), "total": needed.total},
    }


def _plain(value):
    return value if isinstance(value, (int, str, type(None))) else repr(value)


def percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"


def class_table(
    found: examination.Examination, covered: list[coverage.Coverage]
) -> tuple[list, list]:
    """Return a header and a row for each class, after one for all.

    Args:
        found: the examination.
        covered: of a config; [] without.
    """
    classes = found.classes()
    header = ["class", "id", "objects", "images", "masks", "crowds"]
    everything = [sum(column) for column in zip(*(c[2:] for c in classes))]
    everything[1:2] = [len({each.image for each in found.survey.objects})]
    rows = [["all", "", *everything]]
    rows += [[each.name, each.category, *each[2:]] for each in classes]
    if covered:
        header += ["IoU>=0.5", *covered[0].levels]
        for row, each in zip(rows, covered):
            row += [percent(each.covered), *each.levels.values()]
    return header, rows


def _classes(found: examination.Examination, covered: list) -> str:
    """Return the table of the classes that have objects."""
    if not found.survey.objects:
        return ""
    header, rows = class_table(found, covered)
    rows = [list(map(str, row)) for row in [header, *rows] if row[2]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )


def _findings(found: examination.Examination) -> str:
    lines = []
    for each in found.findings.listed():
        lines.append(
            f"{each.severity.upper()} {each.code} ({each.count}): "
            f"{each.meaning}"
        )
        lines += [f"    {where(place)}" for place in each.examples]
    return "\n".join(lines)


def where(place) -> str:
    """Return an example in words."""
    parts = [place.image]
    if place.annotation is not None:
        parts.append(place.called or f"annotation {place.annotation}")
    return ": ".join(
        part for part in (", ".join(filter(None, parts)), place.detail) if part
    )
