// The composition root: settings in, a relay out. Construction and order; what the parts do is theirs.
//
// Started in this order and stopped in reverse: relay threads, plain port, STUN, admin. STUN comes after the
// relay because clients choose regions by it: it must not answer for a relay that can't serve.

import { readFileSync } from 'node:fs'
import type { CertificateFiles, Endpoint, Settings } from '#config/settings.ts'
import { AdmissionDesk } from '#fleet/admission.ts'
import { BootstrapDns } from '#fleet/bootstrap-dns.ts'
import { assertFree, PlainPort } from '#transport/plain-port.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'
import { UnacknowledgedWatch } from '#transport/unacknowledged.ts'
import type { FromRelayThread, ToRelayThread } from './thread-messages.ts'
import { RelayThreads, StunThread } from './threads.ts'

/** Where a relay really listens; port 0 in the settings has become a number here. */
export interface RelayAddresses {
  readonly derp: Endpoint
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  readonly admin: Endpoint | undefined
}

/** A relay that serves. */
export interface RunningRelay extends AsyncDisposable {
  readonly addresses: RelayAddresses
  /** Settles when the relay has ended by a fault of its own; never by `stop`. */
  readonly failed: Promise<Error>
  stop(): Promise<void>
}

/** How often the kernel is asked who no longer acknowledges; a third of the usual limit. */
const UNACKNOWLEDGED_LOOK_MS = 5_000

/** Starts a relay; rejects with one clear error, and nothing left running, when it can't. */
export async function startRelay(settings: Settings): Promise<RunningRelay> {
  const stops: (() => Promise<void> | void)[] = []
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end()
  }
  let onFault: (error: Error) => void = () => undefined
  const failed = new Promise<Error>((resolve) => {
    onFault = resolve
  })
  try {
    const addresses = await startParts(settings, stops, onFault)
    return { addresses, failed, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startParts(
  settings: Settings,
  stops: (() => Promise<void> | void)[],
  onFault: (error: Error) => void,
): Promise<RelayAddresses> {
  const desk = new AdmissionDesk(settings.admission)
  const threads = new RelayThreads({
    settings,
    pem: settings.certificate === undefined ? undefined : readPem(settings.certificate),
    startedMs: Date.now(),
    onMessage: (message, reply) => void onThreadMessage(message, reply, desk),
    onFault,
  })
  stops.push(async () => await threads.stop())
  const derp = await listening('DERP', '-a', settings.derp, async (endpoint) => {
    await assertFree(endpoint)
    return await threads.listen(endpoint)
  })
  const http = settings.http && (await startPlainPort(settings.http, stops))
  const stun = settings.stun && (await startStun(settings.stun, stops, onFault))
  startChores(settings, { threads, derp }, stops)
  return { derp, http, stun, admin: undefined }
}

async function startPlainPort(endpoint: Endpoint, stops: (() => void)[]): Promise<Endpoint> {
  const plainPort = new PlainPort()
  stops.push(() => plainPort.close())
  return await listening('HTTP', '-http-port', endpoint, async (at) => await plainPort.listen(at))
}

async function startStun(
  endpoint: Endpoint,
  stops: (() => Promise<void> | void)[],
  onFault: (error: Error) => void,
): Promise<Endpoint> {
  const stun = new StunThread(endpoint, onFault)
  stops.push(async () => await stun.stop())
  return await listening('STUN', '-stun-port', endpoint, async () => await stun.listen())
}

/** What the control thread does now and then. */
function startChores(
  settings: Settings,
  { threads, derp }: { threads: RelayThreads; derp: Endpoint },
  stops: (() => void)[],
): void {
  const bootstrapDns = new BootstrapDns(settings.bootstrapDnsNames, (json) =>
    threads.tellAll({ kind: 'bootstrapDns', json }),
  )
  bootstrapDns.start()
  stops.push(() => bootstrapDns.stop())
  const { tcpUserTimeoutMs } = settings.limits
  if (tcpUserTimeoutMs === 0) return
  const watch = new UnacknowledgedWatch(derp.port, tcpUserTimeoutMs)
  const timer = setInterval(() => {
    void watch.look(performance.now()).then((remotes) => {
      if (remotes.length > 0) threads.tellAll({ kind: 'unacknowledged', remotes })
    })
  }, UNACKNOWLEDGED_LOOK_MS)
  stops.push(() => clearInterval(timer))
}

async function onThreadMessage(
  message: FromRelayThread,
  reply: (message: ToRelayThread) => void,
  desk: AdmissionDesk,
): Promise<void> {
  if (message.kind !== 'admit') return
  const { id, key, source } = message
  reply({ kind: 'admitted', id, isAllowed: await desk.decide({ key, source }) })
}

/** Listens, or says in one line what could not listen where, why, and which flag changes it. */
async function listening(
  what: string,
  flag: string,
  endpoint: Endpoint,
  listen: (endpoint: Endpoint) => Promise<number>,
): Promise<Endpoint> {
  try {
    return { host: endpoint.host, port: await listen(endpoint) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reasons: Record<string, string> = {
      EADDRINUSE: 'is in use by another process; stop it, or choose another port',
      EACCES: 'may not be used by this user; ports below 1024 need root or CAP_NET_BIND_SERVICE',
      EADDRNOTAVAIL: 'is not an address of this host',
    }
    const reason = reasons[code ?? ''] ?? `can't be listened on (${message})`
    throw new Error(`${what}: ${endpoint.host}:${endpoint.port} ${reason} (${flag})`, { cause: error })
  }
}

function readPem(files: CertificateFiles): CertificatePem {
  return {
    certificate: readFileSync(files.certificatePath, 'utf8'),
    key: readFileSync(files.keyPath, 'utf8'),
  }
}
