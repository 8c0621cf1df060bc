// `derpfleet bridge unit`: the systemd unit of bridges, one for each WireGuard interface.

import { ExitCode, type Io } from './command.ts'

const UNIT = `# derpfleet-bridge@.service: systemctl enable --now derpfleet-bridge@wg0
# The relay's URL and further options belong into a drop-in (systemctl edit derpfleet-bridge@wg0):
#   [Service]
#   Environment="BRIDGE_OPTIONS=-relay https://derp1.example.com"

[Unit]
Description=DERP bridge of %i (derpfleet)
Wants=network-online.target
After=network-online.target wg-quick@%i.service
# A relay that cannot be reached is no reason to give up.
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/derpfleet bridge /etc/wireguard/%i.conf $BRIDGE_OPTIONS
Restart=always
RestartSec=1
# Root reads WireGuard's file; of its rights, the bridge keeps those to ask and set WireGuard, to make a routing rule, and
# to send from WireGuard's own port.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_DAC_READ_SEARCH
RuntimeDirectory=derpfleet
RuntimeDirectoryPreserve=yes

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
`

export async function printBridgeUnit(args: readonly string[], io: Io): Promise<number> {
  if (args.length > 0) {
    const isHelp = args[0] === '-help' || args[0] === '-h'
    ;(isHelp ? io.stdout : io.stderr).write(
      'usage: derpfleet bridge unit > /etc/systemd/system/derpfleet-bridge@.service\n',
    )
    return isHelp ? ExitCode.done : ExitCode.misused
  }
  io.stdout.write(UNIT)
  return ExitCode.done
}
