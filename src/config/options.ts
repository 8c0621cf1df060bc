// Every option of `derpfleet serve`: derper's flags as they are, and the relay's own. The table is all there is to
// an option's names, kind and default; flags, environment, YAML file, usage page and documentation follow from it.

import {
  boolean,
  choice,
  endpoint,
  endpointOrOff,
  httpUrl,
  integer,
  list,
  port,
  text,
} from './option-kind.ts'
import { LIMITS } from './limit-options.ts'
import type { OptionTable } from './option.ts'

const FILE = 'the path of a file'
const FOLDER = 'the path of a folder'

/** More threads than any machine's worth of one relay; a number above it is a typing error. */
const THREADS_MAX = 256

/** derper's name for the mesh key of `-dev`; read in no other mode. */
export const DEV_MESH_KEY_ENV = 'TAILSCALE_DERPER_MESH_KEY'

const LISTENING = {
  listen: {
    kind: endpoint,
    flag: 'a',
    env: ['DERP_ADDR'],
    fallback: ':443',
    about:
      'The DERP port; it speaks TLS when the port is 443 or the certificate mode is manual, else plain TCP',
  },
  'http-port': {
    kind: port(-1),
    env: ['DERP_HTTP_PORT'],
    fallback: '80',
    about: 'Captive-portal checks and redirects, on the same address; only beside a TLS port; -1 is off',
  },
  stun: { kind: boolean, env: ['DERP_STUN'], fallback: 'true', about: 'Answer STUN' },
  'stun-port': {
    kind: port(0),
    env: ['DERP_STUN_PORT'],
    fallback: '3478',
    about: 'The UDP port for STUN, on the same address',
  },
  derp: {
    kind: boolean,
    fallback: 'true',
    about: 'Relay packets; false serves STUN and HTTP alone and answers /derp with 404',
  },
  admin: {
    kind: endpointOrOff,
    fallback: '127.0.0.1:9090',
    about:
      'Metrics, health and status pages. On loopback, because they tell who is connected and ask for no password',
  },
  dev: {
    kind: boolean,
    fallback: 'false',
    about:
      'Listen on :3340 whatever -a says, with a key made for this run and the mesh key from TAILSCALE_DERPER_MESH_KEY',
  },
} as const satisfies OptionTable

const IDENTITY = {
  'key-file': {
    kind: text(FILE, 'FILE'),
    flag: 'c',
    fallbackNote: '/var/lib/derper/derper.key for root, else required',
    about: "derper's key file; made with mode 0600 when it does not exist, in a folder that does",
  },
  key: {
    kind: text('privkey: and 64 hex digits, or the JSON of a key file'),
    only: 'env',
    about: 'The key itself instead of its file',
  },
  'mesh-psk-file': {
    kind: text(FILE, 'FILE'),
    fallbackNote: '/home/derp/keys/derp-mesh.key, then ~/keys/derp-mesh.key, if there',
    about: 'The mesh key, 64 hex digits: relays that hold it may watch and forward',
  },
  'mesh-psk': {
    kind: text('64 hex digits'),
    only: 'env',
    env: [DEV_MESH_KEY_ENV],
    about: `The mesh key itself instead of its file; ${DEV_MESH_KEY_ENV} counts with -dev alone, as for derper`,
  },
} as const satisfies OptionTable

