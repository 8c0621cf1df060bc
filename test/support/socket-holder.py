# Opens sockets that programs inherit, as a service manager's children do (sd_listen_fds(3)).
#
#   python3 socket-holder.py SOCKETS PROGRAM ARGUMENTS…       opens them, and becomes the program
#   python3 socket-holder.py SOCKETS --hold PATH              opens them, and holds them for any number of programs
#   python3 socket-holder.py --from PATH PROGRAM ARGUMENTS…   becomes a program that inherits what is held there
#
# SOCKETS is NAME=tcp:HOST:PORT,NAME=udp:HOST:PORT,… An empty NAME= gives no name. Port 0 lets the system choose; the first
# line of standard output lists the ports. With `reuse-` before the protocol, the socket shares its port (ReusePort=yes).

import os, socket, sys

FIRST = 3


def opened(at):
    kind, rest = at.split(":", 1)
    host, port = rest.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sort = socket.SOCK_STREAM if kind.endswith("tcp") else socket.SOCK_DGRAM
    one = socket.socket(family, sort)
    if kind.startswith("reuse-"):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    elif sort == socket.SOCK_STREAM:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host.strip("[]"), int(port)))
    if sort == socket.SOCK_STREAM:
        one.listen(128)
    return one


def hold(names, kept, path):
    """The names and the descriptors, for whoever connects."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(8)
    print("holding", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            socket.send_fds(connection, [":".join(names).encode() + b"\n"], [one.fileno() for one in kept])


def become(names, descriptors, program):
    # Out of the way first, so that no socket is overwritten by another one's new number.
    moved = [os.dup2(one, 200 + i) for i, one in enumerate(descriptors)]
    for i, number in enumerate(moved):
        os.dup2(number, FIRST + i)
    os.closerange(FIRST + len(moved), 1024)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)))
    if any(names):
        os.environ["LISTEN_FDNAMES"] = ":".join(names)
    os.execvp(program[0], program)


if sys.argv[1] == "--from":
    held = socket.socket(socket.AF_UNIX)
    held.connect(sys.argv[2])
    text, descriptors, _, _ = socket.recv_fds(held, 4096, 64)
    become(text.decode().strip().split(":"), descriptors, sys.argv[3:])
names, kept = [], []
for wanted in sys.argv[1].split(","):
    name, at = wanted.split("=", 1)
    names.append(name)
    kept.append(opened(at))
print(" ".join(str(one.getsockname()[1]) for one in kept), flush=True)
if sys.argv[2] == "--hold":
    hold(names, kept, sys.argv[3])
become(names, [one.fileno() for one in kept], sys.argv[2:])
