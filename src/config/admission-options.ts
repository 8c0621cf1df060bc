// The options of `serve` about who may use the relay. A part of the table in `options.ts`.

import { LEASE_KEY_EXPECTED } from '#protocol/lease.ts'
import { boolean, durationOf, httpUrl, list, text } from './option-kind.ts'
import type { OptionTable } from './option.ts'

const FILE = 'the path of a file'

export const ADMISSION = {
  'verify-clients': {
    kind: boolean,
    env: ['DERP_VERIFY_CLIENTS'],
    fallback: 'false',
    about: 'Admit only clients known to the local tailscaled',
    reload: 'value',
  },
  socket: {
    kind: text(FILE, 'FILE'),
    fallbackNote: 'the default socket of tailscaled',
    about: 'Socket of the local tailscaled',
    reload: 'value',
  },
  'verify-client-url': {
    kind: httpUrl,
    env: ['DERP_VERIFY_CLIENT_URL'],
    about: "Admit only clients that this URL allows, for example Headscale's /verify",
    reload: 'value',
  },
  'verify-client-url-fail-open': {
    kind: boolean,
    fallback: 'false',
    about:
      'Admit every client while -verify-client-url is unreachable. **derper: true**; here, an outage of the control plane does not open the relay',
    reload: 'value',
  },
  'allow-keys-file': {
    kind: text(FILE, 'FILE'),
    about:
      'File of keys that are admitted without asking, or denied: `allow KEY`, `allow KEY tenant NAME` or `deny KEY` in each line. Alone, it is the only check',
    reload: 'value',
  },
  'isolate-tenants': {
    kind: boolean,
    fallback: 'false',
    about:
      'Forward packets only between clients of one tenant of -allow-keys-file or -lease-file; clients without a tenant reach each other and nobody else. All relays of the mesh need it, and the same list or lease',
    reload: 'value',
  },
  'lease-file': {
    kind: text(FILE, 'FILE'),
    about:
      'File with a signed lease, made by `derpfleet lease make`: the keys in it are admitted until it ends, without asking. Alone, it is the only check',
    reload: 'value',
  },
  'lease-key': {
    kind: list(LEASE_KEY_EXPECTED, 'KEY,...'),
    about:
      'Ed25519 public keys that may sign the lease, as `derpfleet lease keygen` prints them. Several while one is exchanged for another',
    reload: 'value',
  },
  'admission-grace': {
    kind: durationOf(0, 2_592_000_000),
    fallback: '24h',
    about:
      'How long clients that a check has admitted before are admitted while it cannot be asked; others are refused. 0: nothing is remembered',
    reload: 'value',
  },
  'admission-trusts-siblings': {
    kind: boolean,
    fallback: 'false',
    about:
      'While a check cannot be asked, admit clients that siblings have admitted, too. Whoever holds the mesh key then decides with this relay who is admitted in an outage',
    reload: 'value',
  },
  'admission-recheck': {
    kind: durationOf(0, 86_400_000),
    fallback: '5m',
    about:
      'After this time a connected client is asked about again, and ended if it is denied. 0: never, as derper',
    reload: 'value',
  },
  'kicks-from': {
    kind: list('keys of relays, nodekey:<64 hex digits>, separated by commas, or siblings', 'KEY,...'),
    about:
      'Siblings that may end clients here and have them refused (`derpfleet kick -fleet`), by their node keys. siblings: whoever holds the mesh key, as derper. Without it, none',
    reload: 'value',
  },
  'open-relay': {
    kind: boolean,
    fallback: 'false',
    about:
      'Admit everyone. Without this option, a relay on a public address needs -verify-client-url, -verify-clients, -allow-keys-file or -lease-file',
    reload: 'value',
  },
  'disallow-app-names': {
    kind: list('names separated by commas', 'NAME,...'),
    about: 'Refuse clients that log in with one of these application names',
    reload: 'value',
  },
} as const satisfies OptionTable
