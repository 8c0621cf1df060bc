// The command line of `derpfleet bridge`: its options, and how they and WireGuard's file become settings. All problems are
// reported at once, before anything is opened.

import { networkInterfaces } from 'node:os'
import { basename } from 'node:path'
import { Diagnostics } from '#config/diagnostics.ts'
import { isLoopback, type Endpoint } from '#config/endpoint.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, byteSize, choice, endpointOrOff, list, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { PEERS_MAX, QUEUE_BYTES, type BridgePeerSettings, type BridgeSettings } from '#bridge/settings.ts'
import { readBridgeFile } from '#bridge/bridge-file.ts'
import { readWgConfig, type WgConfig, type WgPeer } from '#bridge/wg-config.ts'
import type { RelayOptions } from '#bridge/relay-targets.ts'
import { resolveProxy } from '#client/proxy.ts'
import { resolveTarget } from '#client/target.ts'
import { mapTargetOf, type MapTarget } from '#probe/target.ts'
import { trustedAuthorities } from '#probe/tls-checks.ts'
import { parseKeyFile } from '#protocol/key-file.ts'
import { keyPairFrom, type KeyPair } from '#protocol/node-key.ts'
import type { CommandLine } from './command-line.ts'
import { authoritiesIn, splitArguments } from './probe-options.ts'

export const BRIDGE_OPTIONS = {
  relay: {
    kind: list('URLs of relays, https://host[:port]', 'URL'),
    about:
      'Carry packets over this relay. With several, separated by commas or by repeating the option, over the nearest that answers: they must be relays of one fleet',
  },
  map: {
    kind: text('the path or URL of a DERP map (JSON or YAML)', 'URL|FILE'),
    about:
      "Carry packets over the nearest region of this map, as Tailscale's clients choose it. It is read again each minute. Relays must route between the regions",
  },
  config: {
    kind: text('the path of a YAML file', 'FILE'),
    about: 'Read the peers of a VPN other than WireGuard from this file, in place of the file of wg-quick',
  },
  mode: {
    kind: choice('auto', 'relay'),
    fallback: 'auto',
    about:
      "**auto** uses WireGuard's own way while it lives, and the relay while it does not; where there is no such way, packets go directly between the bridges if NATs let them. **relay** always uses the relay",
  },
  peer: {
    kind: list('names or keys of peers in the file', 'NAME'),
    fallbackNote: 'all peers with AllowedIPs',
    about: 'Serve only these peers of the file',
  },
  interface: {
    kind: text('the name of a WireGuard interface', 'NAME'),
    fallbackNote: "the file's name without .conf",
    about: 'Ask and steer this interface',
  },
  'own-key': {
    kind: text('the path of a key file, as "derpfleet keygen" makes it', 'FILE'),
    fallbackNote: "WireGuard's private key",
    about:
      'Log in with this key. The other bridge must know its public key: a comment **# BridgeKey = nodekey:…** under [Peer]',
  },
  queue: {
    kind: byteSize(2_048),
    fallback: `${QUEUE_BYTES}`,
    about: 'Let so much wait for the relay for each peer, and drop the oldest beyond that',
  },
  proxy: {
    kind: text('http://host[:port] of a proxy', 'URL'),
    about: 'Connect to the relay through this HTTP proxy (CONNECT)',
  },
  'proxy-credentials-file': {
    kind: text('the path of a file with one line, user:password', 'FILE'),
    about: 'Log in to the proxy with this user and password',
  },
  pin: {
    kind: text('sha256-raw: and 64 lower-case hex digits', 'PIN'),
    about: 'Accept only this certificate of the relay; the format is that of CertName in a DERP map',
  },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities besides the system's" },
  insecure: { kind: boolean, fallback: 'false', about: 'Do not verify the certificate of the relay' },
  metrics: {
    kind: endpointOrOff,
    fallback: 'off',
    about: 'Serve metrics for Prometheus here, under /metrics',
  },
  'status-socket': {
    kind: text('a path, or off', 'PATH'),
    fallbackNote: '/run/derpfleet/bridge-NAME.sock, if it can be made',
    about: 'Answer "derpfleet bridge status" on this Unix socket',
  },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

export interface BridgeRequest {
  readonly settings: BridgeSettings
  /** Without URLs if there is a map. */
  readonly relay: Omit<RelayOptions, 'protect'>
  readonly map: MapTarget | undefined
  /** All that are trusted for a map's relays. */
  readonly authorities: readonly string[]
  /** What the tunnel may carry. */
  readonly allowedIps: readonly string[]
  readonly metrics: Endpoint | undefined
  readonly statusSocket: string | undefined
  readonly isStatusNeeded: boolean
}

type BridgeValues = OptionValues<typeof BRIDGE_OPTIONS>

export const FILE_EXPECTED = 'the path of a file of wg-quick, such as /etc/wireguard/wg0.conf'
/** Anybody else may not even know that it is there. */
const PRIVATE_MODE = 0o077

/** What the file of the VPN says. */
interface VpnFile {
  readonly settings: BridgeSettings
  readonly allowedIps: readonly string[]
  /** Of the relays, unless the command line names some. */
  readonly relays: readonly string[]
}

export function readBridgeArguments(args: readonly string[]): CommandLine<BridgeRequest> {
  const { targetText: path, rest } = splitArguments(joined(args), BRIDGE_OPTIONS)
  const flags = readFlags(BRIDGE_OPTIONS, rest)
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...flags.problems)
  const values = new OptionValues(BRIDGE_OPTIONS, flags.values, diagnostics.problems)
  if (values.get('help')) return 'help'
  const file = vpnFileIn(path, values, diagnostics)
  const map = mapIn(values, diagnostics)
  const relay = relayIn(values.get('relay') ?? file?.relays ?? [], values, diagnostics)
  if (file === undefined || diagnostics.problems.length > 0) return { problems: diagnostics.problems }
  const metrics = values.get('metrics')
  const socket = values.get('status-socket')
  return {
    settings: file.settings,
    relay,
    map,
    authorities:
      map === undefined
        ? []
        : trustedAuthorities({ authorities: authoritiesIn(values.get('ca'), diagnostics) }),
    allowedIps: file.allowedIps,
    metrics: metrics === 'off' ? undefined : metrics,
    statusSocket: socket === 'off' ? undefined : (socket ?? statusSocketOf(file.settings.name)),
    isStatusNeeded: socket !== undefined,
  }
}

