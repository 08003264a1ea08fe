# SPDX-License-Identifier: MIT
#
# report.py - the table: medians, least and most, and how many times jobq's figure that is.
import statistics

from systems import PROMISES

FIGURES = ("w1", "w2", "w3", "w4")
LIMITS = {
    "fdatasync_append": "fdatasync after 4 KiB appended",
    "fdatasync_overwrite": "fdatasync after 4 KiB overwritten",
    "unix_round_trip": "unix socket, 100 bytes there and back",
    "tcp_round_trip": "loopback TCP, 100 bytes there and back",
}


def _number(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _spread(values):
    text = f"**{_number(statistics.median(values))}**"
    if len(values) > 1:
        text += f" ({_number(min(values))}–{_number(max(values))})"
    return text


def _ratio(value, reference):
    ratio = value / reference
    digits = 3 if ratio < 0.1 else 2 if ratio < 10 else 0
    return f"{ratio:.{digits}f}×"


class Figures:
    """All runs of one figure of one system."""

    def __init__(self, runs):
        self.values = [r["p50_us"] if r["figure"] == "w4" else r["per_second"] for r in runs]
        self.p99 = [r["p99_us"] for r in runs if "p99_us" in r]

    @property
    def median(self):
        return statistics.median(self.values)

    def cell(self, reference):
        text = _spread(self.values)
        if self.p99:
            text += f" / {_number(statistics.median(self.p99))}"
        if reference is not None and reference is not self:
            text += f" {_ratio(self.median, reference.median)}"
        return text


def _of(runs, title, figure):
    own = [r for r in runs if r["title"] == title and r["figure"] == figure]
    return Figures(own) if own else None


def _promise_table(runs, promise):
    own = [r for r in runs if r["promise"] == promise]
    titles = list(dict.fromkeys(r["title"] for r in own))
    first = {t: next(r for r in own if r["title"] == t) for t in titles}
    reference = next((t for t in titles if first[t]["is_reference"]), None)
    # jobq's first, then who enqueues fastest.
    titles.sort(key=lambda t: (first[t]["system"] != "jobq", not first[t]["is_reference"],
                               -_of(own, t, "w1").median if _of(own, t, "w1") else 0))
    lines = [
        f"| {PROMISES[promise]} | a power cut loses | W1 enqueue, jobs/s | W2 drain, jobs/s | "
        "W3 end to end, jobs/s | W4 submit to result, µs |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for title in titles:
        cells = []
        for figure in FIGURES:
            figures = _of(own, title, figure)
            base = _of(own, reference, figure) if reference and title != reference else None
            cells.append(figures.cell(base) if figures else "–")
        lines.append(f"| {title} | {first[title]['loses']} | " + " | ".join(cells) + " |")
    return lines


def _limits_table(limits):
    lines = ["| limit of the machine, in the same run | µs |", "|---|--:|"]
    for figure, title in LIMITS.items():
        values = [r["us"] for r in limits if r["figure"] == figure]
        if values:
            lines.append(f"| {title} | {_spread(values)} |")
    return lines


def _foreign(runs):
    values = [r["foreign"] for r in runs]
    return f"{statistics.median(values):.2f} (median), at most {max(values):.2f}"


def table(records):
    """`records`: the lines of the results file."""
    about = next(r for r in records if r["kind"] == "about")
    runs = [r for r in records if r["kind"] == "run"]
    if not runs:
        return "No run is complete."
    fewer = {r["title"]: r["jobs"] for r in runs
             if r["figure"] == "w1" and r["jobs"] != about["jobs"]}
    fewer = "".join(f", {jobs:,} of {title}" for title, jobs in fewer.items())
    versions = dict.fromkeys(f"{r['system']} {r['version']}" for r in runs)
    lines = [
        f"{about['machine']}; {about['rounds']} rounds, {about['jobs']:,} jobs of 100 bytes a run"
        f"{fewer}; {about['calls']:,} calls for W4; {about['date']}. "
        f"Busy with other things meanwhile: {_foreign(runs)} processors.",
        "Versions: " + ", ".join(versions) + ".",
        "",
    ]
    for promise in PROMISES:
        if any(r["promise"] == promise for r in runs):
            lines += _promise_table(runs, promise) + [""]
    lines += _limits_table([r for r in records if r["kind"] == "limit"])
    return "\n".join(lines)


def flushes_table(records):
    """What --verify counted."""
    lines = ["| mode | promise | calls | flushes | |", "|---|---|--:|--:|---|"]
    for r in records:
        lines.append(f"| {r['title']} | {PROMISES[r['promise']]} | {r['calls']:,} | "
                     f"{r['flushes']:,} | {'' if r['fits'] else 'does not fit'} |")
    return "\n".join(lines)


def replace_between(text, mark, new):
    """Between <!-- MARK:begin --> and <!-- MARK:end -->."""
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"it needs one {begin} and one {end}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{new}\n{end}{after}"
