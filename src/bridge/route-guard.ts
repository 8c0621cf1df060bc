// Keeps the bridge's own connection out of the tunnel that it carries. With a full tunnel (0.0.0.0/0) every packet of this host
// enters the tunnel, those to the relay too: the tunnel would run through itself. A routing rule for the relay's addresses
// alone, in front of wg-quick's rules, sends them the way that the host had before. An address that still leads into the tunnel is
// not used.

import { execFile } from 'node:child_process'
import { BlockList, isIPv6 } from 'node:net'
import { promisify } from 'node:util'

/** Before wg-quick's rules, which stand behind 32,000, and behind those of an operator who counts from 1. */
const RULE_PRIORITY = '5190'
const TIME_LIMIT_MS = 2_000
const run = promisify(execFile)

/** Runs `ip` and returns what it prints. */
export type IpProgram = (...args: readonly string[]) => Promise<string>

export class RouteGuard {
  readonly #interfaceName: string
  readonly #inside = new BlockList()
  readonly #ip: IpProgram
  readonly #ruled = new Set<string>()

  /** @param allowedIps of all peers: what the tunnel may carry */
  constructor(interfaceName: string, allowedIps: readonly string[], ip: IpProgram = runIp) {
    this.#interfaceName = interfaceName
    this.#ip = ip
    for (const range of allowedIps) {
      const [address = '', prefix = isIPv6(address) ? '128' : '32'] = range.split('/')
      try {
        this.#inside.addSubnet(address, Number(prefix), familyOf(address))
      } catch {
        // Not a range; WireGuard does not take it either.
      }
    }
  }

  /** Whether the tunnel may carry packets to the address. */
  isInside(address: string): boolean {
    return this.#inside.check(address, familyOf(address))
  }

  /**
   * Keeps connections to an address out of the tunnel. Returns why that is not possible; undefined if it is done, or was never
   * needed.
   */
  async protect(address: string): Promise<string | undefined> {
    if (!this.isInside(address)) return undefined
    let failure = ''
    if (!this.#ruled.has(address)) {
      await this.#ip(...ruleOf(address, 'add')).then(
        () => this.#ruled.add(address),
        (error: unknown) => {
          const text = error instanceof Error ? error.message : String(error)
          // Of a bridge that was killed.
          if (/File exists/.test(text)) this.#ruled.add(address)
          else failure = `: ${text}`
        },
      )
    }
    const route = await this.#ip('route', 'get', address).catch(() => '')
    const words = route.split(/\s+/)
    if (words[words.indexOf('dev') + 1] !== this.#interfaceName) return undefined
    return `${address} is reached through ${this.#interfaceName} itself${failure}`
  }

  async stop(): Promise<void> {
    for (const address of this.#ruled) await this.#ip(...ruleOf(address, 'del')).catch(() => undefined)
  }
}

function ruleOf(address: string, verb: 'add' | 'del'): readonly string[] {
  const rule = ['rule', verb, 'to', address, 'lookup', 'main', 'pref', RULE_PRIORITY]
  return isIPv6(address) ? ['-6', ...rule] : rule
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}

async function runIp(...args: readonly string[]): Promise<string> {
  try {
    return (await run('ip', args, { timeout: TIME_LIMIT_MS })).stdout
  } catch (error) {
    const { stderr } = error as { stderr?: string }
    throw new Error(stderr?.trim() || String(error), { cause: error })
  }
}
