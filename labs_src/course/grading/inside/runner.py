"""Runs a submission inside the sandbox: defines its functions, calls them on given inputs, sends what they return.

`python -m labs_src.course.grading.inside.runner SETUP`, with frames on standard input and output. Nothing here knows
what is right. Whatever this process or its children send may have been written by the student; the judge, outside,
takes it as an answer and as nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
import types
from typing import Any


def main() -> None:
    """Set the limits, read the submission, answer requests until there are no more."""
    setup = json.loads(sys.argv[1])
    confine(setup)
    requests, answers = _detach()
    import numpy  # noqa: F401  (before anything of the student's: what is imported here is the real thing)
    import torch

    from labs_src.checks import contract, crossing, probes  # noqa: F401
    from labs_src.course.grading.inside import frames
    from labs_src.course.grading.inside.cells import line, not_python, sources, statements
    from labs_src.course.grading.inside.definitions import plan
    from labs_src.course.grading.inside.signs import signs

    torch.set_num_threads(1)
    frames.send(answers, {"kind": "started", "limits": in_force()})
    header, notebook = frames.receive(requests, limit=1 << 30)
    try:
        cells = sources(notebook)
        found, unreadable = statements(cells)
    except (ValueError, RecursionError, MemoryError) as error:
        frames.send(answers, {"kind": "refused", "message": str(error)[:500]})
        return
    names = header["exercises"]
    made = plan(found, names)
    frames.send(
        answers,
        {
            "kind": "plan",
            "whole": made.whole,
            "missing": made.missing,
            "unreadable": [not_python(cells[number], why, names) for number, why in unreadable.items()],
            "signs": [sign | {"text": line(cells[sign["cell"] - 1], sign["line"])} for sign in signs(cells, found)],
        },
    )
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    if setup["mode"] == "whole":
        from labs_src.course.grading.inside.whole import run_all

        errors = run_all(cells, module, setup["limits"]["cell_s"])
    else:
        errors = define(made.run, module.__dict__)
    errors = [error | {"text": line(cells[error["cell"] - 1])} for error in errors[:20]]
    forks = _can_fork()
    frames.send(answers, {"kind": "ready", "errors": errors, "forks": forks})
    while True:
        try:
            request, payload = frames.receive(requests, limit=1 << 30)
        except frames.Broken:
            os._exit(0)
        if forks:
            serve_apart(request, payload, module.__dict__, answers, setup["limits"], setup["shut_in"])
        else:
            serve(request, payload, module.__dict__, answers, setup["limits"]["answer_mb"] << 20)
            frames.send(answers, {"kind": "done", "how": "ended", "strays": 0})


def confine(setup: dict[str, Any]) -> None:
    """Become nobody in particular, and set the limits; neither can be undone from here."""
    import resource

    limits, mb = setup["limits"], 1 << 20
    if setup["uid"] is not None:
        os.setgroups([])
        os.setresgid(setup["uid"], setup["uid"], setup["uid"])
        os.setresuid(setup["uid"], setup["uid"], setup["uid"])
    wanted = {
        resource.RLIMIT_AS: limits["memory_mb"] * mb,
        resource.RLIMIT_FSIZE: limits["file_mb"] * mb,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits["cpu_s"],
        resource.RLIMIT_NOFILE: 256,
    }
    if setup["shut_in"]:  # elsewhere it would count the user's own processes
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for limit, value in wanted.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: other processes cannot look into this one


def in_force() -> dict[str, int]:
    """The limits as the kernel has them."""
    import resource

    names = ("AS", "FSIZE", "CPU", "NOFILE", "NPROC")
    return {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names}


def _detach() -> tuple[int, int]:
    """Keep the two pipes under other numbers; what the student prints or reads goes nowhere."""
    requests, answers, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    return requests, answers


def define(statements: list, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Run definitions one by one; one that fails leaves its names undefined and the others alone."""
    errors = []
    for statement in statements:
        try:
            exec(statement.code, namespace)
        except BaseException as error:
            errors.append({"cell": statement.cell + 1, "message": _said(error)})
    return errors


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _can_fork() -> bool:
    """Whether a child can still use autograd (after a backward pass in this process, PyTorch refuses)."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            import torch

            torch.ones(1, requires_grad=True).sum().backward()
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def serve_apart(
    request: dict, payload: bytes, namespace: dict, answers: int, limits: dict[str, Any], shut_in: bool
) -> None:
    """One exercise in a process of its own; when it has ended, nothing that it started is left.

    Args:
        request: exercise, and its cases.
        payload: Their inputs, one after the other.
        namespace: Where the function lives.
        answers: Descriptor to write to.
        limits: As in `Limits`.
        shut_in: Whether this is a sandbox: only there is every other process the student's.
    """
    from labs_src.course.grading.inside import frames

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            serve(request, payload, namespace, answers, limits["answer_mb"] << 20)
        os._exit(0)
    how = _wait(child, time.monotonic() + limits["exercise_s"])
    strays = _clear() if shut_in else 0
    frames.send(answers, {"kind": "done", "exercise": request["exercise"], "how": how, "strays": strays})


def _wait(child: int, deadline: float) -> str:
    pause = 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return "ended" if code == 0 else f"signal {-code}" if code < 0 else f"exit code {code}"
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _clear() -> int:
    """Kill every process of this sandbox but this one and the first; say how many there were."""
    mine = {os.getpid(), os.getppid(), 1}
    others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in mine]
    if others:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(OSError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return len(others)


def serve(request: dict, payload: bytes, namespace: dict, answers: int, limit: int) -> None:
    """Call one exercise's function on every case; send each outcome as it comes."""
    import numpy
    import torch

    from labs_src.checks import contract, crossing, probes
    from labs_src.course.grading.inside import frames

    start = 0
    for number, case in enumerate(request["cases"]):
        data, start = payload[start : start + case["size"]], start + case["size"]
        torch.manual_seed(case["shake"])
        numpy.random.seed(case["shake"] % (1 << 32))
        inputs = crossing.unpack(data)
        outcome = _called(contract, probes, case["probe"], namespace, request["exercise"], inputs)
        packed, error = b"", outcome.error
        if error is None and outcome.value is not None:
            try:
                packed = crossing.pack({"value": outcome.value})
            except BaseException as problem:
                error = f"what it returns cannot be judged: {_said(problem)}"
            if len(packed) > limit:
                packed, error = b"", f"what it returns is larger than {limit >> 20} MB"
        header = {"kind": "answer", "case": number, "error": error, "unwritten": outcome.unwritten}
        frames.send(answers, header | {"changed": list(outcome.changed)}, packed)


def _called(contract: Any, probes: Any, description: Any, namespace: dict, name: str, inputs: dict) -> Any:
    part = types.SimpleNamespace(probe=probes.from_json(description))
    try:
        return contract.probe(part, namespace, name, inputs)
    except BaseException as error:  # SystemExit, KeyboardInterrupt: no reason to lose the other cases
        last = traceback.extract_tb(error.__traceback__)[-1]
        return contract.Outcome(error=f"it raises {_said(error)} in {last.name}")


if __name__ == "__main__":
    main()
