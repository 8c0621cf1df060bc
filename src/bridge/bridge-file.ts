// Reads bridge.yaml, for VPNs that have no file a bridge could understand: OpenVPN, IPsec, ZeroTier.
//
//   relays: [https://derp1.example.com]
//   key-file: /etc/derpfleet/bridge.key
//   peers:
//     - name: office
//       key: nodekey:…             of the other bridge
//       listen: 127.0.0.1:51830    where the VPN of this host sends to
//       vpn: 127.0.0.1:1194        where the VPN of this host waits; without it, the VPN speaks first
//       flows: 4                   local ports that are kept apart
//
// The caller reads the file, and the key file that it names.

import { isIP } from 'node:net'
import type { Problem } from '#fleet/problem.ts'
import { foreignYaml } from '#fleet/yaml-text.ts'
import { parsePublicKey } from '#protocol/node-key.ts'
import { FLOWS_MAX, type BridgePeerSettings, type LocalAddress } from './settings.ts'
import { readBase64 } from './wg-config.ts'

export interface BridgeFile {
  readonly relays: readonly string[]
  readonly keyFile: string
  readonly peers: readonly BridgePeerSettings[]
}

export type BridgeFileText = { readonly file: BridgeFile } | { readonly problems: readonly Problem[] }

/** Addresses of this host that only this host can reach: those of its loopback interface. */
export type IsOwnAddress = (address: string) => boolean

const FIELDS = ['relays', 'key-file', 'peers']
const PEER_FIELDS = ['name', 'key', 'listen', 'vpn', 'flows']
const ADDRESS_EXPECTED = 'address:port of the loopback interface, such as 127.0.0.1:51830'

/** @param path names the file in problems */
export function readBridgeFile(path: string, text: string, isOwn: IsOwnAddress): BridgeFileText {
  const problems: Problem[] = []
  const reader = new Reader(path, problems, isOwn)
  let content: unknown
  try {
    content = foreignYaml(text)
  } catch (error) {
    return {
      problems: [
        { where: path, found: error instanceof Error ? error.message : String(error), expected: 'YAML' },
      ],
    }
  }
  const fields = reader.mapping('the file', content, FIELDS)
  const peers = reader
    .list('peers', fields['peers'])
    .map((one, at) => reader.peer(`peers[${at}]`, one))
    .filter((peer) => peer !== undefined)
  const file = {
    relays: fields['relays'] === undefined ? [] : reader.texts('relays', fields['relays']),
    keyFile: reader.text('key-file', fields['key-file']),
    peers,
  }
  const names = peers.map(({ name }) => name)
  for (const name of names.filter((one, at) => names.indexOf(one) !== at)) {
    reader.problem('peers', `two peers ${JSON.stringify(name)}`, 'one')
  }
  return problems.length > 0 ? { problems } : { file }
}

class Reader {
  readonly #path: string
  readonly #problems: Problem[]
  readonly #isOwn: IsOwnAddress

  constructor(path: string, problems: Problem[], isOwn: IsOwnAddress) {
    this.#path = path
    this.#problems = problems
    this.#isOwn = isOwn
  }

  problem(where: string, found: string, expected: string): void {
    this.#problems.push({ where: `${this.#path}: ${where}`, found, expected })
  }

  mapping(where: string, value: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problem(where, 'is no mapping', known.join(', '))
      return {}
    }
    for (const name of Object.keys(value)) {
      if (!known.includes(name))
        this.problem(where, `unknown field ${JSON.stringify(name)}`, known.join(', '))
    }
    return value as Record<string, unknown>
  }

  list(where: string, value: unknown): readonly unknown[] {
    if (Array.isArray(value) && value.length > 0) return value
    this.problem(where, 'is missing or no list', 'one peer at least')
    return []
  }

  text(where: string, value: unknown): string {
    if (typeof value === 'string' && value !== '') return value
    this.problem(where, 'is missing or no text', 'a text')
    return ''
  }

  texts(where: string, value: unknown): readonly string[] {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    return list.map((one) => this.text(where, one))
  }

  peer(where: string, value: unknown): BridgePeerSettings | undefined {
    const fields = this.mapping(where, value, PEER_FIELDS)
    const keyText = this.text(`${where}.key`, fields['key'])
    const key = parsePublicKey(keyText) ?? readBase64(keyText)
    if (key === undefined) this.problem(`${where}.key`, 'is not a public key', 'nodekey: and 64 hex digits')
    const vpn = fields['vpn'] === undefined ? undefined : this.#address(`${where}.vpn`, fields['vpn'])
    const listen =
      fields['listen'] === undefined
        ? { host: vpn?.host ?? '127.0.0.1', port: 0 }
        : this.#address(`${where}.listen`, fields['listen'])
    if (fields['listen'] === undefined && vpn === undefined) {
      this.problem(
        where,
        'has neither listen nor vpn',
        'listen where the VPN speaks first, vpn where it waits',
      )
    }
    const flows = fields['flows'] ?? FLOWS_MAX
    if (typeof flows !== 'number' || !Number.isInteger(flows) || flows < 1 || flows > FLOWS_MAX) {
      this.problem(`${where}.flows`, JSON.stringify(flows), `a number from 1 to ${FLOWS_MAX}`)
    }
    if (key === undefined || listen === undefined) return undefined
    return {
      name: this.text(`${where}.name`, fields['name']),
      key,
      listen,
      vpn,
      flowsMax: Number(flows),
      wg: undefined,
    }
  }

  #address(where: string, value: unknown): LocalAddress | undefined {
    const [, bracketed, plain, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(String(value)) ?? []
    const host = bracketed ?? plain ?? ''
    const isUsable = isIP(host) !== 0 && Number(port) >= 1 && Number(port) <= 65_535 && this.#isOwn(host)
    if (isUsable) return { host, port: Number(port) }
    this.problem(where, JSON.stringify(value), ADDRESS_EXPECTED)
    return undefined
  }
}
