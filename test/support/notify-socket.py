# A service manager's notification socket, for tests: prints each datagram as a line of JSON. Closes descriptors that come
# with it, as a service manager does: systemd-notify waits for that.
#
#   python3 notify-socket.py PATH      a path, or @NAME for an abstract name

import array, json, os, socket, sys

path = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind("\0" + path[1:] if path.startswith("@") else path)
print(json.dumps({"listening": path}), flush=True)
while True:
    text, ancillary, _, _ = receiver.recvmsg(65536, 4096)
    sender = 0
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            for number in numbers:
                os.close(number)
        elif kind == socket.SCM_CREDENTIALS:
            sender = int.from_bytes(data[:4], sys.byteorder)
    lines = [line.split("=", 1) for line in text.decode().split("\n") if "=" in line]
    print(json.dumps({"pid": sender, "message": dict(lines)}), flush=True)
