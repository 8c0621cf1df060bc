// Resolves the certificate that the relay serves, by derper's manual mode: HOSTNAME.crt and HOSTNAME.key in a folder,
// checked before the start. If both files are missing, a self-signed certificate is planned for an IP address as host
// name and for the quick start. Also resolves the authorities that options name.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { certificatePem, certificatePin, selfSignedCertificate } from '#protocol/self-signed.ts'
import { nodeJson } from '#fleet/derp-map-writer.ts'
import type { Node } from '#fleet/node.ts'
import { DERP_PORT, STUN_PORT } from '#protocol/default-ports.ts'
import { OWN_REGION_MIN } from '#fleet/region.ts'
import {
  checkCertificate,
  expiryText,
  isNearlyExpired,
  selfSignedPin,
  type CertificateFault,
} from './certificate-check.ts'
import {
  certificateFilesIn,
  readAuthoritiesFile,
  readCertificateFiles,
  type CertificateFiles,
} from './certificate-files.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import type { Listeners } from './listener-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'

const HOUR_MS = 3_600_000
/** Clients refuse a certificate that is not valid yet, and a client's clock may be slow. */
const BACKDATED_MS = HOUR_MS
/** One year. Apple's platforms refuse certificates with a much longer life. */
const LIFE_MS = 365 * 24 * HOUR_MS
/** The names by which browsers and clients on this machine may reach the quick start's relay. */
const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1']

/** The folder that the options name, or derper's. */
export function certificateFolder(values: OptionValues<ServeOptions>, host: HostInfo): string {
  return values.get('certdir') ?? join(host.cacheFolder, 'tailscale', 'derper-certs')
}

/** The files to serve with, for a relay that speaks TLS; undefined after a problem. */
export function resolveCertificate(
  values: OptionValues<ServeOptions>,
  { hostname, listeners }: { readonly hostname: string | undefined; readonly listeners: Listeners },
  host: HostInfo,
  diagnostics: Diagnostics,
): CertificateFiles | undefined {
  if (hostname === undefined) return undefined
  const files = certificateFilesIn(certificateFolder(values, host), hostname)
  const read = readCertificateFiles(files)
  const isOwn = isQuickStartState(values)
  const plan = { files, hostname, listeners, isOwn }
  if (!('pem' in read)) {
    if (read.areBothMissing && (isOwn || isIP(hostname) !== 0)) {
      planSelfSigned({ ...plan, existing: 'is kept' }, host, diagnostics)
      return files
    }
    for (const { path, reason } of read.unread) {
      diagnostics.addProblem(
        values.where('certdir'),
        `${path} ${reason}`,
        'a certificate and its key as PEM files',
      )
    }
    return undefined
  }
  const checked = checkCertificate(read.pem, hostname, host.nowMs)
  if (isOwn && checked.faults.some((fault) => fault.kind === 'expired')) {
    planSelfSigned({ ...plan, existing: 'is replaced' }, host, diagnostics)
    return files
  }
  for (const fault of checked.faults) addFault(fault, files, diagnostics)
  if (!('certificate' in checked) || checked.faults.length > 0) return undefined
  if (isNearlyExpired(checked.certificate, host.nowMs)) {
    diagnostics.addWarning(`${files.certificatePath}: expires on ${expiryText(checked.certificate)}`)
  }
  if (!isOwn) warnOfPin(plan, selfSignedPin(checked.certificate), diagnostics)
  return files
}

/** Whether key and certificate belong to the quick start and not to the operator. */
function isQuickStartState(values: OptionValues<ServeOptions>): boolean {
  return values.source('certdir') === 'preset'
}

interface Served {
  readonly hostname: string
  readonly listeners: Listeners
}

interface SelfSignedPlan extends Served {
  readonly files: CertificateFiles
  readonly isOwn: boolean
  readonly existing: 'is kept' | 'is replaced'
}

function planSelfSigned(plan: SelfSignedPlan, host: HostInfo, diagnostics: Diagnostics): void {
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  const fromMs = host.nowMs - BACKDATED_MS
  const names = plan.isOwn ? [...new Set([plan.hostname, ...LOCAL_NAMES])] : [plan.hostname]
  const certificate = selfSignedCertificate({
    names,
    key,
    serial: randomBytes(16),
    fromMs,
    untilMs: fromMs + LIFE_MS,
  })
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  const { certificatePath, keyPath } = plan.files
  const rest = { folder: 'is created', existing: plan.existing } as const
  diagnostics.addNewFile({ path: keyPath, text: pem, mode: 0o600, ...rest })
  diagnostics.addNewFile({ path: certificatePath, text: certificatePem(certificate), mode: 0o644, ...rest })
  if (!plan.isOwn) warnOfPin(plan, certificatePin(certificate), diagnostics)
}

/** Clients accept a self-signed certificate only by its pin. */
function warnOfPin(served: Served, pin: string | undefined, diagnostics: Diagnostics): void {
  if (pin === undefined) return
  const { hostname, listeners } = served
  const { derp, stun } = listeners
  // Only ports that differ from the defaults, so that operators who come from derper recognise their node.
  const node: Node = {
    name: 'custom',
    hostname,
    certName: pin,
    stunPort: stun === undefined ? -1 : stun.port === STUN_PORT ? undefined : stun.port,
    derpPort: derp.port === DERP_PORT ? undefined : derp.port,
  }
  diagnostics.addWarning(
    `the certificate for ${hostname} is self-signed; clients accept it only with this node in their DERP map: ${JSON.stringify(nodeJson(node, OWN_REGION_MIN))}`,
  )
}

function addFault(fault: CertificateFault, files: CertificateFiles, diagnostics: Diagnostics): void {
  const path = fault.file === 'key' ? files.keyPath : files.certificatePath
  diagnostics.addProblem(path, fault.found, fault.expected)
}

/**
 * The certificates of authorities in the file that an option names, PEM; undefined without one, or after a problem.
 */
export function resolveAuthorities(
  values: OptionValues<ServeOptions>,
  option: 'mesh-ca-file' | 'nats-ca-file',
  diagnostics: Diagnostics,
): string | undefined {
  const path = values.get(option)
  if (path === undefined) return undefined
  const read = readAuthoritiesFile(path)
  if ('pem' in read) return read.pem
  return diagnostics.addProblem(values.where(option), read.found, 'a PEM file of certificates')
}
