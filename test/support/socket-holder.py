# Opens sockets and becomes a program that inherits them, as a service manager's child does (sd_listen_fds(3)).
#
#   python3 socket-holder.py NAME=tcp:HOST:PORT,NAME=udp:HOST:PORT,… PROGRAM ARGUMENTS…
#
# An empty NAME= gives no name. Port 0 lets the system choose; the first line of standard output lists the ports. With
# `reuse-` before the protocol, the socket shares its port (ReusePort=yes).

import os, socket, sys

FIRST = 3
names, kept = [], []
for wanted in sys.argv[1].split(","):
    name, at = wanted.split("=", 1)
    kind, rest = at.split(":", 1)
    host, port = rest.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sort = socket.SOCK_STREAM if kind.endswith("tcp") else socket.SOCK_DGRAM
    opened = socket.socket(family, sort)
    if kind.startswith("reuse-"):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    elif sort == socket.SOCK_STREAM:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((host.strip("[]"), int(port)))
    if sort == socket.SOCK_STREAM:
        opened.listen(128)
    names.append(name)
    kept.append(opened)
print(" ".join(str(one.getsockname()[1]) for one in kept), flush=True)
# Out of the way first, so that no socket is overwritten by another one's new number.
moved = [os.dup2(one.fileno(), 200 + i) for i, one in enumerate(kept)]
for i, number in enumerate(moved):
    os.dup2(number, FIRST + i)
os.closerange(FIRST + len(moved), 1024)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)))
if any(names):
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
os.execvp(sys.argv[2], sys.argv[2:])