const MESH = {
  'mesh-with': {
    kind: list('relays between commas, each HOST, HOST:PORT or HOST/DIAL', 'HOST,...'),
    about:
      'Relays to mesh with, by the name of their certificate; DIAL is a name or address to dial instead. May list this relay itself',
  },
  'mesh-dns': {
    kind: list('host names between commas, each with a port or without', 'NAME,...'),
    about:
      'Names that stand for relays to mesh with, one for each address; one that begins with _ has SRV records. Asked every 10 s',
  },
  'regions-file': {
    kind: text(FILE, 'FILE'),
    about:
      "The fleet's regions and their relays; this one finds itself by -hostname. Read again when it changes",
  },
  region: {
    kind: integer(1, 65_535),
    fallbackNote: 'as -regions-file says',
    about: 'The region that this relay is of',
  },
  'nats-url': {
    kind: list('URLs between commas, nats://HOST:PORT or tls://HOST:PORT', 'URL,...'),
    about:
      'NATS servers that keep the key directory of a large fleet; without, relays of other regions are watched',
  },
  'nats-credentials-file': {
    kind: text(FILE, 'FILE'),
    about: 'What the NATS servers know this relay by, as nsc writes it',
  },
  'nats-ca-file': {
    kind: text(FILE, 'FILE'),
    about: "Certificates of authorities, PEM, that the NATS servers' certificates are signed by",
  },
  'nats-secret-file': {
    kind: text(FILE, 'FILE'),
    fallbackNote: 'required with -nats-url',
    about: 'Hides node keys from the NATS servers: 64 hex digits, the same for the whole fleet',
  },
  rebalance: {
    kind: integer(0, 1_000),
    fallback: '0',
    about:
      'Clients closed each second because another relay is their first choice and there again; 0 is none, as with derper',
  },
  node: {
    kind: text("a relay's name in -regions-file", 'NAME'),
    fallbackNote: 'the one with this -hostname',
    about: 'Which of the relays in -regions-file this is, where several have its host name',
  },
  'mesh-ca-file': {
    kind: text(FILE, 'FILE'),
    about:
      "Certificates of authorities, PEM, that siblings' certificates may be signed by besides the system's",
  },
} as const satisfies OptionTable

const CERTIFICATE = {
  hostname: {
    kind: text('the name or IP address that clients reach this relay by', 'HOST'),
    env: ['DERP_DOMAIN'],
    fallbackNote: 'required with TLS, else localhost',
    about: 'What clients reach the relay by and its certificate is made out to',
  },
  certmode: {
    kind: choice('manual', 'letsencrypt', 'gcp'),
    env: ['DERP_CERT_MODE'],
    fallback: 'letsencrypt',
    about: "Where the certificate comes from. derper's default is understood, but only manual is supported",
  },
  certdir: {
    kind: text(FOLDER, 'FOLDER'),
    env: ['DERP_CERT_DIR'],
    fallbackNote: "tailscale/derper-certs in the user's cache folder",
    about: 'Holds HOSTNAME.crt and HOSTNAME.key; for an IP address as hostname they are made when missing',
  },
  'tls-max-version': {
    kind: choice('1.2', '1.3'),
    fallback: '1.3',
    about: 'The newest TLS version offered',
  },
} as const satisfies OptionTable

const ADMISSION = {
  'verify-clients': {
    kind: boolean,
    env: ['DERP_VERIFY_CLIENTS'],
    fallback: 'false',
    about: "Admit whom this host's tailscaled knows",
  },
  socket: {
    kind: text(FILE, 'FILE'),
    fallbackNote: "tailscaled's usual one",
    about: 'The socket of that tailscaled',
  },
  'verify-client-url': {
    kind: httpUrl,
    env: ['DERP_VERIFY_CLIENT_URL'],
    about: "Admit whom this URL allows; Headscale's /verify is one",
  },
  'verify-client-url-fail-open': {
    kind: boolean,
    fallback: 'false',
    about:
      'Admit everyone while that URL cannot be reached. **derper: true**; here an outage of the control plane does not open the relay',
  },
  'open-relay': {
    kind: boolean,
    fallback: 'false',
    about: 'Anybody may use this relay; without it, a public address needs one of the checks above',
  },
  'disallow-app-names': {
    kind: list('names between commas', 'NAME,...'),
    about: 'Refuse clients that log in as these applications',
  },
} as const satisfies OptionTable

const SERVICE = {
  config: {
    kind: text(FILE, 'FILE'),
    only: 'flag and env',
    about: 'A YAML file with these options; none is read unless named',
  },
  threads: {
    kind: integer(1, THREADS_MAX),
    fallbackNote: 'the cores this process may use: affinity and cgroup quota count',
    about: 'Threads that relay packets',
  },
  home: {
    kind: text('blank, or a URL that starts with http:// or https://', 'blank|URL'),
    about: 'The front page: empty is a short one about the relay, `blank` is none, a URL redirects',
  },
  'bootstrap-dns-names': {
    kind: list('host names between commas', 'NAME,...'),
    about: 'Names that /bootstrap-dns resolves for clients whose DNS is broken',
  },
  'log-level': {
    kind: choice('debug', 'info', 'warn', 'error'),
    fallback: 'info',
    about: 'The least important lines that are logged',
  },
  'log-format': {
    kind: choice('json', 'text'),
    fallbackNote: 'text on a terminal and for the quick start, else json',
    about:
      'How the log is written on standard error, one line for each event. With json every line there is JSON, and standard output stays empty',
  },
  'state-dir': {
    kind: text(FOLDER, 'FOLDER'),
    fallback: './state',
    about: 'Where the quick start keeps its key and certificate; nothing else reads it',
  },
  'quick-start': {
    kind: boolean,
    only: 'flag',
    fallback: 'false',
    about: 'Start a relay on loopback with a key and certificate of its own, and say how to use it',
  },
  check: {
    kind: boolean,
    only: 'flag',
    fallback: 'false',
    about: 'Say what is wrong with the settings and exit',
  },
  version: { kind: boolean, only: 'flag', fallback: 'false', about: 'Print the version and exit' },
  help: { kind: boolean, only: 'flag', fallback: 'false', about: 'Print the options and exit' },
} as const satisfies OptionTable

