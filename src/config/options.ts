// Every option of `derpfleet serve`: derper's flags unchanged, and the relay's own. The table defines the names, kind
// and default of each option. Flags, environment variables, YAML file, usage page and documentation are derived from
// it.

import {
  boolean,
  choice,
  durationBetween,
  endpoint,
  endpointOrOff,
  integer,
  list,
  port,
  text,
} from './option-kind.ts'
import { ACME } from './acme-options.ts'
import { ADMISSION } from './admission-options.ts'
import { DRAIN } from './drain-options.ts'
import { MEASURE } from './measure-options.ts'
import { LANE } from './lane-options.ts'
import { LIMITS } from './limit-options.ts'
import { MAP } from './map-options.ts'
import type { OptionTable } from './option.ts'

const FILE = 'the path of a file'
const FOLDER = 'the path of a folder'

/** No machine benefits from more threads for one relay. A larger number is a typing error. */
const THREADS_MAX = 256

/** derper's variable for the mesh key of `-dev`; not read in any other mode. */
export const DEV_MESH_KEY_ENV = 'TAILSCALE_DERPER_MESH_KEY'

const LISTENING = {
  listen: {
    kind: endpoint,
    flag: 'a',
    env: ['DERP_ADDR'],
    fallback: ':443',
    about: 'Address of the DERP port. -tls says when it speaks TLS',
  },
  tls: {
    kind: choice('auto', 'on', 'off'),
    fallback: 'auto',
    about:
      'Speak TLS on the DERP port. auto: on port 443, and on any port if -certmode or an -acme- option is set; else plain TCP, for a proxy in front',
  },
  'http-port': {
    kind: port(-1),
    env: ['DERP_HTTP_PORT'],
    fallback: '80',
    about:
      'Port for captive-portal checks and redirects, on the same address. Used only if the DERP port speaks TLS; -1 disables it',
  },
  stun: { kind: boolean, env: ['DERP_STUN'], fallback: 'true', about: 'Answer STUN requests' },
  'stun-port': {
    kind: port(0),
    env: ['DERP_STUN_PORT'],
    fallback: '3478',
    about: 'UDP port for STUN, on the same address',
  },
  derp: {
    kind: boolean,
    fallback: 'true',
    about: 'Relay packets. If false, serve only STUN and HTTP, and answer /derp with 404',
  },
  admin: {
    kind: endpointOrOff,
    fallback: '127.0.0.1:9090',
    about:
      'Address of the metrics and health pages. They ask for no password, so keep them on loopback or on a private network',
  },
  'admin-names': {
    kind: list('host names separated by commas', 'NAME,...'),
    about:
      'Host names by which browsers may ask for the status page of -admin, beside localhost, addresses and -hostname: names of a proxy in front, for instance',
  },
  'public-status': {
    kind: boolean,
    fallback: 'false',
    about:
      'Show a coarse status page to everyone on the DERP port, /status: the state in a word, and how the regions are. No numbers, no host names',
  },
  'verbs-token-file': {
    kind: text(FILE, 'FILE'),
    fallbackNote: 'the admin port is read-only',
    about:
      'File with a token of 32 to 256 characters. Who sends the token to -admin may call drain, reload and status there. The token crosses the network in clear text',
    reload: 'value',
  },
  dev: {
    kind: boolean,
    fallback: 'false',
    about:
      'Listen on :3340 and ignore -a. Use a new node key for this run, and the mesh key from TAILSCALE_DERPER_MESH_KEY',
  },
} as const satisfies OptionTable

const IDENTITY = {
  'key-file': {
    kind: text(FILE, 'FILE'),
    flag: 'c',
    fallbackNote: '/var/lib/derper/derper.key for root, else required',
    about:
      "File of the node key, in derper's format. If it does not exist, it is created with mode 0600; its folder must exist",
  },
  key: {
    kind: text('privkey: and 64 hex digits, or the JSON of a key file'),
    only: 'env',
    about: 'Node key itself, instead of its file',
  },
  'mesh-psk-file': {
    kind: text(FILE, 'FILE'),
    fallbackNote: '/home/derp/keys/derp-mesh.key or ~/keys/derp-mesh.key, if one exists',
    about:
      "File of the mesh key, 64 hex digits. Relays that hold this key may watch this relay's clients and forward packets",
    reload: 'content',
  },
  'mesh-psk': {
    kind: text('64 hex digits'),
    only: 'env',
    env: [DEV_MESH_KEY_ENV],
    about: `Mesh key itself, instead of its file. ${DEV_MESH_KEY_ENV} is read only with -dev, as in derper`,
  },
} as const satisfies OptionTable

