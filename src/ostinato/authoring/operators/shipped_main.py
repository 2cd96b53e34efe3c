"""This module runs a function in another Python: it is a script, and imports nothing of ours.

It is called with one folder. ``call.pickle`` in it says what to run, and ``result.pickle`` is
what came of it. Any Python 3 that is still in use can read it.
"""

import asyncio
import inspect
import pickle
import sys
import traceback
from os.path import join


def main(folder: str) -> None:
    """Call the function and write down what came of it."""
    answer: dict  # type: ignore[type-arg]  # Python 3.8 knows no dict[...]
    with open(join(folder, "call.pickle"), "rb") as file:
        call = pickle.load(file)
    try:
        names = {"__name__": "__ostinato_task__", "__file__": call["file"]}
        # Empty lines ahead give each line the number that it has in the user's file.
        source = "\n" * (call["line"] - 1) + call["source"]
        exec(compile(source, call["file"], "exec"), names)
        args, kwargs = pickle.loads(call["arguments"])
        value = names[call["name"]](*args, **kwargs)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        answer = {"value": pickle.dumps(value, protocol=call["protocol"])}
    except Exception as error:  # noqa: BLE001 - the user's code
        # Without the frame of this module.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exc()
        answer = {"type": type(error).__name__, "message": str(error)}
    with open(join(folder, "result.pickle"), "wb") as file:
        pickle.dump(answer, file, protocol=call["protocol"])


if __name__ == "__main__":
    main(sys.argv[1])
