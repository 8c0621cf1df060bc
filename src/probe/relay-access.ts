// How a probe's clients connect to one relay, and the likely cause if they cannot.

import { DerpConnectError } from '#client/connect-error.ts'
import { newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import type { SharedResources } from '#client/shared-resources.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import type { Way } from '#client/target.ts'
import type { ReachableAddress } from './addresses.ts'
import { CheckError, errorText } from './check.ts'
import type { ProbedNode } from './probed-node.ts'
import type { ProbeSettings } from './settings.ts'
import type { TlsResult } from './tls-checks.ts'

/** How the checks of one relay connect to it, once the TLS checks are done. */
export interface RelayAccess {
  readonly node: ProbedNode
  readonly settings: ProbeSettings
  readonly tls: TlsResult
  readonly shared: SharedResources
}

/** A relay to which clients can log in, and the address that they use. */
export interface LoginPoint {
  readonly access: RelayAccess
  readonly address: ReachableAddress
}

/** What a client of the probe is for: it has a key of its own. */
export type ProberRole = 'sender' | 'receiver'

/** The options of a client that logs in to the relay, with a new key if the user has given none. */
export function clientOptions(
  access: RelayAccess,
  target: ReachableAddress,
  way: Way,
  role: ProberRole = 'sender',
): ClientOptions {
  const { node, settings, tls, shared } = access
  return {
    host: node.host,
    port: node.port,
    dialAddress: target.address,
    tls: tls.trust,
    way,
    key: proberKey(settings, role),
    isProber: true,
    connectTimeoutMs: settings.timeoutMs,
    shared,
    ...(settings.meshKey === undefined ? {} : { meshKey: settings.meshKey }),
  }
}

function proberKey({ keys: [first, second] }: ProbeSettings, role: ProberRole): KeyPair {
  if (first === undefined) return newKeyPair()
  return role === 'sender' ? first : (second ?? first)
}

/** The login reached the admission, and then the relay ended the connection. */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof DerpConnectError && error.stage === 'login' && error.message.startsWith('not admitted: ')
  )
}

/** The same error with a hint at its likely cause. */
export function withLikelyCause(error: unknown, settings: ProbeSettings): unknown {
  if (isRefusal(error)) {
    const [first] = settings.keys
    const hint =
      settings.meshKey === undefined
        ? first === undefined
          ? 'most likely the relay admits only clients that its control server knows. With its mesh key (-mesh-psk-file FILE), or with a key that it allows (-key-file FILE), the probe is admitted'
          : `most likely the relay does not allow ${publicKeyText(first.publicKey)}: add it to its list of keys or to its lease`
        : "most likely the relay admits only clients that its control server knows, and this is not the relay's mesh key"
    return new CheckError(`the relay refused the login: ${errorText(error)}`, hint)
  }
  if (error instanceof DerpConnectError && error.stage === 'upgrade' && error.status !== undefined) {
    return new CheckError(
      error.message,
      'a DERP relay answers 101 here. Is this a relay, is relaying disabled, or does a proxy in front of it not pass the upgrade on?',
    )
  }
  return error
}
