"""The process that judges: requests as frames on standard input, results on standard output, one after the other.

Student code never enters this process. It reads what student code sent, so it has limits of its own, and the process
that started it waits no longer than a submission may take.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import datetime
from pathlib import Path

from labs_src.course.grading.inside import frames


def main() -> None:
    """Judge until there are no more requests, or nobody is left to tell."""
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what a library prints must not end up among the frames
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    import torch

    from labs_src.course.grading.judging import judge
    from labs_src.course.grading.limits import Limits
    from labs_src.course.grading.sandbox import kind
    from labs_src.course.grading.submission import Submission

    torch.set_num_threads(1)
    setup, _ = frames.receive(requests, limit=0)
    limits = Limits(**setup["limits"])
    confine(limits.judge_mb)
    compiled = setup["bytecode"]
    how = kind(setup["unsafe"], setup["slot"], Path(compiled) if compiled else None)
    secret = tuple(Path(name) for name in setup["secret"])
    while True:
        try:
            request, content = frames.receive(requests, limit=1 << 31)
        except frames.Broken:
            return
        fields = {**request["submission"], "content": content if request["has_content"] else None}
        when = fields["submitted"]
        fields |= {"notes": tuple(fields["notes"]), "submitted": datetime.fromisoformat(when) if when else None}
        result = judge(
            Submission(**fields),
            secret_seed=setup["seed"],
            checks=request["checks"],
            limits=limits,
            how=how,
            secret=secret,
        )
        frames.send(answers, result.to_json())


def confine(megabytes: int) -> None:
    """An address space that a hostile answer cannot make this process leave."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.3)
    from labs_src.course.execute import leave

    leave()


if __name__ == "__main__":
    main()
