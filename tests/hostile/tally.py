"""What the hostile things were answered with, for the summary at the end and for docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Answers by kind, the longest wait for one, and the most memory that a part of the platform ever had."""

    answers: dict[str, Counter[str]] = field(default_factory=dict)
    longest: dict[str, tuple[float, int]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, answers: set[str], seconds: float, seed: int) -> None:
        """One `what` was answered so, after that time."""
        self.answers.setdefault(what, Counter()).update(answers)
        self.longest[what] = max(self.longest.get(what, (0.0, 0)), (seconds, seed))

    def lines(self) -> list[str]:
        """For people."""
        said = []
        for what, answers in self.answers.items():
            seconds, seed = self.longest[what]
            said.append(f"{what}: longest {seconds:.2f} s (seed {seed})")
            said.append("  " + ", ".join(f"{kind} {count}" for kind, count in answers.most_common()))
        if self.peaks:
            said.append("memory: " + ", ".join(f"{name} {size >> 20} MiB" for name, size in self.peaks.items()))
        return said


TALLY = Tally()
"""Of this process."""
