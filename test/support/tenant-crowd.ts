// Clients of several tenants over real connections, each of which sends to all others: who hears whom, packet by packet.

import type { DerpClient } from '#client/derp-client.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { toHex } from '#protocol/bytes.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { disco } from '../vectors/frames.ts'

/** Of no tenant. */
const NONE = 'none'

export interface Member {
  readonly tenant: string
  readonly key: KeyPair
  client: DerpClient | undefined
}

export class TenantCrowd {
  readonly members: readonly Member[]
  /** Packets that have arrived, by the names of both tenants. */
  readonly heard = new Map<string, number>()
  /** Answers "not here", by the name of the tenant that was told. */
  readonly notHere = new Map<string, number>()
  readonly #tenantOf = new Map<string, string>()

  /** @param perTenant clients of each tenant, and as many without one */
  constructor(tenants: readonly string[], perTenant: number) {
    this.members = [...tenants, NONE].flatMap((tenant) =>
      Array.from({ length: perTenant }, () => ({ tenant, key: newKeyPair(), client: undefined })),
    )
    for (const { tenant, key } of this.members) this.#tenantOf.set(toHex(key.publicKey), tenant)
  }

  /** The list of keys. */
  get list(): string {
    return this.listWith(() => undefined)
  }

  /** The same, with other tenants for some. */
  listWith(other: (member: Member) => string | undefined): string {
    const lines = this.members.map((member) => {
      const tenant = other(member) ?? member.tenant
      return `allow ${publicKeyText(member.key.publicKey)}${tenant === NONE ? '' : ` tenant ${tenant}`}\n`
    })
    return lines.join('')
  }

  of(tenant: string): readonly Member[] {
    return this.members.filter((one) => one.tenant === tenant)
  }

  /** @param connect logs in with that key */
  async join(connect: (key: KeyPair, n: number) => Promise<DerpClient>): Promise<void> {
    for (const [n, member] of this.members.entries()) {
      const client = await connect(member.key, n)
      member.client = client
      client.on('packet', ({ source }) =>
        add(this.heard, `${this.#tenantOf.get(toHex(source))} ${member.tenant}`, 1),
      )
      client.on('peerGone', () => add(this.notHere, member.tenant, 1))
    }
  }

  /** Each sends this many data packets and one disco message to each other. Returns how many were sent, by both tenants. */
  async sendAll(packets: number): Promise<ReadonlyMap<string, number>> {
    const sent = new Map<string, number>()
    for (const from of this.members) {
      for (const to of this.members) {
        if (from === to) continue
        for (let n = 0; n < packets; n++) from.client?.send(to.key.publicKey, Buffer.from(`packet ${n}`))
        from.client?.send(to.key.publicKey, disco.message)
        add(sent, `${from.tenant} ${to.tenant}`, packets + 1)
      }
      // The relay has read all of them when it answers.
      await from.client?.ping()
    }
    return sent
  }
}

/** Of the pairs of tenants, those within one. */
export function within(counts: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map([...counts].filter(([pair]) => isWithin(pair)))
}

export function acrossSum(counts: ReadonlyMap<string, number>): number {
  return [...counts].reduce((sum, [pair, count]) => sum + (isWithin(pair) ? 0 : count), 0)
}

function isWithin(pair: string): boolean {
  const [from, to] = pair.split(' ')
  return from === to
}

function add(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by)
}
