"""name -> class, for everything that third parties can add: one file in a folder, or an entry point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from harness.errors import HarnessError, UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """The classes of one kind, found on first use by importing the folder's files and the entry points.

    kind: the word for error messages (`method`). package: the dotted folder whose modules register
    themselves. group: the entry-point group of third parties; an entry's name is the registered name.
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self.package, self.group = kind, package, group
        self._classes: dict[str, type[T]] = {}
        self._loaded = False

    def register(self, *names: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: registers the class under each name; raises HarnessError for a name taken.

        A name that ends in `:*` stands for all that begin like it: `lm-eval:*` for `lm-eval:hellaswag`.
        """

        def enter(cls: type[T]) -> type[T]:
            for name in names:
                self._enter(name, cls)
            return cls

        return enter

    def get(self, name: str) -> type[T]:
        """The class of that name; raises UnknownName with the nearest one."""
        self._load()
        family, colon, rest = name.partition(":")
        found = self._classes.get(f"{family}:*" if colon and rest else name) or self._classes.get(name)
        if found is None:
            raise UnknownName(self.kind, name, self._classes)
        return found

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._classes)

    def items(self) -> Iterator[tuple[str, type[T]]]:
        """(name, class) by name."""
        self._load()
        yield from sorted(self._classes.items())

    def import_own(self) -> None:
        """Imports the folder's files: from now on, what is on disk may change without changing their classes."""
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")

    def _enter(self, name: str, cls: type[T]) -> None:
        other = self._classes.get(name)
        if other is not None and other is not cls:
            raise HarnessError(f"{self.kind} {name!r} is registered twice: by {other.__module__} and by {cls.__module__}")
        self._classes[name] = cls

    def _load(self) -> None:
        if self._loaded:
            return
        self.import_own()
        for entry in entry_points(group=self.group):
            try:
                self._enter(entry.name, entry.load())
            except (ImportError, AttributeError) as error:
                raise HarnessError(f"the {self.kind} {entry.name!r} of {_owner(entry)} cannot be loaded from {entry.value}: {error}") from error
        self._loaded = True


def _owner(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name}" if entry.dist else "an installed package"