const FILES_INSTEAD = 'put the certificate of an ACME client of your choice into -certdir'
const PSK_INSTEAD = 'use -mesh-psk-file or DERPFLEET_MESH_PSK'

const UNSUPPORTED = {
  ace: {
    kind: boolean,
    about: 'CONNECT proxy to the coordination server',
    unsupported: { effect: 'warning', instead: 'it is not needed for relaying' },
  },
  'secrets-url': {
    kind: text('a URL', 'URL'),
    about: 'setec server that has the mesh key',
    unsupported: { effect: 'error', instead: PSK_INSTEAD },
  },
  'secrets-path-prefix': {
    kind: text('a path'),
    about: 'Where setec has it',
    unsupported: { effect: 'warning', instead: PSK_INSTEAD },
  },
  'secrets-cache-dir': {
    kind: text(FOLDER, 'FOLDER'),
    about: "setec's cache",
    unsupported: { effect: 'warning', instead: PSK_INSTEAD },
  },
  'acme-eab-kid': {
    kind: text('a key identifier'),
    about: 'ACME account',
    unsupported: { effect: 'warning', instead: FILES_INSTEAD },
  },
  'acme-eab-key': {
    kind: text('a key in base64'),
    about: 'ACME account',
    unsupported: { effect: 'warning', instead: FILES_INSTEAD },
  },
  'acme-email': {
    kind: text('an e-mail address'),
    about: 'ACME account',
    unsupported: { effect: 'warning', instead: FILES_INSTEAD },
  },
  'acme-ip-certs': {
    kind: boolean,
    about: 'Certificates for IP addresses by ACME',
    unsupported: { effect: 'warning', instead: FILES_INSTEAD },
  },
  'unpublished-bootstrap-dns-names': {
    kind: list('host names between commas', 'NAME,...'),
    about: 'Names that /bootstrap-dns answers only when asked for',
    unsupported: { effect: 'warning', instead: 'list them in -bootstrap-dns-names' },
  },
} as const satisfies OptionTable

/** The table by what its options are about, for pages that people read. */
export const OPTION_GROUPS = {
  'Where it listens': LISTENING,
  'Its keys': IDENTITY,
  'Its mesh': MESH,
  'Its name and certificate': CERTIFICATE,
  'Who may use it': ADMISSION,
  Limits: LIMITS,
  'How it runs': SERVICE,
  "derper's, not supported": UNSUPPORTED,
} as const satisfies Readonly<Record<string, OptionTable>>

export const OPTIONS = {
  ...LISTENING,
  ...IDENTITY,
  ...MESH,
  ...CERTIFICATE,
  ...ADMISSION,
  ...LIMITS,
  ...SERVICE,
  ...UNSUPPORTED,
} as const

export type ServeOptions = typeof OPTIONS

/** derper's environment switches that have no effect here, and what does the same. */
export const UNSUPPORTED_ENV: Readonly<Record<string, string>> = {
  DERP_DEBUG_LOGS: 'use -log-level debug',
  DERP_PROBER_DEBUG_LOGS: 'use -log-level debug',
  TS_DEBUG_VERBOSE_DROPS: 'use -log-level debug',
  TS_DERP_DISABLE_RTT_STATS: 'round trips are not measured',
  TS_DERP_SENDER_CARDINALITY: 'senders are not counted',
  TS_ALLOW_DEBUG_IP: 'the pages are on -admin, not on the DERP port',
  TS_DEBUG_TRUSTED_CIDRS: 'the pages are on -admin, not on the DERP port',
  TS_DEBUG_KEY_PATH: 'the pages are on -admin, not on the DERP port',
}
