#!/usr/bin/env python3
"""Make the environment in `.venv`: `python3 install.py` (or `make run`, which calls this).

Only the standard library, and syntax that Python 3.6 can read, so that an old Python gets a message and not a
traceback. uv does the work when it is on the PATH, pip otherwise, from the same pinned files. No package index
is named here: the user's own configuration of uv or pip decides.

What is installed, in this order: torch (requirements-torch.txt, by itself, so that a CPU build satisfies the
pin), everything else with hashes and without resolving (requirements.lock), this package as an editable one.
The stamp `.venv/.ok` is written last. While it matches, a second call does nothing.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
OLDEST = (3, 11)
NEEDED_GB = 3.0  # pip's copies of the packages; measured 2.0 GB with the CPU build of torch, and its downloads
INPUTS = ("requirements-torch.txt", "requirements.lock", "pyproject.toml")

NO_SPACE = ("no space left on device", "errno 28", "os error 28", "disk quota exceeded")
NO_NETWORK = (
    "failed to establish a new connection", "temporary failure in name resolution", "name or service not known",
    "nodename nor servname", "network is unreachable", "connection refused", "connection reset", "dns error",
    "client error (connect)", "error sending request", "failed to fetch", "read timed out", "timed out",
    "max retries exceeded", "proxyerror", "network connectivity is disabled", "could not fetch url",
)  # fmt: skip
WRONG_HASH = ("do not match the hashes", "hash mismatch")
NO_BUILD = (
    "no matching distribution found",
    "no wheels with a matching",
    "no solution found",
    "is not a supported",
)

# uv lists 180 packages when it is done; pip names every local index that lacks a package.
NOISE = (b" + ", b" - ", b" ~ ", b"WARNING: Location")


class Problem(Exception):
    """Something that the user can put right; the message says how."""


def say(text):
    """Print at once, so that lines keep their place among the installer's own."""
    print(text, flush=True)


def version_problem(version, other=None):
    """The message for a Python that is too old, or None.

    Args:
        version: a version as in `sys.version_info`.
        other: the command of a newer Python that exists here, if any.
    """
    if tuple(version[:2]) >= OLDEST:
        return None
    message = "this is Python %d.%d; the workbook needs Python 3.11 or newer." % tuple(version[:2])
    if other:
        return message + " You have {0}: run `{0} install.py`, or `make PYTHON={0} run`.".format(other)
    return (
        message + " Install one (python.org, your system's packages, or `uv python install 3.12`), then run this again."
    )


def newer_python():
    """The command of a Python on the PATH that is new enough, or None."""
    for name in ("python3.11", "python3.12", "python3.13", "python3.14", "python3"):
        if shutil.which(name):
            test = "import sys; sys.exit(sys.version_info[:2] < (3, 11))"
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            if subprocess.call([name, "-c", test], **quiet) == 0:  # a pyenv shim exists even when its Python does not
                return name
    return None


def fingerprint(root=ROOT):
    """What `.venv` was made from: the pinned files, the Python, and the folder (scripts hold its absolute path)."""
    digest = hashlib.sha256()
    for name in INPUTS:
        with open(os.path.join(root, name), "rb") as file:
            digest.update(name.encode() + b"\0" + file.read().replace(b"\r\n", b"\n") + b"\0")
    digest.update(("%d.%d" % sys.version_info[:2] + "\0" + root).encode())
    return digest.hexdigest()


def diagnose(output, free_gb):
    """One line for what stopped an installer, read from what it printed.

    Args:
        output: the installer's stderr.
        free_gb: free space on the disk that holds the environment, in GB.
    """
    text = output.lower()
    if any(sign in text for sign in NO_SPACE) or free_gb < 0.05:
        return "the disk is full (%.1f GB free; about %.0f GB are needed). Free some space, then run this again." % (
            free_gb, NEEDED_GB)  # fmt: skip
    if any(sign in text for sign in WRONG_HASH):
        return "a downloaded file is not the one that requirements.lock pins. Do not use it; check your index or proxy."
    if any(sign in text for sign in NO_NETWORK):
        return ("the package index cannot be reached. Connect to a network (or configure your index or proxy), then "
                "run this again: it continues.")  # fmt: skip
    if any(sign in text for sign in NO_BUILD):
        return ("your package index has no build of a pinned package for Python %d.%d on this machine (see above). "
                "Try another Python: 3.11 is the one the pins were made with." % sys.version_info[:2])  # fmt: skip
    return "installing failed; the reason is in the lines above. Running this again continues."


def execute(command, venv):
    """Run an installer, passing its output on; turn a failure into a `Problem`.

    `.venv/.installing` exists while one is at work: whoever finds it knows that a package may be half there.
    """
    marker = os.path.join(venv, ".installing")
    open(marker, "w").close()
    kept = []
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    for line in iter(process.stderr.readline, b""):
        if not line.startswith(NOISE):
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
        kept = kept[-400:] + [line.decode("utf-8", "replace")]
    failed = process.wait() != 0
    if not failed or any(sign in "".join(kept).lower() for sign in NO_NETWORK):
        os.remove(marker)  # downloads come first: without them nothing was changed
    if failed:
        raise Problem(diagnose("".join(kept), shutil.disk_usage(ROOT).free / 1e9))


def venv_python(venv):
    """The interpreter inside the environment."""
    return os.path.join(venv, "Scripts", "python.exe") if os.name == "nt" else os.path.join(venv, "bin", "python")


