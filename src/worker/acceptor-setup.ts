// Which way a relay thread's connections go: chooses the acceptor and its TLS as the setting says, tests them, and falls back:
// TLS by native calls of OpenSSL, the runtime's TLS over its handles, its public sockets. Also what begins its poll rounds. Runs on a
// relay thread.

import { setFlagsFromString } from 'node:v8'
import type { Settings } from '#config/settings.ts'
import type { Acceptor, AcceptorParts } from '#transport/acceptor.ts'
import { HandleAcceptor } from '#transport/handle-acceptor.ts'
import { selfTestContexts, testedHandles, testedOpenssl } from '#transport/handle-selftest.ts'
import type { ReadScheduler } from '#transport/read-scheduler.ts'
import { KernelTimer } from '#transport/round-timer.ts'
import type { RuntimeHandles } from '#transport/runtime-handles.ts'
import { SocketAcceptor } from '#transport/socket-acceptor.ts'
import { RuntimeTlsLayer, type TlsLayer } from '#transport/tls-layer.ts'
import type { TlsContexts } from '#transport/tls-contexts.ts'

/**
 * V8 counts each connection of the runtime's TLS as 50 KB of heap. Unless the heap may treble between collections, a storm of
 * logins is a storm of collections. The launcher lets it double. This is of the whole process, whose threads go the same way.
 */
const HEAP_OF_RUNTIME_TLS = '--heap-growing-percent=200'

/** Which way this thread goes; `off`: it has no use for any. */
export type ThreadWay =
  | { readonly use: 'client_tls'; readonly way: 'openssl' | 'handles' | 'sockets' | 'off' }
  | { readonly use: 'poll_rounds'; readonly way: 'timerfd' | 'off' }

export interface AcceptorSetup extends AcceptorParts {
  readonly scheduler: ReadScheduler
  readonly setting: Settings['connections']
  readonly maxVersion: Settings['tlsMaxVersion']
  /** @see ReadScheduler.useTimer */
  readonly pollIntervalMs: number
  readonly onWay: (way: ThreadWay) => void
  /** TLS by native calls does not work, with that error; the runtime's is used. */
  readonly onOpensslFailed: (error: unknown) => void
  /** The runtime's handles failed their self-test with that error; public sockets are used. */
  readonly onSelfTestFailed: (error: unknown) => void
}

/** @throws Error if the way that the setting demands does not work */
export async function makeAcceptor(setup: AcceptorSetup): Promise<Acceptor> {
  const { setting, tls, maxVersion, onSelfTestFailed, onWay } = setup
  await useKernelTimer(setup)
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
    if (tls === undefined) onWay({ use: 'client_tls', way: 'off' })
    else useRuntimeTls('sockets', onWay)
    return new SocketAcceptor(setup)
  }
  const layer = tls && (await makeLayer(setup, handles, tls))
  if (layer === undefined) onWay({ use: 'client_tls', way: 'off' })
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
  // A system without native calls is not a fault: it has never had them, or its operator has turned them off.
  const isWanted = isForced || (setting === 'auto' && native !== undefined)
  const openssl = isWanted ? await orUndefined(open, isForced, onOpensslFailed) : undefined
  if (openssl === undefined) {
    useRuntimeTls('handles', onWay)
    return new RuntimeTlsLayer(handles)
  }
  onWay({ use: 'client_tls', way: 'openssl' })
  // Nothing else frees memory of OpenSSL when the thread ends while it has clients.
  process.on('exit', () => openssl.close())
  return openssl
}

function useRuntimeTls(way: 'handles' | 'sockets', onWay: AcceptorSetup['onWay']): void {
  setFlagsFromString(HEAP_OF_RUNTIME_TLS)
  onWay({ use: 'client_tls', way })
}

/** Poll rounds by a timer of the kernel, where that works. Without, their interval is a millisecond. */
async function useKernelTimer({ native, onWay, pollIntervalMs, scheduler }: AcceptorSetup): Promise<void> {
  const timer =
    native === undefined ? undefined : await KernelTimer.open(native, pollIntervalMs).catch(() => undefined)
  if (timer !== undefined) scheduler.useTimer(timer)
  onWay({ use: 'poll_rounds', way: timer === undefined ? 'off' : 'timerfd' })
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
