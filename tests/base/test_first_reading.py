"""A kind of value is made ready when the first value of it is read: whoever else reads one meanwhile is not harmed."""

import subprocess
import sys

import pytest

KINDS = 50
READ = """
import sys, threading
import msgspec

sys.setswitchinterval(0.00001)
parts = {f"part{number}": {f"field{each}": each for each in range(5)} for number in range(8)}
raw = msgspec.json.encode(parts)


def kind():
    fields = [(f"field{each}", int) for each in range(5)]
    return msgspec.defstruct("Whole", [(name, msgspec.defstruct(name.title(), fields)) for name in parts])


def read(whole, together):
    together.wait()
    made = msgspec.convert(parts, whole) if sys.argv[2] == "convert" else msgspec.json.decode(raw, type=whole)
    assert msgspec.to_builtins(made) == parts


for _ in range(int(sys.argv[1])):
    whole, together = kind(), threading.Barrier(4)
    readers = [threading.Thread(target=read, args=(whole, together)) for _ in range(4)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
"""


@pytest.mark.parametrize("how", ["convert", "decode"])
def test_threads_that_are_the_first_to_read_a_kind_of_value_do_not_end_the_process(how: str) -> None:
    # In a process of its own: where it goes wrong nothing is raised, the process is gone.
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", READ, str(KINDS), how],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
