"""JupyterLab, started a second sooner: `python -m labs_src.course.labserver [options of JupyterLab]`."""

from __future__ import annotations

from labs_src.course import quick  # noqa: F401  (first: what it leaves out is a second of JupyterLab's start)


def main() -> None:
    """JupyterLab's own entry point."""
    from jupyterlab.labapp import main as jupyterlab

    jupyterlab()


if __name__ == "__main__":
    main()
