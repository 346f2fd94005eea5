"""What a check of an assumption says: a number, a verdict in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Name = str | int  # of a column, or the number of a row, column or cluster


@dataclass(frozen=True, slots=True)
class Finding:
    """One assumption and how it stands.

    Args:
        check: the test or index, "RESET".
        assumption: what it looks at, "the mean is linear in the columns".
        statistic: its value; NaN where it could not be computed, and `verdict` says why.
        p_value: probability of a statistic as extreme where the assumption holds; None for an index without one.
        threshold: the level that p_value, or else the value that the statistic, is compared with.
        violated: whether it is beyond.
        verdict: one sentence.
        remedy: what to do; "" where nothing is to be done.
        where: columns, rows or clusters concerned, the worst first.
    """

    check: str
    assumption: str
    statistic: float
    p_value: float | None
    threshold: float
    violated: bool
    verdict: str
    remedy: str = ""
    where: tuple[Name, ...] = ()

    def __str__(self) -> str:
        head = "VIOLATED" if self.violated else "unknown" if self.statistic != self.statistic else "holds"
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{head:8}  {self.check}: {self.verdict}{remedy}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings in the order of the checks; `print` it, iterate over it, or look one up by the name of its check."""

    findings: tuple[Finding, ...]

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The findings of assumptions that do not hold."""
        return tuple(finding for finding in self.findings if finding.violated)

    def __getitem__(self, check: str) -> Finding:
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"there is no check {check!r}; there are {', '.join(f.check for f in self.findings)}")

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


def listed(names: tuple[Name, ...], most: int = 5) -> str:
    """Names in a sentence: "a, b and 3 more"."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def p_text(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 1e-16" if p < 1e-16 else f"p = {p:.2g}"
