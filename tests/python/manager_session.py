# SPDX-License-Identifier: MIT
"""usage: manager_session.py PACKAGE

Tries everything a SharedMemoryManager can be asked for, in every state, and
prints what came of it: a value, or the exception's type and words.  PACKAGE is
multiprocessing or shmkit; the two must print the same.  Where only the type is
promised, the line has no words.
"""

import importlib
import os
import sys

managers = importlib.import_module(sys.argv[1] + ".managers")
Manager = managers.SharedMemoryManager


class Thing:
    def twice(self, number):
        return 2 * number


class Mine(Manager):
    pass


Mine.register("Thing", Thing)


def show(label, call, *args, words=True):
    try:
        result = call(*args)
    except BaseException as error:
        result = (type(error).__name__, str(error) if words else "")
    print(label, result)


def before_start(m):
    show("block", m.SharedMemory, 9)
    show("list", m.ShareableList, [1])
    show("shutdown", getattr, m, "shutdown")
    show("process", getattr, m, "_process")
    show("join", m.join)
    show("address", getattr, m, "address")
    show("initializer", m.start, 5)
    show("create", m._create, "x")


def while_started(m):
    show("start", m.start)
    show("again", m.start)
    show("get_server", m.get_server)
    for size in (0, -1, None, "x"):
        show(f"size {size!r}", m.SharedMemory, size)
    show("no size", m.SharedMemory)
    show("list of 5", m.ShareableList, 5)
    show("list of objects", m.ShareableList, [object()], words=False)
    show("list of nothing", lambda: list(m.ShareableList(None)))
    show("list of letters", lambda: list(m.ShareableList("howdy")))
    show("list of range", lambda: list(m.ShareableList(range(3))))
    show("by keyword", lambda: m.SharedMemory(size=9).size)
    show("enter", lambda: m.__enter__() is m)
    show("name", lambda: m._process.name)
    show("alive", lambda: m._process.is_alive())
    show("objects", m._number_of_objects)
    show("debug", m._debug_info)
    show("address", lambda: type(m.address))


def after_shutdown(m):
    show("shutdown", m.shutdown)
    show("shutdown twice", m.shutdown)
    show("block", m.SharedMemory, 9, words=False)
    show("list", m.ShareableList, [1], words=False)
    show("start", m.start)
    show("enter", m.__enter__)
    show("get_server", m.get_server)
    show("create", m._create, "x")
    show("address", lambda: type(m.address))
    show("join", m.join)


def types():
    with Mine() as m:
        thing = m.Thing()
        show("call", thing.twice, 4)
        show("proxy", lambda: type(thing).__name__)
        show("objects", m._number_of_objects)
        show("exists", hasattr, m, "NoThing")


def connections():
    client = Manager(address="/tmp/nobody-listens", authkey=b"x")
    show("nobody", client.connect)
    show("block of nobody", client.SharedMemory, 10)
    server = Manager(authkey=b"k")
    server.start()
    client = Manager(address=server.address, authkey=b"k")
    show("connect", client.connect)
    block = client.SharedMemory(10)
    show("block", lambda: block.size)
    show("shutdown", getattr, client, "shutdown")
    show("process", getattr, client, "_process")
    show("start", client.start)
    show("wrong key", Manager(server.address, b"wrong").connect)
    server.shutdown()
    show("there", os.path.exists, "/dev/shm/" + block.name)
    show("block after", client.SharedMemory, 10, words=False)


def constructor():
    show("serializer", Manager, None, None, "nonsense")
    show("keyword", lambda: Manager(bad=1))
    show("address", Manager(address=5).start, words=False)
    show("repr", lambda: repr(Manager()).split(".")[1].split(" at ")[0])


def main():
    manager = Manager()
    for step in (before_start, while_started, after_shutdown):
        print("--", step.__name__)
        step(manager)
    for step in (types, connections, constructor):
        print("--", step.__name__)
        step()


if __name__ == "__main__":
    main()