function vpnFileIn(
  path: string | undefined,
  values: BridgeValues,
  diagnostics: Diagnostics,
): VpnFile | undefined {
  const config = values.get('config')
  if (path !== undefined && config !== undefined) {
    return diagnostics.addProblem('-config', `conflicts with ${path}`, 'only one of the two')
  }
  if (config !== undefined) return bridgeFileIn(config, values, diagnostics)
  if (path === undefined) return diagnostics.addProblem('file', 'missing', FILE_EXPECTED)
  const content = privateText(path, 'file', diagnostics)
  if (content === undefined) return undefined
  const read = readWgConfig(path, content)
  if ('problems' in read) {
    diagnostics.problems.push(...read.problems)
    return undefined
  }
  const name = values.get('interface') ?? basename(path, '.conf')
  const settings = settingsIn(read.config, name, values, diagnostics)
  const allowedIps = read.config.peers.flatMap((peer) => peer.allowedIps)
  return settings === undefined ? undefined : { settings, allowedIps, relays: [] }
}

/** For other VPNs nobody knows whether their own way lives, so the bridge carries them always. */
function bridgeFileIn(path: string, values: BridgeValues, diagnostics: Diagnostics): VpnFile | undefined {
  const content = readFileText(path)
  if (!('text' in content)) return diagnostics.addProblem('-config', `${path} ${whyUnread(content)}`)
  const read = readBridgeFile(path, content.text, isOnLoopback)
  if ('problems' in read) {
    diagnostics.problems.push(...read.problems)
    return undefined
  }
  const { keyFile, peers, relays } = read.file
  const key = keyFileIn(keyFile, `${path}: key-file`, diagnostics)
  if (peers.length > PEERS_MAX)
    diagnostics.addProblem('-config', `${peers.length} peers`, `${PEERS_MAX} at most`)
  if (key === undefined) return undefined
  const name = basename(path).replace(/\.ya?ml$/, '')
  const queueBytesMax = values.get('queue')
  const isDirectTried = values.get('mode') !== 'relay'
  const settings = { name, key, mode: 'relay', interfaceName: undefined, peers, queueBytesMax } as const
  return { settings: { ...settings, isDirectTried }, allowedIps: [], relays }
}

