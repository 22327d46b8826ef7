#!/usr/bin/env python3
"""Mounts FUSE filesystems that no daemon answers for: hang_mount.py DIRECTORY...

Any statfs(2) below such a mount waits for ever. Prints "mounted" when they are there, and then obeys lines on standard input:

    answer  serves statfs(2) from then on, as a server does that came back; prints "answering"
    close   closes the connections, so that waiting calls fail with ENOTCONN, and leaves the dead mounts; prints "closed"
    other   or the end of the input: closes the connections, takes the mounts away, prints "released" and ends

Needs root and /dev/fuse; exit status 77 says that they are lacking. Run it inside a private mount namespace:

    unshare -m --propagation private sh -c 'hang_mount.py /mnt/hang & ...'
"""
import ctypes
import os
import struct
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
SKIP = 77
MNT_DETACH = 2
# Opcodes, and below the sizes of the structures, of include/uapi/linux/fuse.h.
FORGET, GETATTR, STATFS, INIT, INTERRUPT = 2, 3, 17, 26, 36
ENOSYS = 38


def mount(path):
    os.makedirs(path, exist_ok=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hang", os.fsencode(path), b"fuse", 0, options.encode()) != 0:
        errno = ctypes.get_errno()
        os.close(fd)
        raise OSError(errno, os.strerror(errno), path)
    return fd


def serve(fd):
    """Answers as a filesystem of 1,000 blocks of 4 KiB, 500 of them free, 400 for users, and of 100 inodes, 50 of them free."""
    while True:
        try:
            request = os.read(fd, 1 << 17)
        except OSError:
            return
        _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if opcode in (FORGET, INTERRUPT):
            continue
        error, body = 0, b""
        if opcode == INIT:
            body = struct.pack("=IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, *[0] * 7)
        elif opcode == STATFS:
            body = struct.pack("=QQQQQIIII6I", 1000, 500, 400, 100, 50, 4096, 255, 4096, 0, *[0] * 6)
        elif opcode == GETATTR:
            body = struct.pack("=QII", 1, 0, 0)
            body += struct.pack("=6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
        else:
            error = -ENOSYS
        try:
            os.write(fd, struct.pack("=IiQ", 16 + len(body), error, unique) + body)
        except OSError:
            return


def main(paths):
    if not paths:
        sys.exit(__doc__)
    connections = []
    try:
        for path in paths:
            connections.append(mount(path))
    except OSError as error:
        print(f"cannot mount: {error}", file=sys.stderr)
        for path in paths[: len(connections)]:
            libc.umount2(os.fsencode(path), MNT_DETACH)
        sys.exit(SKIP)
    print("mounted", flush=True)

    answering = False
    for line in sys.stdin:
        word = line.strip()
        if word == "answer" and not answering:
            answering = True
            for fd in connections:
                threading.Thread(target=serve, args=(fd,), daemon=True).start()
            print("answering", flush=True)
        elif word == "close" and not answering:
            while connections:
                os.close(connections.pop())
            print("closed", flush=True)
        else:
            break
    # Once they answer, the threads hold the connections; they go with the process.
    if not answering:
        while connections:
            os.close(connections.pop())
    for path in paths:
        libc.umount2(os.fsencode(path), MNT_DETACH)
    print("released", flush=True)


main(sys.argv[1:])
