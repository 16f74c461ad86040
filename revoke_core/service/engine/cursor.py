"""How far a request's sources are read, as a text that outlives its worker: the checkpoint in the run row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Final

# A checkpoint has to fit a table's text property with room to spare; Graph takes no URL of this length anyway.
_LONGEST_LINK: Final = 29_000
# A listing whose page tokens are refused begins again; after so many times without getting further it has to wait.
_RESTARTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A source and how far it is read.

    ``at`` is the position among the named users or the groups; ``link`` leads to the next page.
    ``mark``, ``steps`` and ``span`` find a list of pages that runs in a circle without keeping all its links: Brent's
    algorithm compares each link with one that is renewed after 1, 2, 4, 8, … pages.
    """

    source: str
    at: int = 0
    link: str | None = None
    advanced: bool = False
    page: int = 0
    best: int = 0
    restarts: int = 0
    mark: str | None = None
    steps: int = 0
    span: int = 1

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor that ``text`` writes down."""
        return cls(**json.loads(text))

    @property
    def text(self) -> str:
        """JSON without what is as at the start, at most 30,000 characters."""
        start = asdict(Cursor(source=""))
        changed = {name: value for name, value in asdict(self).items() if value != start[name]}
        return json.dumps(changed, separators=(",", ":"))

    def followed(self, link: str) -> Cursor | None:
        """The cursor of the next page; ``None`` when the link leads nowhere, in a circle, or is too long to be kept."""
        mark = hashlib.sha256(link.encode("utf-8", "replace")).hexdigest()[:16]
        if not link or mark == self.mark or len(json.dumps(link)) > _LONGEST_LINK:
            return None
        step = replace(self, link=link, page=self.page + 1, steps=self.steps + 1)
        return replace(step, mark=mark, steps=0, span=2 * self.span) if step.steps == self.span else step

    def restarted(self) -> Cursor:
        """The start of the same source, because the link to the next page is dead."""
        return Cursor(
            source=self.source,
            at=self.at,
            advanced=self.advanced,
            best=max(self.best, self.page),
            restarts=1 if self.page > self.best else self.restarts + 1,
        )

    @property
    def is_stuck(self) -> bool:
        """Whether beginning again has not led further several times."""
        return self.restarts > _RESTARTS