/** ZeroTier takes no address of 127.0.0.0/8; another one of the loopback interface is as private. */
function isOnLoopback(address: string): boolean {
  if (isLoopback(address)) return true
  const all = Object.values(networkInterfaces()).flatMap((some) => some ?? [])
  return all.some((one) => one.address === address && one.internal)
}

export const STATUS_FOLDER = '/run/derpfleet'

export function statusSocketOf(name: string): string {
  return `${STATUS_FOLDER}/bridge-${name}.sock`
}

/** An option that is repeated is a list. */
function joined(args: readonly string[]): readonly string[] {
  const lists = new Map<string, string[]>()
  const others: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ''
    const [, name, inline] = /^--?(relay|peer)(?:=(.*))?$/.exec(arg) ?? []
    const value = inline ?? args[at + 1]
    if (name === undefined || value === undefined) {
      others.push(arg)
      continue
    }
    if (inline === undefined) at++
    lists.set(name, [...(lists.get(name) ?? []), value])
  }
  return [...[...lists].flatMap(([name, all]) => [`-${name}`, all.join(',')]), ...others]
}

/** A file with secrets that only its owner may read. */
function privateText(path: string, where: string, diagnostics: Diagnostics): string | undefined {
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`)
  if ((file.mode & PRIVATE_MODE) !== 0) {
    const mode = (file.mode & 0o777).toString(8).padStart(4, '0')
    return diagnostics.addProblem(
      where,
      `${path} holds a key and others may read it (mode ${mode})`,
      'mode 0600',
    )
  }
  return file.text
}

function settingsIn(
  file: WgConfig,
  name: string,
  values: BridgeValues,
  diagnostics: Diagnostics,
): BridgeSettings | undefined {
  const key = keyIn(file, values.get('own-key'), diagnostics)
  const wanted = values.get('peer')
  // Nothing of the tunnel goes to a peer without AllowedIPs: it is a relay's lane, whose packets have no way but their own.
  const peers = file.peers.filter((peer) =>
    wanted === undefined ? peer.allowedIps.length > 0 : wanted.some((one) => isNamed(peer, one)),
  )
  for (const one of wanted ?? []) {
    if (file.peers.some((peer) => isNamed(peer, one))) continue
    const known = file.peers.map((peer) => peer.name).join(', ')
    diagnostics.addProblem('-peer', `${JSON.stringify(one)} is not in the file`, `one of ${known}`)
  }
  if (peers.length === 0 && wanted === undefined)
    diagnostics.addProblem('file', 'has no [Peer] with AllowedIPs', 'one at least')
  if (peers.length > PEERS_MAX) {
    diagnostics.addProblem(
      'file',
      `has ${peers.length} peers`,
      `${PEERS_MAX} at most; -peer names some of them`,
    )
  }
  if (key === undefined) return undefined
  return {
    name,
    key,
    mode: values.get('mode'),
    isDirectTried: values.get('mode') !== 'relay',
    interfaceName: name,
    peers: peers.map((peer) => peerSettings(peer, file.listenPort)),
    queueBytesMax: values.get('queue'),
  }
}

function isNamed(peer: WgPeer, name: string): boolean {
  return peer.name === name || Buffer.from(peer.publicKey).toString('base64') === name
}

function keyIn(file: WgConfig, path: string | undefined, diagnostics: Diagnostics): KeyPair | undefined {
  if (path === undefined) {
    if (file.privateKey !== undefined) return keyPairFrom(file.privateKey)
    return diagnostics.addProblem('file', 'has no PrivateKey', 'one, or -own-key with a key file')
  }
  return keyFileIn(path, '-own-key', diagnostics)
}

function keyFileIn(path: string, where: string, diagnostics: Diagnostics): KeyPair | undefined {
  const content = privateText(path, where, diagnostics)
  if (content === undefined) return undefined
  const parsed = parseKeyFile(content)
  return 'value' in parsed ? parsed.value : diagnostics.addProblem(where, `${path} ${parsed.problem}`)
}

/** An endpoint on this host is the bridge's own port, chosen by the operator; any other one is the native way. */
function peerSettings(peer: WgPeer, listenPort: number | undefined): BridgePeerSettings {
  const { endpoint, publicKey, name, bridgeKey } = peer
  const at = endpoint?.lastIndexOf(':') ?? -1
  const host = endpoint?.slice(0, at).replace(/^\[(.*)\]$/, '$1') ?? ''
  const isOurs = endpoint !== undefined && isLoopback(host)
  const ownHost = isOurs && host !== 'localhost' ? host : '127.0.0.1'
  return {
    name,
    key: bridgeKey,
    listen: { host: ownHost, port: isOurs ? Number(endpoint.slice(at + 1)) : 0 },
    vpn: listenPort === undefined ? undefined : { host: ownHost, port: listenPort },
    flowsMax: 1,
    wg: { publicKey, endpoint: isOurs ? undefined : endpoint },
  }
}

function relayIn(
  urls: readonly string[],
  values: BridgeValues,
  diagnostics: Diagnostics,
): Omit<RelayOptions, 'protect'> {
  const expected = 'the URL of a relay, https://host[:port]'
  if (urls.length === 0 && values.get('map') === undefined)
    diagnostics.addProblem('-relay', 'is not set', expected)
  const pin = values.get('pin')
  const authorities = authoritiesIn(values.get('ca'), diagnostics)
  const tls = {
    isInsecure: values.get('insecure'),
    ...(pin === undefined ? {} : { certName: pin }),
    ...(authorities.length === 0 ? {} : { ca: trustedAuthorities({ authorities }) }),
  }
  for (const url of urls) {
    try {
      resolveTarget({ url, ...(/^(http|ws):/i.test(url) ? {} : { tls }) })
    } catch (error) {
      diagnostics.addProblem('-relay', error instanceof Error ? error.message : String(error))
    }
  }
  return { urls, tls, proxy: proxyIn(values, diagnostics) }
}

function mapIn(values: BridgeValues, diagnostics: Diagnostics): MapTarget | undefined {
  const given = values.get('map')
  if (given === undefined) return undefined
  for (const other of ['relay', 'proxy', 'pin'] as const) {
    if (values.get(other) !== undefined) diagnostics.addProblem('-map', `conflicts with -${other}`)
  }
  const target = mapTargetOf(given)
  return target ?? diagnostics.addProblem('-map', JSON.stringify(given), BRIDGE_OPTIONS.map.kind.expected)
}

function proxyIn(values: BridgeValues, diagnostics: Diagnostics): RelayOptions['proxy'] {
  const [url, path] = [values.get('proxy'), values.get('proxy-credentials-file')]
  if (url === undefined) {
    if (path !== undefined) diagnostics.addProblem('-proxy-credentials-file', 'has no effect without -proxy')
    return undefined
  }
  const credentials =
    path === undefined ? undefined : privateText(path, '-proxy-credentials-file', diagnostics)?.trim()
  const proxy = { url, ...(credentials === undefined ? {} : { credentials }) }
  try {
    resolveProxy(proxy)
  } catch (error) {
    diagnostics.addProblem('-proxy', error instanceof Error ? error.message : String(error))
  }
  return proxy
}
