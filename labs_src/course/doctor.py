"""`labs doctor`: what is installed, and which labs can run, as a table."""

from __future__ import annotations

from labs_src.doctor import Check, checks

HEADINGS = {"package": "Versions", "machine": "Machine", "model": "Models", "kernel": "Kernel", "lab": "Labs"}


def report() -> int:
    """Print every check, grouped.

    Returns:
        0, or 1 when a lab of the mini tier cannot run.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = checks()
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for group, heading in HEADINGS.items():
        lines = [check for check in found if check.group == group]
        table.add_row(f"[bold]{heading}[/]", "" if lines else "none")
        for check in lines:
            advice = f": {check.advice}" if check.advice else ""
            table.add_row(f"  {_mark(check)} {escape(check.name)}", escape(check.value + advice))
    Console(soft_wrap=False, highlight=False).print(table)
    return int(any(not check.ok and check.required for check in found if check.group == "lab"))


def _mark(check: Check) -> str:
    if check.ok:
        return "[green]✓[/]"
    return "[red]✗[/]" if check.required else "[yellow]○[/]"
