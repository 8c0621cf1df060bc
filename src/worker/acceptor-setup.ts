// Which way a relay thread's connections go: chooses the acceptor and its TLS as the setting says, tests them, and falls back:
// TLS by native calls of OpenSSL, the runtime's TLS over its handles, its public sockets. Runs on a relay thread.

import type { Settings } from '#config/settings.ts'
import type { Acceptor, AcceptorParts } from '#transport/acceptor.ts'
import { HandleAcceptor } from '#transport/handle-acceptor.ts'
import { selfTestContexts, testedHandles, testedOpenssl } from '#transport/handle-selftest.ts'
import type { ReadScheduler } from '#transport/read-scheduler.ts'
import type { RuntimeHandles } from '#transport/runtime-handles.ts'
import { SocketAcceptor } from '#transport/socket-acceptor.ts'
import { RuntimeTlsLayer, type TlsLayer } from '#transport/tls-layer.ts'
import type { TlsContexts } from '#transport/tls-contexts.ts'

/** `off`: without TLS. */
export type TlsWay = 'openssl' | 'handles' | 'sockets' | 'off'

export interface AcceptorSetup extends AcceptorParts {
  readonly scheduler: ReadScheduler
  readonly setting: Settings['connections']
  readonly maxVersion: Settings['tlsMaxVersion']
  readonly onWay: (way: TlsWay) => void
  /** TLS by native calls does not work, with that error; the runtime's is used. */
  readonly onOpensslFailed: (error: unknown) => void
  /** The runtime's handles failed their self-test with that error; public sockets are used. */
  readonly onSelfTestFailed: (error: unknown) => void
}

/** @throws Error if the way that the setting demands does not work */
export async function makeAcceptor(setup: AcceptorSetup): Promise<Acceptor> {
  const { setting, tls, maxVersion, onSelfTestFailed, onWay } = setup
  const isForced = setting !== 'auto'
  const handles =
    setting === 'sockets'
      ? undefined
      : await orUndefined(
          () => testedHandles(tls && selfTestContexts(maxVersion)),
          isForced,
          onSelfTestFailed,
        )
  if (handles === undefined) {
    onWay(tls === undefined ? 'off' : 'sockets')
    return new SocketAcceptor(setup)
  }
  const layer = tls && (await makeLayer(setup, handles, tls))
  if (layer === undefined) onWay('off')
  return new HandleAcceptor({ ...setup, handles, tlsLayer: layer })
}

async function makeLayer(
  { maxVersion, native, onOpensslFailed, onWay, setting }: AcceptorSetup,
  handles: RuntimeHandles,
  contexts: TlsContexts,
): Promise<TlsLayer> {
  const isForced = setting === 'openssl'
  const open = async () => {
    if (native === undefined) throw new Error('native calls are not in use')
    return await testedOpenssl(handles, maxVersion, contexts)
  }
  const openssl = isForced ? await orUndefined(open, isForced, onOpensslFailed) : undefined
  onWay(openssl === undefined ? 'handles' : 'openssl')
  if (openssl === undefined) return new RuntimeTlsLayer(handles)
  // Nothing else frees memory of OpenSSL when the thread ends while it has clients.
  process.on('exit', () => openssl.close())
  return openssl
}

/** @throws what `make` throws if it is forced; otherwise that is reported */
async function orUndefined<T>(
  make: () => Promise<T>,
  isForced: boolean,
  report: (error: unknown) => void,
): Promise<T | undefined> {
  try {
    return await make()
  } catch (error) {
    if (isForced) throw error
    report(error)
    return undefined
  }
}
