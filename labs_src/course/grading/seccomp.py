"""A filter of system calls for the sandbox: what namespaces and resource limits leave open.

`memfd_create` and System V shared memory hold memory that belongs to no process, so no limit and no watcher counts it.
`ptrace` and its relatives reach into a neighbour. `unshare`, `setns` and `clone(CLONE_NEWUSER)` open the part of the
kernel where most ways out of a sandbox were found. A call that is filtered fails with "operation not permitted".

The filter is classic BPF (Documentation/userspace-api/seccomp_filter.rst in the Linux sources), written out here
because it is two dozen instructions: for each number in a list, refuse.
"""

from __future__ import annotations

import platform
import struct

CLONE_NEWUSER = 0x10000000
EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000

# Audit number of the architecture; system calls by name: refused, then those with a rule of their own.
TABLES = {
    "x86_64": (
        0xC000003E,
        {
            "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "memfd_secret": 447,
            "shmget": 29, "shmat": 30, "shmctl": 31, "msgget": 68, "semget": 64, "mq_open": 240, "userfaultfd": 323,
            "bpf": 321, "perf_event_open": 298, "keyctl": 250, "add_key": 248, "request_key": 249, "unshare": 272,
            "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428,
            "move_mount": 429, "fsopen": 430, "io_uring_setup": 425, "socket": 41, "personality": 135,
            "name_to_handle_at": 303, "open_by_handle_at": 304, "kcmp": 312, "quotactl": 179,
        },
        {"clone": 56, "clone3": 435},
    ),
    "aarch64": (
        0xC00000B7,
        {
            "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279, "memfd_secret": 447,
            "shmget": 194, "shmctl": 195, "shmat": 196, "msgget": 186, "semget": 190, "mq_open": 180,
            "userfaultfd": 282, "bpf": 280, "perf_event_open": 241, "keyctl": 219, "add_key": 217, "request_key": 218,
            "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "open_tree": 428,
            "move_mount": 429, "fsopen": 430, "io_uring_setup": 425, "socket": 198, "personality": 92,
            "name_to_handle_at": 264, "open_by_handle_at": 265, "kcmp": 272, "quotactl": 60,
        },
        {"clone": 220, "clone3": 435},
    ),
}  # fmt: skip

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def program(machine: str | None = None) -> bytes | None:
    """The filter for this machine as bubblewrap reads it, or None for an architecture that has no table here.

    Args:
        machine: As `platform.machine()` says.
    """
    table = TABLES.get(machine or platform.machine())
    if table is None:
        return None
    architecture, refused, special = table
    code = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, KILL),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 0, 1, 0x40000000),  # x32 has yet other numbers
        (_RETURN, 0, 0, ERRNO | EPERM),
    ]
    for number in sorted(refused.values()):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, ERRNO | EPERM)]
    # clone3 keeps its flags in memory, where a filter cannot look; without it the C library takes clone.
    code += [(_EQUAL, 0, 1, special["clone3"]), (_RETURN, 0, 0, ERRNO | ENOSYS)]
    code += [
        (_EQUAL, 0, 3, special["clone"]),
        (_LOAD, 0, 0, 16),  # its flags
        (_ANY_BIT, 0, 1, CLONE_NEWUSER),
        (_RETURN, 0, 0, ERRNO | EPERM),
        (_RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
