"""What a project might have on its path: things with an effect when a pickle touches them in one way or another.

The effect is always the same and harmless: a folder is made, whose name says that it happened.
"""

from __future__ import annotations

import os


def fire(path):
    os.makedirs(path, exist_ok=True)


class New:
    def __new__(cls, path=None, *, keyword=None):
        if path or keyword:
            fire(path or keyword)
        return object.__new__(cls)


class Init:
    def __init__(self, path):
        fire(path)


class State:
    def __setstate__(self, state):
        fire(state["path"] if isinstance(state, dict) else state)


class Plain:
    pass


class Slots:
    __slots__ = ("path",)


class Setter:
    @property
    def path(self):
        return None

    @path.setter
    def path(self, value):
        fire(value)


class Ends:
    def __del__(self):
        if hasattr(self, "path"):
            fire(self.path)


class Hashes:
    def __hash__(self):
        fire(self.path)
        return 1


class Equals:
    def __hash__(self):
        return 1

    def __eq__(self, other):
        fire(self.path)
        return True


class Called:
    def __call__(self, path):
        fire(path)


class Attributes:
    def __getattr__(self, name):
        if name.startswith("__") or "path" not in self.__dict__:
            raise AttributeError(name)
        fire(self.__dict__["path"])
        return lambda *_: None


class Outer:
    class Inner:
        fire = staticmethod(fire)


class Meta(type):
    def __setattr__(cls, name, value):
        if name == "path":
            fire(value)
        super().__setattr__(name, value)

    def __call__(cls, path):
        fire(path)


class WithMeta(metaclass=Meta):
    pass


class Registry(dict):
    def __setitem__(self, key, value):
        fire(value)


class Listener(list):
    def append(self, value):
        fire(value)

    def extend(self, values):
        for value in values:
            fire(value)


class Heard:
    def add(self, value):
        fire(value)

    def update(self, values):
        for value in values:
            fire(value)


registry, listener, heard, hook = Registry(), Listener(), Heard(), State()