const MESH = {
  'mesh-with': {
    kind: list('relays separated by commas, each HOST, HOST:PORT or HOST/DIAL', 'HOST,...'),
    about:
      'Relays to mesh with, by the host name in their certificate. DIAL is another name or address to connect to. The list may include this relay',
  },
  'mesh-dns': {
    kind: list('host names separated by commas, each with an optional port', 'NAME,...'),
    about:
      'Names that resolve to relays to mesh with, one relay per address. Names that begin with _ are looked up as SRV records. Resolved every 10 s',
  },
  'regions-file': {
    kind: text(FILE, 'FILE'),
    about:
      "File with the fleet's regions and their relays. This relay finds its own entry by -hostname. The file is read again when it changes",
    reload: 'content',
  },
  region: {
    kind: integer(1, 65_535),
    fallbackNote: 'from -regions-file',
    about: 'Number of the region of this relay',
  },
  'nats-url': {
    kind: list('URLs separated by commas, nats://HOST:PORT or tls://HOST:PORT', 'URL,...'),
    about:
      'NATS servers that hold the key directory of a large fleet. Without this option, relays watch the relays of other regions',
  },
  'nats-credentials-file': {
    kind: text(FILE, 'FILE'),
    about: 'Credentials of this relay for the NATS servers, as written by nsc',
    reload: 'content',
  },
  'nats-ca-file': {
    kind: text(FILE, 'FILE'),
    about: "CA certificates (PEM) to verify the NATS servers with, instead of Node's default CAs",
  },
  'nats-secret-file': {
    kind: text(FILE, 'FILE'),
    fallbackNote: 'required with -nats-url',
    about:
      'Secret of 64 hex digits that hides node keys from the NATS servers; must be the same in the whole fleet',
  },
  rebalance: {
    kind: integer(0, 1_000),
    fallback: '0',
    about:
      "Disconnect up to this many clients per second so that they return to their preferred relay. 0 disables it (derper's behaviour)",
    reload: 'value',
  },
  node: {
    kind: text("a relay's name in -regions-file", 'NAME'),
    fallbackNote: 'the entry with this -hostname',
    about: "Name of this relay's entry in -regions-file. Needed only if several entries have its host name",
  },
  'mesh-ca-file': {
    kind: text(FILE, 'FILE'),
    about: "CA certificates (PEM) to trust for siblings, in addition to the system's",
  },
} as const satisfies OptionTable

const CERTIFICATE = {
  hostname: {
    kind: text('the public host name or IP address of this relay', 'HOST'),
    env: ['DERP_DOMAIN'],
    fallbackNote: 'required with TLS, else localhost',
    about: 'Public host name of this relay; must match its certificate',
  },
  certmode: {
    kind: choice('manual', 'letsencrypt', 'gcp'),
    env: ['DERP_CERT_MODE'],
    fallback: 'letsencrypt',
    about:
      "Source of the certificate: files (manual), or an authority by ACME: Let's Encrypt (letsencrypt), Google (gcp), or the one of -acme-directory",
  },
  certdir: {
    kind: text(FOLDER, 'FOLDER'),
    env: ['DERP_CERT_DIR'],
    fallbackNote: "tailscale/derper-certs in the user's cache folder",
    about:
      'Folder with HOSTNAME.crt and HOSTNAME.key. If -hostname is an IP address, missing files are created. With ACME, the folder of account key and certificates, in the format of derper; relays may share it',
    reload: 'content',
  },
  'tls-max-version': {
    kind: choice('1.2', '1.3'),
    fallback: '1.3',
    about: 'Newest TLS version to offer',
  },
} as const satisfies OptionTable

