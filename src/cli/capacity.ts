// What a machine can carry as a relay, and the settings for that, from what was measured on it (capacity-load.ts). Arithmetic and
// text only. Every limit keeps a reserve, and the numbers say which limit is the first.

import type { HostFacts } from '#fleet/relay-facts.ts'

/** Load above it leaves nothing for bursts; alerts on headroom fire at 20 %. */
const USED_SHARE_MAX = 0.7
/** Of what a further thread adds: packets that cross threads cost more (docs/benchmarks.md). */
const THREAD_SHARE = 0.8
/** After a restart all clients log in again; those that wait longer than a minute notice. */
const LOGIN_ALL_SECONDS = 60
/** Packets of a tunnel that carries a download. */
const PACKET_BYTES = 1_280
/** Beside clients: listeners, files, scrapers. The relay keeps an eighth of the limit for itself, 256 at most. */
const DESCRIPTORS_SPARE = 1_024
/** Of memory, for bursts in send queues. */
const MEMORY_SHARE = 1.25
const SOMAXCONN = 8_192

export interface Measured {
  readonly cores: number
  readonly memoryBytes: number
  readonly baseBytes: number
  readonly bytesPerClient: number
  readonly cpuSecondsPerLogin: number
  /** Of one relay thread: what the relay itself derives from its load, as in its headroom metric. */
  readonly packetsPerThread: number
  readonly host: HostFacts
}

export interface Capacity {
  readonly packetsPerSecond: number
  readonly gigabitsPerSecond: number
  readonly loginsPerSecond: number
  readonly clients: number
  /** What allows no more clients. */
  readonly clientsLimit: 'memory' | 'logins after a restart'
  readonly settings: {
    readonly threads: number
    readonly descriptors: number
    readonly memoryBytes: number
  }
  /** Of the system, with `sysctl -w`; those that suffice as they are are not among them. */
  readonly sysctls: Readonly<Record<string, number>>
}

export function capacityOf(measured: Measured): Capacity {
  const { cores, memoryBytes, baseBytes, bytesPerClient, cpuSecondsPerLogin, packetsPerThread } = measured
  const threads = Math.max(1, cores)
  const share = threads === 1 ? 1 : THREAD_SHARE
  const packetsPerSecond = USED_SHARE_MAX * packetsPerThread * threads * share
  const loginsPerSecond = (USED_SHARE_MAX * threads) / cpuSecondsPerLogin
  const byMemory = (USED_SHARE_MAX * memoryBytes - baseBytes) / bytesPerClient
  const byLogins = LOGIN_ALL_SECONDS * loginsPerSecond
  const clients = roundDown(Math.max(0, Math.min(byMemory, byLogins)))
  return {
    packetsPerSecond: roundDown(packetsPerSecond),
    gigabitsPerSecond: (packetsPerSecond * PACKET_BYTES * 8) / 1e9,
    loginsPerSecond: roundDown(loginsPerSecond),
    clients,
    clientsLimit: byMemory < byLogins ? 'memory' : 'logins after a restart',
    settings: {
      threads,
      descriptors: Math.ceil((clients + DESCRIPTORS_SPARE) / 1_024) * 1_024,
      memoryBytes: MEMORY_SHARE * (baseBytes + clients * bytesPerClient),
    },
    sysctls: sysctls(measured.host, clients),
  }
}

function sysctls({ somaxconn, conntrackMax }: HostFacts, clients: number): Record<string, number> {
  const wanted: Record<string, number> = {}
  if (somaxconn !== undefined && somaxconn < Math.min(SOMAXCONN, clients)) {
    wanted['net.core.somaxconn'] = SOMAXCONN
  }
  // Each client is one entry, and for two minutes after its end another one.
  if (conntrackMax !== undefined && conntrackMax < 2 * clients) {
    wanted['net.netfilter.nf_conntrack_max'] = 2 * clients
  }
  return wanted
}

/** Two digits: what was measured in two minutes does not tell more. */
function roundDown(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, value))) - 1)
  // Halves of a digit that arithmetic loses are no reason for the number below.
  return Math.floor(value / unit + 1e-6) * unit
}

export function capacityText(measured: Measured, capacity: Capacity): string {
  const { settings, sysctls: wanted } = capacity
  const { descriptorsMax = Infinity } = measured.host
  const number = (value: number): string => value.toLocaleString('en-US')
  const megabytes = (bytes: number): string => `${number(Math.ceil(bytes / 1e6))} MB`
  const hasDescriptors = descriptorsMax >= settings.descriptors
  const lines = [
    ['a login takes', `${(1e3 * measured.cpuSecondsPerLogin).toFixed(2)} ms of a core`],
    [
      'a client takes',
      `${(measured.bytesPerClient / 1e3).toFixed(1)} KB, the relay ${megabytes(measured.baseBytes)}`,
    ],
    ['one thread carries', `${number(Math.round(measured.packetsPerThread))} packets/s at most`],
    [],
    [
      `carries, with ${100 - 100 * USED_SHARE_MAX} % in reserve`,
      `on ${measured.cores} cores with ${megabytes(measured.memoryBytes)}`,
    ],
    ['  packets', `${number(capacity.packetsPerSecond)} per second`],
    [
      '  throughput',
      `${capacity.gigabitsPerSecond.toFixed(1)} Gbit/s in packets of ${PACKET_BYTES} bytes, if the network has it`,
    ],
    ['  logins', `${number(capacity.loginsPerSecond)} per second`],
    ['  clients', `${number(capacity.clients)}, limited by ${capacity.clientsLimit}`],
    [],
    ['settings for that', ''],
    ['  -threads', `${settings.threads}`],
    [
      '  open files',
      `${number(settings.descriptors)} (LimitNOFILE=); now ${number(descriptorsMax)}${hasDescriptors ? '' : ', which is too few'}`,
    ],
    ['  memory', `${megabytes(settings.memoryBytes)} for the process`],
    ...Object.entries(wanted).map(([name, value]) => ['  sysctl -w', `${name}=${value}`]),
  ]
  return lines.map(([name = '', value = '']) => `${name.padEnd(32)}${value}`.trimEnd() + '\n').join('')
}