def make_venv(venv, uv):
    """Create the environment, or keep the one that a stopped run left, if it is whole and of this Python."""
    python = venv_python(venv)
    wanted = "import sys; sys.exit(sys.version_info[:2] != %r)" % (tuple(sys.version_info[:2]),)
    whole = os.path.exists(python) and not os.path.exists(os.path.join(venv, ".installing"))
    moved = os.path.exists(os.path.join(venv, ".ok")) and ROOT not in open(os.path.join(venv, ".ok")).read()
    if whole and not moved and subprocess.call([python, "-c", wanted], stderr=subprocess.DEVNULL) == 0:
        has_pip = any(
            glob.glob(os.path.join(venv, *place, "site-packages", "pip")) for place in (["lib", "*"], ["Lib"])
        )
        if uv or has_pip:
            return
    elif os.path.isdir(venv):
        say("install: .venv is of another Python or folder, or half made; making it again.")
        shutil.rmtree(venv)
    if uv:
        if subprocess.call([uv, "venv", "--quiet", "--python", sys.executable, venv]) != 0:
            raise Problem(diagnose("", shutil.disk_usage(ROOT).free / 1e9))
        return
    result = subprocess.run([sys.executable, "-m", "venv", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = result.stdout.decode("utf-8", "replace")
    if "ensurepip" in output or "No module named venv" in output:
        shutil.rmtree(venv, ignore_errors=True)  # Debian leaves one without pip behind
        raise Problem("this Python comes without venv. On Debian or Ubuntu: `sudo apt install python3-venv`. "
                      "Or install uv. Then run this again.")  # fmt: skip
    if result.returncode != 0:
        say(output)
        raise Problem(diagnose(output, shutil.disk_usage(ROOT).free / 1e9))


def announce_torch(venv, uv):
    """On Linux, say beforehand when the download may be the CUDA build, and how to get the small one."""
    if not sys.platform.startswith("linux") or glob.glob(os.path.join(venv, "lib", "*", "site-packages", "torch")):
        return
    places = os.environ.get("PIP_FIND_LINKS", "").split()
    if any(glob.glob(os.path.join(place, "torch-*+cpu-*.whl")) for place in places):
        return
    if os.environ.get("UV_TORCH_BACKEND" if uv else "PIP_EXTRA_INDEX_URL"):
        return
    how = "UV_TORCH_BACKEND=cpu" if uv else "PIP_EXTRA_INDEX_URL set to PyTorch's CPU index (see README, small print)"
    say("install: on Linux the default torch carries CUDA, a download of several GB. For the CPU build stop this "
        "(Ctrl-C) and run it again with %s." % how)  # fmt: skip


def install(venv, uv):
    """Torch, the pinned rest, this package: three calls of uv or pip."""
    if uv:
        base = [uv, "pip", "install", "--python", venv_python(venv)]
        for place in os.environ.get("PIP_FIND_LINKS", "").split():  # uv does not read pip's variables
            base += ["--find-links", place]
    else:
        base = [venv_python(venv), "-m", "pip", "install", "--disable-pip-version-check", "--retries", "2"]
        base += ["--progress-bar", "on" if sys.stdout.isatty() else "off"]
        if not sys.stdout.isatty():
            base += ["--quiet"]
    say("install: with %s into .venv; the first time takes minutes (downloads)." % ("uv" if uv else "pip"))
    announce_torch(venv, uv)
    execute(base + ["-r", "requirements-torch.txt"], venv)
    execute(base + ["--require-hashes", "--no-deps", "-r", "requirements.lock"], venv)
    execute(base + ["--no-build-isolation", "--no-deps", "-e", "."], venv)
    kernel = os.path.join(venv, "share", "jupyter", "kernels", "python3", "kernel.json")
    if not os.path.exists(kernel):
        raise Problem("the Jupyter kernel is missing from .venv. Delete .venv and run this again.")


def wait_for_others():
    """Hold this file's lock until the process ends, so that two terminals do not install at once."""
    try:
        import fcntl

        held = open(os.path.abspath(__file__))
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("install: another installation is running here; waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        return held
    except (ImportError, OSError):  # Windows, or a file system without locks
        return None


def main():
    """Make `.venv` unless it is there already. Exit code 0; 2 for a Python too old; 1 for anything else."""
    if version_problem(sys.version_info):
        print("install: " + version_problem(sys.version_info, newer_python()), file=sys.stderr)
        return 2
    venv = os.path.join(ROOT, ".venv")
    stamp = os.path.join(venv, ".ok")
    held = wait_for_others()
    try:
        wanted = fingerprint() + " " + ROOT + "\n"
        if os.path.exists(stamp) and open(stamp).read() == wanted and os.path.exists(venv_python(venv)):
            os.utime(stamp)  # make compares times; a fresh checkout changes those of the inputs
            return 0
        free = shutil.disk_usage(ROOT).free / 1e9
        if free < NEEDED_GB:
            say("install: only %.1f GB are free on this disk; about %.0f GB are needed." % (free, NEEDED_GB))
        uv = shutil.which("uv")
        make_venv(venv, uv)
        install(venv, uv)
        with open(stamp, "w") as file:
            file.write(wanted)
    except Problem as problem:
        print("install: %s" % problem, file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print("install: %s is missing; run this in a full copy of the repository." % error.filename, file=sys.stderr)
        return 1
    except OSError as error:
        print("install: %s" % error, file=sys.stderr)
        print("install: %s" % diagnose(str(error), shutil.disk_usage(ROOT).free / 1e9), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninstall: stopped. Running this again continues.", file=sys.stderr)
        return 130
    finally:
        if held:
            held.close()
    say("install: done.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