const SERVICE = {
  config: {
    kind: text(FILE, 'FILE'),
    only: 'flag and env',
    about: 'YAML file with these options. Without this option, no file is read',
  },
  threads: {
    kind: integer(1, THREADS_MAX),
    fallbackNote: 'the number of cores that this process may use, by affinity and cgroup quota',
    about: 'Number of threads that relay packets',
  },
  native: {
    kind: choice('auto', 'on', 'off'),
    fallback: 'auto',
    about:
      'Use system calls that Node.js does not offer, through the optional package koffi. on refuses to start without them, off does not load the package',
  },
  connections: {
    kind: choice('auto', 'openssl', 'handles', 'sockets'),
    fallback: 'auto',
    about:
      'Choose how connections are driven: openssl is TLS by native calls of OpenSSL, handles is TLS of Node.js over its internal streams, sockets is its public sockets. auto takes the first that passes its test at the start. If a way that is named does not pass, the relay does not start',
  },
  'poll-interval': {
    kind: durationBetween(0.1, 1),
    fallback: '1ms',
    about:
      'How often a busy thread reads connections with a high rate: so long after it has read all of them, and no later than twice that after it began. Their packets wait for half of it to all of it at the median; a longer interval takes less CPU time. Without native calls it is 1ms',
  },
  home: {
    kind: text('blank, or a URL that starts with http:// or https://', 'blank|URL'),
    about: 'Front page: unset is a short page about the relay, `blank` is an empty page, a URL is a redirect',
    reload: 'value',
  },
  'bootstrap-dns-names': {
    kind: list('host names separated by commas', 'NAME,...'),
    about: 'Host names that /bootstrap-dns resolves for clients with broken DNS',
    reload: 'value',
  },
  'log-level': {
    kind: choice('debug', 'info', 'warn', 'error'),
    fallback: 'info',
    about: 'Minimum severity to log: debug, info, warn, error',
    reload: 'value',
  },
  'show-keys': {
    kind: choice('full', 'short', 'hashed', 'none'),
    fallback: 'short',
    about: "How clients' keys appear in the log and on pages: in full, shortened, hashed or not at all",
    reload: 'value',
  },
  'show-addresses': {
    kind: choice('full', 'short', 'hashed', 'none'),
    fallback: 'full',
    about:
      "How clients' addresses appear in the log and on pages: in full, as their network (/24, /48), hashed or not at all",
    reload: 'value',
  },
  'log-format': {
    kind: choice('json', 'text'),
    fallbackNote: 'text on a terminal and for the quick start, else json',
    about:
      'Format of the log on standard error, one line per event. With json, every line there is JSON, and standard output stays empty',
  },
  'state-dir': {
    kind: text(FOLDER, 'FOLDER'),
    fallbackNote:
      '$STATE_DIRECTORY of systemd, else /var/lib/derpfleet for root and ~/.local/state/derpfleet for others, and in it a folder for each node key; ./state for the quick start',
    about:
      "Folder for the relay's state: the socket for commands such as reload, and for the quick start also key and certificate. Created with mode 0700; belongs to one node key",
  },
  'quick-start': {
    kind: boolean,
    only: 'flag',
    fallback: 'false',
    about: 'Start a relay on loopback with a key and a certificate of its own, and print how to use it',
  },
  check: {
    kind: boolean,
    only: 'flag',
    fallback: 'false',
    about: 'Check the configuration, print all problems, and exit',
  },
  version: { kind: boolean, only: 'flag', fallback: 'false', about: 'Print the version and exit' },
  help: { kind: boolean, only: 'flag', fallback: 'false', about: 'Print all options and exit' },
} as const satisfies OptionTable

const PSK_INSTEAD = 'use -mesh-psk-file or DERPFLEET_MESH_PSK'

const UNSUPPORTED = {
  ace: {
    kind: boolean,
    about: 'CONNECT proxy to the coordination server',
    unsupported: { effect: 'warning', instead: 'relaying does not need it' },
  },
  'secrets-url': {
    kind: text('a URL', 'URL'),
    about: 'setec server that holds the mesh key',
    unsupported: { effect: 'error', instead: PSK_INSTEAD },
  },
  'secrets-path-prefix': {
    kind: text('a path'),
    about: 'Path prefix of the mesh key in setec',
    unsupported: { effect: 'warning', instead: PSK_INSTEAD },
  },
  'secrets-cache-dir': {
    kind: text(FOLDER, 'FOLDER'),
    about: 'Cache folder for setec',
    unsupported: { effect: 'warning', instead: PSK_INSTEAD },
  },
  'unpublished-bootstrap-dns-names': {
    kind: list('host names separated by commas', 'NAME,...'),
    about: 'Host names that /bootstrap-dns resolves only if a client asks for them by name',
    unsupported: { effect: 'warning', instead: 'list them in -bootstrap-dns-names' },
  },
} as const satisfies OptionTable

/** The options by subject, for usage page and documentation. */
export const OPTION_GROUPS = {
  Listeners: LISTENING,
  Keys: IDENTITY,
  Mesh: MESH,
  'DERP map': MAP,
  'Name and certificate': CERTIFICATE,
  'Certificates by ACME': ACME,
  Admission: ADMISSION,
  Limits: LIMITS,
  Drain: DRAIN,
  Measurements: MEASURE,
  'WireGuard lane': LANE,
  'Process and log': SERVICE,
  'Unsupported derper options': UNSUPPORTED,
} as const satisfies Readonly<Record<string, OptionTable>>

export const OPTIONS = {
  ...LISTENING,
  ...IDENTITY,
  ...MESH,
  ...MAP,
  ...CERTIFICATE,
  ...ACME,
  ...ADMISSION,
  ...LIMITS,
  ...DRAIN,
  ...MEASURE,
  ...LANE,
  ...SERVICE,
  ...UNSUPPORTED,
} as const

export type ServeOptions = typeof OPTIONS
